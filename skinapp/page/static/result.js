// Once an asked-for result is there, the focus goes to it, and on a narrow screen the page, too.
watch("value", () => {
  if (document.documentElement.dataset.asked !== "photo") return;
  requestAnimationFrame(() => {
    const result = element.querySelector(".headline, .notice, .refusal");
    if (!result) return;
    delete document.documentElement.dataset.asked;
    result.setAttribute("tabindex", "-1");
    result.focus({ preventScroll: true });
    if (innerWidth <= 640) element.scrollIntoView({ block: "start" });
  });
});
