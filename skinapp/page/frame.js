// The loaded photo with the square that the network reads: drag it, pull its corner, or use the keyboard.
// `props.value` is {src, width, height, x, y, side}; 'framed' tells the server the new square as shares.
const STEP = 0.02;
const SMALLEST = 0.15;
let now = null;

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function place() {
  const square = element.querySelector(".frame-square");
  if (!square || !props.value) return;
  const { width, height } = props.value;
  const shorter = Math.min(width, height);
  now.side = clamp(now.side, SMALLEST, 1);
  const pixels = now.side * shorter;
  now.x = clamp(now.x, pixels / 2 / width, 1 - pixels / 2 / width);
  now.y = clamp(now.y, pixels / 2 / height, 1 - pixels / 2 / height);
  square.style.left = `${100 * (now.x - pixels / 2 / width)}%`;
  square.style.top = `${100 * (now.y - pixels / 2 / height)}%`;
  square.style.width = `${(100 * pixels) / width}%`;
  square.style.height = `${(100 * pixels) / height}%`;
  // A finger that cannot move the square scrolls the page.
  square.style.touchAction = now.side > 0.99 ? "pan-y" : "none";
}

function taken() {
  now = props.value ? { x: props.value.x, y: props.value.y, side: props.value.side } : null;
  place();
}

let waiting = null;
function tell(delay) {
  clearTimeout(waiting);
  waiting = setTimeout(() => trigger("framed", { ...now }), delay);
}

element.addEventListener("pointerdown", (event) => {
  const square = event.target.closest(".frame-square");
  if (!square || !now) return;
  event.preventDefault();
  square.focus();
  const photo = element.querySelector(".frame-photo").getBoundingClientRect();
  const start = { ...now, left: event.clientX, top: event.clientY };
  const pulls = event.target.classList.contains("frame-corner");
  const shorter = Math.min(photo.width, photo.height);
  const move = (to) => {
    const right = to.clientX - start.left, down = to.clientY - start.top;
    if (pulls) {
      // The opposite corner stays where it is.
      const grown = clamp(Math.max(right, down) / shorter, SMALLEST - start.side, 1 - start.side);
      now.side = start.side + grown;
      now.x = start.x + (grown * shorter) / 2 / photo.width;
      now.y = start.y + (grown * shorter) / 2 / photo.height;
    } else {
      now.x = start.x + right / photo.width;
      now.y = start.y + down / photo.height;
    }
    place();
  };
  const end = () => {
    window.removeEventListener("pointermove", move);
    window.removeEventListener("pointerup", end);
    window.removeEventListener("pointercancel", end);
    if (now.x !== start.x || now.y !== start.y || now.side !== start.side) tell(0);
  };
  window.addEventListener("pointermove", move);
  window.addEventListener("pointerup", end);
  window.addEventListener("pointercancel", end);
});

element.addEventListener("keydown", (event) => {
  if (!now || !event.target.closest(".frame-square")) return;
  const moves = {
    ArrowLeft: () => (now.x -= STEP),
    ArrowRight: () => (now.x += STEP),
    ArrowUp: () => (now.y -= STEP),
    ArrowDown: () => (now.y += STEP),
    "+": () => (now.side += STEP),
    "-": () => (now.side -= STEP),
  };
  if (!(event.key in moves)) return;
  event.preventDefault();
  moves[event.key]();
  place();
  tell(400);
});

watch("value", taken);
taken();
