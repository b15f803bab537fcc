
// Keeps ages current. They are counted from the hub's clock as the page told it, which in a demo runs
// faster than the wall, so that a wrong clock of the person who looks changes nothing.
(() => {
  const main = document.querySelector("main[data-now]");
  if (!main) return;

  let now = "";
  let atWall = 0;
  const steps = [
    [172800, 86400, "days"],
    [3600, 3600, "h"],
    [60, 60, "min"],
    [1, 1, "s"],
  ];
  const words = (seconds) => {
    const step = steps.find(([from]) => seconds >= from);
    return step ? `${Math.floor(seconds / step[1])}\u00a0${step[2]} ago` : "just now";
  };
  const tick = () => {
    if (main.dataset.now !== now) {
      now = main.dataset.now;
      atWall = performance.now();
    }
    const passed = (performance.now() - atWall) * Number(main.dataset.rate);
    const hub = Date.parse(now) + passed;
    for (const time of main.querySelectorAll("time.age")) {
      const text = words(Math.floor((hub - Date.parse(time.dateTime)) / 1000));
      if (time.textContent !== text) time.textContent = text;
    }
  };
  window.setInterval(tick, 1000);
})();
