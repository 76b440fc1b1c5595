// Rows of a list are chosen one by one, by page, or all that match; the number chosen is shown.

const form = document.querySelector("[data-choose]");

if (form) {
  const page = form.querySelector("[data-choose-page]");
  const all = form.querySelector("[data-choose-all]");
  const count = form.querySelector("[data-choose-count]");
  const rows = [...form.querySelectorAll("input[name=id]")];

  const show = () => {
    const chosen = rows.filter((row) => row.checked).length;
    if (page) {
      page.checked = chosen === rows.length;
      page.indeterminate = chosen > 0 && chosen < rows.length;
      count.textContent = chosen ? `${chosen} chosen` : "Choose the page";
    }
    for (const row of rows) row.disabled = Boolean(all?.checked);
  };

  page?.addEventListener("change", () => {
    for (const row of rows) row.checked = page.checked;
    show();
  });
  form.addEventListener("change", show);
  show();
}
