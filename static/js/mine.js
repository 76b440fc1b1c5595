// Keeps one's own page up to date: asks for the page again while it is looked at, and puts in place what has changed.
// Without script it shows the figures as of when it was loaded.

const TURN_MS = 4000;
const LONGEST_TURN_MS = 60000;
const ANNOUNCED = { live: "Live", stale: "Live connection lost" };

const mark = document.querySelector("[data-now-mark]");
const words = mark?.querySelector("[data-now-words]");
let asOf = words?.textContent;
let turnMs = TURN_MS;
let timer;

function show(connection) {
  if (mark.dataset.connection !== connection) mark.querySelector("[data-now-announce]").textContent = ANNOUNCED[connection];
  mark.dataset.connection = connection;
  words.textContent = connection === "live" ? `Live, ${asOf}` : `Live connection lost, figures ${asOf}`;
}

// Rows that were not there before are shown to be fresh; what has the reader's focus is left alone until the next turn.
function place(region, fresh) {
  if (region.innerHTML === fresh.innerHTML || region.contains(document.activeElement)) return;
  const known = new Set([...region.querySelectorAll("dd, li")].map((row) => row.innerHTML));
  const rows = [...fresh.querySelectorAll("dd, li")].filter((row) => !known.has(row.innerHTML));
  region.replaceChildren(...fresh.childNodes);
  requestAnimationFrame(() => rows.forEach((row) => row.classList.add("is-fresh")));
}

async function turn() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (response.redirected || (response.status >= 400 && response.status < 500)) {
      location.reload(); // the server says what this page is now: a sign-in, or nothing
      return;
    }
    if (!response.ok) throw new Error(response.statusText);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const region of document.querySelectorAll("[data-now]")) {
      const fresh = page.querySelector(`[data-now="${CSS.escape(region.dataset.now)}"]`);
      if (fresh) place(region, fresh);
    }
    asOf = page.querySelector("[data-now-words]")?.textContent ?? asOf;
    turnMs = TURN_MS;
    show("live");
  } catch {
    turnMs = Math.min(turnMs * 2, LONGEST_TURN_MS);
    show("stale");
  }
  timer = setTimeout(turn, turnMs);
}

if (mark) {
  document.addEventListener("visibilitychange", turn);
  window.addEventListener("online", turn);
  timer = setTimeout(turn, TURN_MS);
}
