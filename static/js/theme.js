// The theme button: light, dark, or as the system has it. The choice is a cookie, so that the server renders it at once.

const ORDER = ["auto", "light", "dark"];
const WORDS = { auto: "as the system", light: "light", dark: "dark" };

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-theme-form]");
  if (!form) return;
  event.preventDefault();
  const root = document.documentElement;
  const theme = ORDER[(ORDER.indexOf(root.dataset.theme) + 1) % ORDER.length];
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
  root.dataset.theme = theme;
  for (const icon of form.querySelectorAll("[data-theme-icon]")) icon.hidden = icon.dataset.themeIcon !== theme;
  form.querySelector("button").setAttribute("aria-label", `Theme: ${WORDS[theme]}. Change`);
});
