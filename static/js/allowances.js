// Sliders beside the amounts: both move together, and what is left is shown. Without script the amounts are typed, and the
// preview says the same.

const form = document.querySelector("[data-allowances]");

if (form) {
  const step = Number(form.dataset.step);
  const word = form.dataset.word;
  const free = Number(form.dataset.free);
  const rest = form.querySelector("[data-rest]");
  const typed = /^([0-9][0-9,]*(?:\.[0-9]+)?)\s*(\S*)$/;
  const rows = [];

  // Units of a typed amount, as far as it is in the slider's own unit; the server reads everything else.
  const unitsOf = (text) => {
    const found = typed.exec(text.trim());
    return found && found[2].toLowerCase() === word.toLowerCase() ? Number(found[1].replaceAll(",", "")) * step : null;
  };
  const shown = (units) => `${(Math.round((units / step) * 100) / 100).toLocaleString("en-GB")} ${word}`;

  const show = () => {
    let left = free;
    for (const row of rows) {
      const units = row.input.value === row.was ? row.allocated : unitsOf(row.input.value);
      if (units === null) {
        rest.textContent = "";
        return;
      }
      left -= units - row.allocated;
    }
    rest.textContent = left < 0 ? `Not enough: ${shown(-left)} too much` : `${shown(left)} stay available here`;
    rest.toggleAttribute("data-short", left < 0);
  };

  for (const box of form.querySelectorAll(".amount")) {
    const input = box.querySelector("input");
    const row = { input, was: input.defaultValue, allocated: Number(box.dataset.allocated) };
    const slider = document.createElement("input");
    slider.type = "range";
    slider.min = String(Math.ceil(Number(box.dataset.least) / step));
    slider.max = String(Math.floor((row.allocated + free) / step));
    slider.step = "1";
    slider.value = String(Math.round(row.allocated / step));
    slider.setAttribute("aria-label", input.getAttribute("aria-label"));
    slider.addEventListener("input", () => {
      input.value = `${slider.value} ${word}`;
      slider.setAttribute("aria-valuetext", input.value);
      show();
    });
    input.addEventListener("input", () => {
      const units = unitsOf(input.value);
      if (units !== null) slider.value = String(Math.round(units / step));
      show();
    });
    box.append(slider);
    rows.push(row);
  }
  show();
}
