// The one way in. Whatever is dropped on the page, pasted, chosen or taken goes to the hidden upload field of Gradio, which
// sends it; several files at once go to the tab for many photos.
const field = () => document.querySelector("#photo-file input[type=file]");
const many = () => document.querySelector("#many-files input[type=file]");
const at = (tab) => document.querySelector(tab)?.offsetParent;
const part = (name) => document.querySelector(`.dropzone ${name}`); // built anew whenever the field comes back
const touch = matchMedia("(hover: none) and (pointer: coarse)");

async function until(found) {
  for (let tries = 0; !found() && tries < 100; tries++) await new Promise((done) => setTimeout(done, 100));
  return found();
}

async function give(files, find) {
  const input = await until(find);
  if (!input) return;
  const carrier = new DataTransfer();
  files.forEach((file) => carrier.items.add(file));
  input.files = carrier.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

function take(files) {
  const list = [...(files ?? [])];
  if (!list.length) return;
  if (list.length > 1 || list[0].name.toLowerCase().endsWith(".zip")) {
    document.querySelectorAll("#main-tabs > .tab-wrapper [role=tab]")[1]?.click();
    give(list, () => at("#many-files") && many());
    return;
  }
  if (!field()) document.querySelector("#new-photo")?.click(); // a photo is looked at: the field is not there
  document.documentElement.dataset.asked = "photo";
  give(list, field);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".dropzone button");
  if (!button) return;
  if (button.classList.contains("choose")) field()?.click();
  else if (button.classList.contains("camera")) touch.matches ? part(".rear").click() : film();
  else if (button.classList.contains("shoot")) shoot();
  else if (button.classList.contains("close")) part("dialog").close();
});
document.addEventListener("change", (event) => {
  if (event.target === part(".rear")) take(event.target.files);
});

let stream = null;
async function film() {
  const dialog = part("dialog");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1920 }, facingMode: "environment" } });
  } catch {
    part(".camera").textContent = "No camera can be used here";
    return;
  }
  part("video").srcObject = stream;
  dialog.showModal();
  dialog.addEventListener("close", () => stream.getTracks().forEach((track) => track.stop()), { once: true });
}

function shoot() {
  const video = part("video");
  if (!video.videoWidth) return;
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => {
    part("dialog").close();
    take([new File([blob], "camera.png", { type: "image/png" })]);
  }, "image/png");
}

// A drop anywhere on the page stays on the page. Within the field for many photos Gradio takes it itself.
const others = (event) => event.target.closest?.("#many-files, #many-folder");
const brings = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (brings(event) && !others(event)) event.preventDefault();
});
document.addEventListener(
  "drop",
  (event) => {
    if (!brings(event) || others(event)) return;
    event.preventDefault();
    event.stopPropagation();
    if (at("#lesion-tab")) take(event.dataTransfer.files);
    else if (at("#many-files")) give([...event.dataTransfer.files], many);
  },
  true,
);
document.addEventListener("paste", (event) => {
  if (!at("#lesion-tab") || !event.clipboardData?.files.length) return;
  event.preventDefault();
  take(event.clipboardData.files);
});
// After "New photo" the focus goes to the field.
document.addEventListener("click", async (event) => {
  if (event.target.closest("#new-photo")) (await until(() => part(".choose")?.offsetParent && part(".choose")))?.focus();
  if (event.target.closest("#examples button")) document.documentElement.dataset.asked = "photo";
});
document.addEventListener("change", (event) => {
  if (event.target === field()) document.documentElement.dataset.asked = "photo";
});
