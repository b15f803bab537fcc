// Keeps a page fresh: when the hub says that something happened, and else now and then, the same
// page is fetched and the content of <main> is replaced. The page is complete without this script.
"use strict";
(() => {
  const EVENTS = "/integrity/events";
  // How often the page is fetched while no stream is open.
  const POLL_MS = 10000;
  // Least time between two fetches that events ask for, and how far browsers that heard the same
  // event spread. A hub that answers slowly is asked less often.
  const GAP_MS = 500;
  const GAP_ANSWERS = 4;
  const SPREAD_MS = 200;
  const TIMEOUT_MS = 8000;
  // The hub says every 15 s that it is there; after two of these times of silence it is not.
  const SILENCE_MS = 40000;
  // How long a pointer that rests counts as on its way to a click.
  const AIM_MS = 1500;
  // How long to do without a stream that the hub refused.
  const STREAM_AGAIN_MS = 60000;
  const UNREACHABLE = "The hub does not answer. What you see may be out of date.";
  const FOCUSABLE = "a[href], button, input, select, textarea, summary";
  const AIMED = "button:hover, input:hover, summary:hover";
  const TICKS = ["checkbox", "radio"];
  const NO_TEXT = [...TICKS, "hidden", "button", "submit", "reset"];

  const main = document.querySelector("main[data-open]");
  const status = document.getElementById("status");
  const warning = document.getElementById("warning");
  const news = document.getElementById("news");
  if (!main || !status || !warning || !news) return;

  let updatedAt = Date.now();
  let askedAt = updatedAt;
  let tookMs = 0;
  let isRunning = false;
  let isHeld = false;
  let isUnreachable = false;
  let soon = 0;
  // The last entry of the ledger that the page as it was fetched knows, and the last heard of.
  let knownSeq = Number(main.dataset.seq);
  let heardSeq = knownSeq;
  let stream = null;
  let streamFrom = 0;
  let saidAt = 0;
  let pointedAt = 0;

  // A half-filled field or selected text must not vanish under the hands of a person, and a click
  // that is on its way to a button must not meet the button of another row.
  const isText = (field) =>
    field.matches("input, textarea, select") && !NO_TEXT.includes(field.type);
  const isChanged = (field) => {
    if (!isText(field)) return false;
    if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
    const options = [...field.options];
    const initial = options.find((option) => option.defaultSelected) || options[0];
    return Boolean(initial) && !initial.selected;
  };
  const isBusy = () => {
    const active = document.activeElement;
    if (main.contains(active) && isText(active)) return true;
    if ([...main.querySelectorAll("input, textarea, select")].some(isChanged)) return true;
    if (Date.now() - pointedAt < AIM_MS && main.querySelector(AIMED)) return true;
    if (main.querySelector(".chosen")) return true;
    const selection = document.getSelection();
    return Boolean(selection) && !selection.isCollapsed && main.contains(selection.anchorNode);
  };

  // The focused element, told by the nearest element with an id, by what it looks like, and by its
  // place among those that look the same: a press of a key must never meet another button.
  const look = (element) =>
    [element.tagName, element.type, element.name, element.value, element.textContent].join("\n");
  const alike = (host, wanted) =>
    [...host.querySelectorAll(FOCUSABLE)].filter((element) => look(element) === wanted);
  const focusPlace = () => {
    const active = document.activeElement;
    if (active === main || !main.contains(active)) return null;
    const host = active.closest("[id]");
    return { id: host.id, look: look(active), index: alike(host, look(active)).indexOf(active) };
  };
  const focusAgain = (place) => {
    if (!place) return;
    const host = document.getElementById(place.id);
    const target = host && place.index >= 0 ? alike(host, place.look)[place.index] : host;
    if (target && target.matches(FOCUSABLE)) target.focus({ preventScroll: true });
    // What had the focus is gone: the keyboard stays at the content, not at the top of the window.
    if (!main.contains(document.activeElement)) main.focus({ preventScroll: true });
  };

  const keep = (next) => {
    for (const before of main.querySelectorAll("details[id]")) {
      const same = next.querySelector(`#${CSS.escape(before.id)}`);
      if (same) same.open = before.open;
    }
    // A box that was not there before is not ticked, whatever the address says: nobody has seen
    // what would be done with it.
    for (const after of next.querySelectorAll("input")) {
      if (!TICKS.includes(after.type)) continue;
      const named = `input[name="${CSS.escape(after.name)}"][value="${CSS.escape(after.value)}"]`;
      const same = main.querySelector(after.id ? `#${CSS.escape(after.id)}` : named);
      after.checked = Boolean(same) && same.checked;
    }
  };
  const replace = (next) => {
    keep(next);
    const place = focusPlace();
    const left = window.scrollX;
    const top = window.scrollY;
    const inner = [...main.querySelectorAll(".scroll[id]")].map((box) => [box.id, box.scrollTop]);
    main.replaceChildren(...next.childNodes);
    for (const [id, height] of inner) {
      const box = document.getElementById(id);
      if (box) box.scrollTop = height;
    }
    window.scrollTo({ left, top, behavior: "instant" });
    focusAgain(place);
  };

  // "kind=n=worst kind=n=worst"; the same kind may come several times.
  const openByKind = (text) => {
    const open = new Map();
    for (const word of text.split(" ").filter(Boolean)) {
      const [kind, count, worst] = word.split("=");
      const before = open.get(kind);
      open.set(kind, { count: Number(count) + (before ? before.count : 0), worst });
    }
    return open;
  };
  const announce = (before, after) => {
    const [old, fresh] = [openByKind(before), openByKind(after)];
    const count = (open, kind) => (open.has(kind) ? open.get(kind).count : 0);
    const more = [...fresh].filter(([kind, now]) => now.count > count(old, kind));
    const less = [...old].filter(([kind, then]) => then.count > count(fresh, kind));
    const words = [];
    if (more.length > 0) {
      const named = more.map(([kind, now]) => `${kind}, ${now.worst}, ${now.count} open`);
      words.push(`New open anomaly: ${named.join("; ")}.`);
    }
    if (less.length > 0) {
      const named = less.map(([kind]) => `${kind}, ${count(fresh, kind)} open`);
      words.push(`Closed: ${named.join("; ")}.`);
    }
    if (words.length > 0) news.textContent = words.join(" ");
  };

  const take = (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    const next = page.querySelector("main[data-open]");
    if (!next) return false;
    announce(main.dataset.open, next.dataset.open);
    main.dataset.open = next.dataset.open;
    knownSeq = Number(next.dataset.seq);
    document.title = page.title;
    isHeld = isBusy();
    if (isHeld) return true;
    replace(next);
    main.dataset.now = next.dataset.now;
    updatedAt = Date.now();
    return true;
  };

  const refresh = async () => {
    if (document.hidden || isRunning) return;
    isRunning = true;
    askedAt = Date.now();
    try {
      const answer = await fetch(window.location.href, {
        cache: "no-store",
        credentials: "same-origin",
        headers: { "X-Requested-With": "monsys" },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (answer.status >= 500 || answer.status === 429) throw new Error("hub is not well");
      // Logged out, or the agent is gone: the browser shows what the hub says to that.
      if (answer.redirected || !answer.ok || !take(await answer.text())) {
        window.location.reload();
        return;
      }
      isUnreachable = false;
    } catch {
      isUnreachable = true;
    } finally {
      isRunning = false;
      tookMs = Date.now() - askedAt;
    }
    if (!isUnreachable && heardSeq !== knownSeq) refreshSoon();
    tell();
  };
  const refreshSoon = () => {
    if (soon) return;
    const gap = Math.max(GAP_MS, GAP_ANSWERS * tookMs);
    const wait = Math.max(Math.random() * SPREAD_MS, askedAt + gap - Date.now());
    soon = window.setTimeout(() => {
      soon = 0;
      refresh();
    }, wait);
  };

  // A hidden tab has no stream: a browser gives a hub few connections, for all its tabs together.
  const connect = () => {
    if (document.hidden || stream || Date.now() < streamFrom) return;
    heardSeq = knownSeq;
    stream = new EventSource(`${EVENTS}?after=${knownSeq}`);
    stream.addEventListener("ledger", (event) => {
      saidAt = Date.now();
      heardSeq = JSON.parse(event.data).seq;
      if (heardSeq !== knownSeq && !isRunning) refreshSoon();
    });
    stream.addEventListener("beat", () => {
      saidAt = Date.now();
    });
    stream.addEventListener("open", () => {
      saidAt = Date.now();
      if (isUnreachable) refresh();
      tell();
    });
    stream.addEventListener("error", () => {
      if (stream && stream.readyState === EventSource.CLOSED) {
        // Refused, and the browser does not come back by itself: the page says why, if it can.
        disconnect();
        streamFrom = Date.now() + STREAM_AGAIN_MS;
        refresh();
      }
      tell();
    });
  };
  const disconnect = () => {
    if (stream) stream.close();
    stream = null;
  };
  const isLive = () => Boolean(stream) && stream.readyState === EventSource.OPEN;

  const age = (ms) => {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    return seconds < 60 ? `${seconds}\u00a0s` : `${Math.floor(seconds / 60)}\u00a0min`;
  };
  const say = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  const tell = () => {
    const live = isLive() ? "live, " : "";
    const held = isHeld ? ", held while you work here" : "";
    say(status, `${live}updated ${age(Date.now() - updatedAt)} ago${held}`);
    say(warning, isUnreachable ? UNREACHABLE : "");
  };

  // What the ledger does not tell, such as the age of a finding, comes at the pace of the page.
  const paceMs = () => (isLive() ? 1000 * Number(main.dataset.pace) : POLL_MS);
  const tick = () => {
    if (isLive() && Date.now() - saidAt > SILENCE_MS) disconnect();
    connect();
    if (Date.now() - askedAt >= paceMs() || (isHeld && !isBusy())) refresh();
    tell();
  };
  const showOrHide = () => {
    if (document.hidden) disconnect();
    else tick();
  };

  connect();
  window.setInterval(tick, 1000);
  main.addEventListener("pointermove", () => {
    pointedAt = Date.now();
  });
  document.addEventListener("visibilitychange", showOrHide);
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("online", () => {
    streamFrom = 0;
    refresh();
  });
})();
