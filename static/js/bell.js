// Keeps the bell in the header up to date over its own socket. Without script it shows what was unread when the page came.

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30000;
const SIGN_IN = 4401;

const bell = document.querySelector("[data-bell]");
let retryMs = FIRST_RETRY_MS;

function show({ unread, words }) {
  const before = Number(bell.dataset.unread);
  const count = bell.querySelector("[data-bell-count]");
  bell.dataset.unread = unread;
  bell.setAttribute("aria-label", words);
  count.textContent = unread;
  count.hidden = unread === 0;
  if (unread !== before) document.dispatchEvent(new CustomEvent("noticed")); // lists of notices fetch themselves anew
  if (unread > before) document.querySelector("[data-bell-announce]").textContent = words;
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/live/notices/`);
  socket.addEventListener("message", (event) => {
    retryMs = FIRST_RETRY_MS;
    show(JSON.parse(event.data));
  });
  socket.addEventListener("close", (event) => {
    if (event.code === SIGN_IN) return; // the next page asks for a sign-in
    setTimeout(connect, retryMs * (0.5 + Math.random()));
    retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
  });
}

if (bell) connect();
