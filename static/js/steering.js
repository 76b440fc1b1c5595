// Keeps what is typed into a rule while the server answers a change of one of its fields: the answer is the form as it was
// sent, so what differs from that by then is put into it, and asked about if it is such a change. What adds or removes gives
// conditions other names: it waits for the answer before it, and until its own nothing can be typed. Without script the
// page is loaded anew.

let asked = 0;
let before = new Map();
let typed = new Map();
let waiting = null;

const controls = (form) => [...form.elements].filter((one) => one.name && one.type !== "hidden" && one.type !== "submit");
const isBox = (one) => one.type === "checkbox" || one.type === "radio";
const nameOf = (one) => (isBox(one) ? `${one.name}=${one.value}` : one.name);
const valueOf = (one) => (isBox(one) ? one.checked : one.value);
const said = (form) => new Map(controls(form).map((one) => [nameOf(one), valueOf(one)]));
const formIn = (event) => (event.detail.target?.id === "editor" ? event.detail.target.querySelector("form") : null);

document.addEventListener("click", (event) => {
  const button = event.target.closest("#editor button[hx-post]");
  if (!button || !asked) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  waiting = button.value;
}, { capture: true });

document.addEventListener("htmx:beforeRequest", (event) => {
  const form = formIn(event);
  if (!form) return;
  asked += 1;
  before = said(form);
  form.inert = event.detail.elt.matches("button");
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const form = formIn(event);
  if (form) typed = new Map([...said(form)].filter(([name, value]) => before.has(name) && before.get(name) !== value));
});

// Templates say settle:0, so that what was put in place listens before anybody can touch it.
document.addEventListener("htmx:afterSettle", () => {
  const form = document.querySelector("#editor form");
  if (!form || !typed.size) return;
  const found = controls(form).filter((one) => typed.has(nameOf(one)));
  for (const one of found) {
    const value = typed.get(nameOf(one));
    if (isBox(one)) one.checked = value;
    else if (one.tagName !== "SELECT" || [...one.options].some((option) => option.value === value)) one.value = value;
  }
  typed.clear();
  const changed = found.find((one) => one.matches("[hx-post]")) ?? found[0];
  changed?.dispatchEvent(new Event("input", { bubbles: true })); // what the rule says is asked for anew
  changed?.dispatchEvent(new Event("change", { bubbles: true }));
});

document.addEventListener("htmx:afterRequest", (event) => {
  const form = formIn(event);
  if (!form) return;
  form.inert = false;
  asked -= 1;
  if (asked || waiting === null) return;
  const button = document.querySelector(`#editor button[hx-post][value="${CSS.escape(waiting)}"]`);
  waiting = null;
  button?.click();
});
