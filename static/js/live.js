// Keeps a page up to date over its socket. The server sends absolute state (portal/live/state.py); here it is only put in
// place. Without script, or without a socket, the page shows the same figures as of when it was loaded.

const QUIET_MS = 8000; // the server says something every 3 s; after this long without a word the figures are stale
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15000;
const SIGN_IN = 4401;
const NOT_FOUND = 4404;
const ANNOUNCED = { connecting: "Connecting", live: "Live", stale: "Live connection lost" };

const find = (name, key) => document.querySelectorAll(`[${name}="${CSS.escape(key)}"]`);

export function applyState(state) {
  for (const [key, text] of Object.entries(state.figures)) {
    for (const element of find("data-live", key)) {
      if (element.textContent !== text) {
        element.textContent = text;
        flash(element);
      }
    }
  }
  for (const [key, attributes] of Object.entries(state.attributes)) {
    for (const element of find("data-live-attributes", key)) {
      for (const [name, value] of Object.entries(attributes)) {
        if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
      }
    }
  }
  for (const [key, html] of Object.entries(state.fragments)) {
    for (const element of find("data-live-fragment", key)) {
      if (element.dataset.liveText === html) continue;
      const next = parsed(html);
      if (!sameContent(element, next)) element.replaceChildren(...next.childNodes);
      element.dataset.liveText = html;
    }
  }
  for (const [key, rows] of Object.entries(state.rows)) {
    for (const element of find("data-live-rows", key)) placeRows(element, rows);
    for (const element of find("data-live-empty", key)) element.hidden = rows.length > 0;
  }
}

function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

function sameContent(element, fragment) {
  const other = document.createElement("div");
  other.append(fragment.cloneNode(true));
  return element.innerHTML.trim() === other.innerHTML.trim();
}

// Rows come, go and change by id; those that stay keep their focus.
function placeRows(box, rows) {
  const present = new Map([...box.children].map((row) => [row.dataset.row, row]));
  const placed = rows.map(({ id, html }) => {
    const old = present.get(id);
    const fresh = parsed(html).firstElementChild;
    if (old && old.innerHTML === fresh.innerHTML) return old;
    if (!old || !old.contains(document.activeElement)) {
      flash(fresh);
      return fresh;
    }
    return old;
  });
  if (placed.length !== box.children.length || placed.some((row, place) => box.children[place] !== row)) {
    box.replaceChildren(...placed);
  }
}

function flash(element) {
  element.classList.remove("is-fresh");
  requestAnimationFrame(() => element.classList.add("is-fresh"));
}

class LivePage {
  constructor(main) {
    this.main = main;
    this.mark = document.querySelector("[data-live-mark]");
    this.sequence = Number(main.dataset.liveSequence);
    this.asOf = main.dataset.liveAsOf;
    this.retryMs = FIRST_RETRY_MS;
    this.show("connecting");
    this.connect();
    setInterval(() => this.watch(), 1000);
    document.addEventListener("visibilitychange", () => document.hidden || this.connectIfDown());
    window.addEventListener("online", () => this.connectIfDown());
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}${this.main.dataset.liveUrl}`);
    this.socket.addEventListener("message", (event) => this.receive(JSON.parse(event.data)));
    this.socket.addEventListener("close", (event) => this.closed(event));
  }

  connectIfDown() {
    if (this.socket.readyState !== WebSocket.CLOSED) return;
    clearTimeout(this.retry);
    this.connect();
  }

  receive(message) {
    this.heardAt = Date.now();
    this.retryMs = FIRST_RETRY_MS;
    const wentBack = message.sequence < this.sequence;
    const reshaped = message.type === "state" && message.structure !== this.main.dataset.liveStructure;
    if (wentBack || reshaped) {
      this.reload();
      return;
    }
    this.sequence = message.sequence;
    this.asOf = message.as_of;
    this.chargedAt = message.charged_at;
    if (message.type === "state") applyState(message);
    this.show("live");
  }

  closed(event) {
    if (event.code === SIGN_IN || event.code === NOT_FOUND) {
      location.reload(); // the server says what this page is now: a sign-in, or nothing
      return;
    }
    this.show("stale");
    this.retry = setTimeout(() => this.connect(), this.retryMs * (0.5 + Math.random()));
    this.retryMs = Math.min(this.retryMs * 2, LONGEST_RETRY_MS);
  }

  watch() {
    if (this.heardAt && Date.now() - this.heardAt > QUIET_MS) this.show("stale");
  }

  show(connection) {
    if (!this.mark) return;
    const words = {
      connecting: `as of ${this.asOf}`,
      live: `Live, as of ${this.asOf}${this.lag()}`,
      stale: `Live connection lost, figures from ${this.asOf}`,
    };
    const changed = this.mark.dataset.connection !== connection;
    this.mark.dataset.connection = connection;
    this.mark.querySelector("[data-live-words]").textContent = words[connection];
    this.main.toggleAttribute("data-stale", connection === "stale");
    if (changed) this.mark.querySelector("[data-live-announce]").textContent = ANNOUNCED[connection];
  }

  lag() {
    if (!this.chargedAt) return "";
    const seconds = Math.max(0, Math.round((Date.now() - Date.parse(this.chargedAt)) / 1000));
    if (seconds < 120) return `, last charge ${seconds} s ago`;
    if (seconds < 7200) return `, last charge ${Math.floor(seconds / 60)} min ago`;
    return "";
  }

  // The page is another one now (a new cycle, a new service, a restored database): fetch it anew.
  async reload() {
    if (this.reloading) return;
    this.reloading = true;
    try {
      const response = await fetch(location.href);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.getElementById("main");
      if (!response.ok || !fresh?.dataset.liveUrl) {
        location.reload();
        return;
      }
      for (const { name, value } of fresh.attributes) this.main.setAttribute(name, value);
      this.main.replaceChildren(...fresh.childNodes);
      this.mark = document.querySelector("[data-live-mark]");
      this.sequence = Number(fresh.dataset.liveSequence);
      this.asOf = fresh.dataset.liveAsOf;
      this.show("live");
    } finally {
      this.reloading = false;
    }
  }
}

const main = document.querySelector("main[data-live-url]");
if (main) new LivePage(main);
