// Keeps a page fresh: every five seconds the same page is fetched and the content of <main> is
// replaced. The page is complete without this script.
"use strict";
(() => {
  const PERIOD_MS = 5000;
  const TIMEOUT_MS = 8000;
  const UNREACHABLE = "The hub does not answer. What you see may be out of date.";
  const FOCUSABLE = "a[href], button, input, select, summary";

  const main = document.querySelector("main[data-open]");
  const status = document.getElementById("status");
  const warning = document.getElementById("warning");
  const news = document.getElementById("news");
  if (!main || !status || !warning || !news) return;

  let updatedAt = Date.now();
  let isRunning = false;
  let isHeld = false;
  let isUnreachable = false;

  // A half-filled form or selected text must not vanish under the hands of a person.
  const isChanged = (field) => {
    if (field.type === "hidden") return false;
    if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
    const options = [...field.options];
    const initial = options.find((option) => option.defaultSelected) || options[0];
    return !initial.selected;
  };
  const isBusy = () => {
    const active = document.activeElement;
    if (main.contains(active) && active.closest("form")) return true;
    if ([...main.querySelectorAll("input, select")].some(isChanged)) return true;
    const selection = document.getSelection();
    return Boolean(selection) && !selection.isCollapsed && main.contains(selection.anchorNode);
  };

  // The focused element, told by the nearest element with an id and its place inside it.
  const focusPlace = () => {
    const active = document.activeElement;
    if (active === main || !main.contains(active)) return null;
    const host = active.closest("[id]");
    return { id: host.id, index: [...host.querySelectorAll(FOCUSABLE)].indexOf(active) };
  };
  const focusAgain = (place) => {
    const host = place && document.getElementById(place.id);
    if (!host) return;
    const target = place.index < 0 ? host : host.querySelectorAll(FOCUSABLE)[place.index];
    if (target) target.focus({ preventScroll: true });
  };

  const replace = (next) => {
    for (const opened of main.querySelectorAll("details[open][id]")) {
      const same = next.querySelector(`#${CSS.escape(opened.id)}`);
      if (same) same.open = true;
    }
    const place = focusPlace();
    const left = window.scrollX;
    const top = window.scrollY;
    main.replaceChildren(...next.childNodes);
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
    const old = openByKind(before);
    const fresh = [...openByKind(after)].filter(
      ([kind, now]) => now.count > (old.has(kind) ? old.get(kind).count : 0),
    );
    if (fresh.length === 0) return;
    const words = fresh.map(([kind, now]) => `${kind}, ${now.worst}, ${now.count} open`);
    news.textContent = `New open anomaly: ${words.join("; ")}.`;
  };

  const take = (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    const next = page.querySelector("main[data-open]");
    if (!next) return false;
    announce(main.dataset.open, next.dataset.open);
    main.dataset.open = next.dataset.open;
    document.title = page.title;
    isHeld = isBusy();
    if (isHeld) return true;
    replace(next);
    updatedAt = Date.now();
    return true;
  };

  const refresh = async () => {
    if (document.hidden || isRunning) return;
    isRunning = true;
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
    }
    tell();
  };

  const age = (ms) => {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    return seconds < 60 ? `${seconds}\u00a0s` : `${Math.floor(seconds / 60)}\u00a0min`;
  };
  const say = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  const tell = () => {
    const held = isHeld ? ", held while you work here" : "";
    say(status, `updated ${age(Date.now() - updatedAt)} ago${held}`);
    say(warning, isUnreachable ? UNREACHABLE : "");
  };

  window.setInterval(refresh, PERIOD_MS);
  window.setInterval(tell, 1000);
  document.addEventListener("visibilitychange", refresh);
  window.addEventListener("online", refresh);
})();
