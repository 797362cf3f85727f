// Headers sort, arrows turn pages; the server sends the rows in their new order. The focus stays on the button used.
let used = null;

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-sort], button[data-page]");
  if (!button || button.disabled) return;
  used = button.id;
  trigger("arranged", { sort: button.dataset.sort ?? "", page: button.dataset.page ?? null });
});

watch("value", () => {
  if (used) element.querySelector(`#${used}`)?.focus();
  used = null;
});
