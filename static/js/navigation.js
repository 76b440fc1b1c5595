// The account tree: unfolds branches as they are asked for, arrow keys (WAI-ARIA tree pattern), drawer on phones; tabs.

const side = document.getElementById("side");
const tree = document.querySelector("[role=tree]");

async function unfold(item) {
  const group = item.querySelector(":scope > [role=group]");
  if (group?.dataset.src) {
    const response = await fetch(group.dataset.src, { headers: { "X-Requested-With": "fetch" } });
    if (!response.ok) return;
    group.innerHTML = await response.text();
    delete group.dataset.src;
  }
  item.setAttribute("aria-expanded", "true");
}

function fold(item) {
  item.setAttribute("aria-expanded", "false");
}

function toggle(item) {
  if (item.getAttribute("aria-expanded") === "true") fold(item);
  else unfold(item);
}

function visibleItems() {
  return [...tree.querySelectorAll("[role=treeitem]")].filter((item) => item.offsetParent !== null);
}

function focusOn(item) {
  if (!item) return;
  for (const other of tree.querySelectorAll("[role=treeitem][tabindex='0']")) other.tabIndex = -1;
  item.tabIndex = 0;
  item.focus();
}

function onKey(event) {
  const item = event.target.closest("[role=treeitem]");
  if (!item || event.altKey || event.ctrlKey || event.metaKey) return;
  const items = visibleItems();
  const expanded = item.getAttribute("aria-expanded");
  const parent = item.parentElement.closest("[role=treeitem]");
  const actions = {
    ArrowDown: () => focusOn(items[items.indexOf(item) + 1]),
    ArrowUp: () => focusOn(items[items.indexOf(item) - 1]),
    Home: () => focusOn(items[0]),
    End: () => focusOn(items.at(-1)),
    ArrowRight: () => (expanded === "false" ? unfold(item) : expanded && focusOn(item.querySelector("[role=treeitem]"))),
    ArrowLeft: () => (expanded === "true" ? fold(item) : focusOn(parent)),
    Enter: () => item.querySelector(":scope > .tree-row a").click(),
    " ": () => item.querySelector(":scope > .tree-row a").click(),
  };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

if (tree) {
  tree.addEventListener("keydown", onKey);
  tree.addEventListener("click", (event) => {
    const button = event.target.closest(".tree-toggle");
    if (button) toggle(button.closest("[role=treeitem]"));
  });
  tree.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
}

function drawer(open) {
  side.classList.toggle("is-open", open);
  for (const button of document.querySelectorAll("[data-drawer-open]")) button.setAttribute("aria-expanded", String(open));
  if (open) side.querySelector("input, a, button")?.focus();
  else document.querySelector("[data-drawer-open]")?.focus();
}

if (side) {
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-drawer-open]")) drawer(true);
    else if (event.target.closest("[data-drawer-close]")) drawer(false);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && side.classList.contains("is-open")) drawer(false);
  });
}

// Where tabs do not all fit, the one that is open is in sight.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-go-to]")) window.location.assign(event.target.value);
});
