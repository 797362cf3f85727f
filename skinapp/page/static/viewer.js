// The viewer: all pictures of one figure are zoomed and moved together. Modes and zoom stay while another map arrives.
const root = document.documentElement;
let zoom = { scale: 1, x: 0, y: 0 }; // x and y: shares of a picture's side
root.dataset.view ??= "over";

function draw() {
  zoom.scale = Math.min(12, Math.max(1, zoom.scale));
  const most = zoom.scale - 1;
  zoom.x = Math.min(0, Math.max(-most, zoom.x));
  zoom.y = Math.min(0, Math.max(-most, zoom.y));
  element.querySelectorAll(".layer").forEach((layer) => {
    layer.style.transform = `translate(${100 * zoom.x}%, ${100 * zoom.y}%) scale(${zoom.scale})`;
  });
  element.querySelector("figure")?.classList.toggle("zoomed", zoom.scale > 1);
  element.querySelectorAll("[data-mode]").forEach((button) => {
    button.setAttribute("aria-pressed", String(button.dataset.mode === root.dataset.view));
  });
}

function zoomAt(factor, stack, clientX, clientY) {
  const box = stack.getBoundingClientRect();
  const x = (clientX - box.left) / box.width, y = (clientY - box.top) / box.height;
  const scale = Math.min(12, Math.max(1, zoom.scale * factor)), grown = scale / zoom.scale;
  zoom = { scale, x: x - (x - zoom.x) * grown, y: y - (y - zoom.y) * grown };
  draw();
}

function zoomMiddle(factor) {
  const stack = element.querySelector(".stack:not(.bare)");
  if (!stack) return;
  const box = stack.getBoundingClientRect();
  zoomAt(factor, stack, box.left + box.width / 2, box.top + box.height / 2);
}

element.addEventListener(
  "wheel",
  (event) => {
    const stack = event.target.closest(".stack");
    if (!stack) return;
    event.preventDefault();
    zoomAt(Math.exp(-event.deltaY / 400), stack, event.clientX, event.clientY);
  },
  { passive: false },
);

const fingers = new Map();
element.addEventListener("pointerdown", (event) => {
  const stack = event.target.closest(".stack");
  if (!stack) return;
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY, stack });
  if (event.pointerType === "mouse") event.preventDefault();
});
window.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, finger]) => finger);
  if (others.length) {
    const [other] = others;
    const was = Math.hypot(before.x - other.x, before.y - other.y);
    const now = Math.hypot(event.clientX - other.x, event.clientY - other.y);
    if (was > 0) zoomAt(now / was, before.stack, (event.clientX + other.x) / 2, (event.clientY + other.y) / 2);
  } else if (zoom.scale > 1) {
    zoom.x += (event.clientX - before.x) / before.stack.clientWidth;
    zoom.y += (event.clientY - before.y) / before.stack.clientHeight;
    draw();
  }
  fingers.set(event.pointerId, { ...before, x: event.clientX, y: event.clientY });
});
for (const end of ["pointerup", "pointercancel"])
  window.addEventListener(end, (event) => fingers.delete(event.pointerId));

function full() {
  if (document.fullscreenElement) document.exitFullscreen();
  else element.querySelector("figure")?.requestFullscreen?.();
}

const help = () => element.querySelector("dialog")?.showModal();

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.mode) root.dataset.view = button.dataset.mode;
  if (button.dataset.mode && element.querySelector(".three")) trigger("asked", { what: "one" });
  if (button.dataset.ask) trigger("asked", { what: element.querySelector(".three") ? "one" : "three" });
  if (button.dataset.do === "full") full();
  if (button.dataset.do === "help") help();
  draw();
});

document.addEventListener("keydown", (event) => {
  if (!element.isConnected) return; // this viewer has been replaced by another
  const typing = event.target.closest?.("input:not([type=radio]):not([type=range]), textarea, [contenteditable], dialog, .frame-square");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !document.querySelector("#lesion-tab")?.offsetParent) return;
  const key = event.key.toLowerCase();
  const viewer = element.querySelector("figure");
  if (key === "n" && viewer) document.querySelector("#new-photo")?.click();
  else if (!viewer) return;
  else if (/^[1-7]$/.test(key)) trigger("asked", { what: "class", number: Number(key) - 1 });
  else if (key === "m") root.dataset.hidden = "yes";
  else if (key === "f") full();
  else if (key === "p") document.querySelector("#export-pdf")?.click();
  else if (key === "?") help();
  else if (key === "+" || key === "=") zoomMiddle(1.4);
  else if (key === "-") zoomMiddle(1 / 1.4);
  else if (key === "0") (zoom = { scale: 1, x: 0, y: 0 }), draw();
  else return;
  event.preventDefault();
});
document.addEventListener("keyup", (event) => {
  if (event.key.toLowerCase() === "m") delete root.dataset.hidden;
});

let seen = null;
watch("value", () =>
  requestAnimationFrame(() => {
    const photo = element.querySelector(".layer img")?.src ?? null;
    if (photo !== seen) zoom = { scale: 1, x: 0, y: 0 };
    seen = photo;
    draw();
  }),
);
draw();
