element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-number]");
  if (button) trigger("chosen", { number: Number(button.dataset.number) });
});
