
// Plots: what the lines say under the pointer, and zoom by dragging. The page that is zoomed in is made
// by the hub; without this script the links beside the plots do the same.
(() => {
  const main = document.querySelector("main[data-now]");
  if (!main) return;
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 1000;
  // Narrower than this share of the plot is a click and no choice.
  const LEAST = 0.01;
  let drag = null;

  const fieldOf = (event) => (event.target instanceof Element ? event.target.closest("svg.field") : null);
  const place = (field, event) => {
    const box = field.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const moment = (field, share) => {
    const [from, to] = [Date.parse(field.dataset.from), Date.parse(field.dataset.to)];
    return new Date(from + share * (to - from));
  };
  const drawn = (field, kind, name) => {
    let shape = field.querySelector(`.${name}`);
    if (!shape) {
      shape = document.createElementNS(SVG, kind);
      shape.setAttribute("class", name);
      field.append(shape);
    }
    return shape;
  };
  const forget = (field, name) => {
    const shape = field.querySelector(`.${name}`);
    if (shape) shape.remove();
  };
  const nearest = (line, x) => {
    let best = null;
    for (const point of (line.dataset.spoken || "").split(";")) {
      const cut = point.indexOf(":");
      const away = Math.abs(Number(point.slice(0, cut)) - x);
      if (cut > 0 && (!best || away < best.away)) best = { away, words: point.slice(cut + 1) };
    }
    return best && best.away < WIDTH / 20 ? best.words : null;
  };
  const read = (field, share) => {
    const readout = field.closest(".plot").querySelector(".readout");
    const said = [...field.querySelectorAll("[data-spoken]")].flatMap((line) => {
      const words = nearest(line, share * WIDTH);
      return words ? [`${line.dataset.name} ${words}`] : [];
    });
    const clock = moment(field, share).toISOString();
    readout.textContent = `${clock.slice(0, 10)} ${clock.slice(11, 19)} UTC: ${said.join(", ") || "nothing measured"}`;
    drawn(field, "path", "cursor").setAttribute("d", `M${share * WIDTH} 0V100`);
  };
  const leave = (field) => {
    forget(field, "cursor");
    field.closest(".plot").querySelector(".readout").textContent = "";
  };

  main.addEventListener("pointerdown", (event) => {
    const field = fieldOf(event);
    if (!field || !field.dataset.zoom || event.button !== 0) return;
    drag = { field, from: place(field, event) };
    field.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  main.addEventListener("pointermove", (event) => {
    const field = drag ? drag.field : fieldOf(event);
    if (!field) return;
    const share = place(field, event);
    read(field, share);
    if (!drag) return;
    const chosen = drawn(field, "rect", "chosen");
    chosen.setAttribute("x", Math.min(drag.from, share) * WIDTH);
    chosen.setAttribute("width", Math.abs(share - drag.from) * WIDTH);
    chosen.setAttribute("y", 0);
    chosen.setAttribute("height", 100);
  });
  main.addEventListener("pointerout", (event) => {
    const field = fieldOf(event);
    // From one line of the plot to another is not out of it.
    if (field && !drag && !field.contains(event.relatedTarget)) leave(field);
  });
  const end = (event, isChosen) => {
    if (!drag) return;
    const { field, from } = drag;
    drag = null;
    forget(field, "chosen");
    const share = place(field, event);
    if (!isChosen || Math.abs(share - from) < LEAST) return;
    const address = new URL(window.location.href);
    address.searchParams.delete("range");
    address.searchParams.set("from", moment(field, Math.min(from, share)).toISOString());
    address.searchParams.set("to", moment(field, Math.max(from, share)).toISOString());
    window.location.assign(address);
  };
  main.addEventListener("pointerup", (event) => end(event, true));
  main.addEventListener("pointercancel", (event) => end(event, false));

  // The same by keyboard: what the links do, while a plot's field of links has the focus.
  const KEYS = { "+": "in", "-": "out", ArrowLeft: "earlier", ArrowRight: "later" };
  main.addEventListener("keydown", (event) => {
    const ranges = event.target instanceof Element ? event.target.closest(".ranges") : null;
    const wanted = ranges && KEYS[event.key];
    const link = wanted && ranges.querySelector(`a[data-do="${wanted}"]`);
    if (!link || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    link.click();
  });
})();
