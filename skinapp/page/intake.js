// A photo that is pasted or dropped anywhere on the tab goes where one that is chosen goes. Without this, the browser would
// leave the page for a photo that was dropped beside the field.
const field = () => document.querySelector("#photo input[type=file]");
const here = () => document.querySelector("#lesion-tab")?.offsetParent;

async function take(file) {
  if (!field()) document.querySelector("#new-photo")?.click(); // a photo is looked at: the field is not there
  for (let tries = 0; !field() && tries < 100; tries++) await new Promise((done) => setTimeout(done, 100));
  const carrier = new DataTransfer();
  carrier.items.add(file);
  const input = field();
  if (!input) return;
  input.files = carrier.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

function taken(event, files) {
  const photo = [...(files ?? [])].find((file) => file.type.startsWith("image/"));
  if (event.defaultPrevented || !photo || !here()) return;
  event.preventDefault();
  take(photo);
}

document.addEventListener("paste", (event) => taken(event, event.clipboardData?.files));
document.addEventListener("drop", (event) => taken(event, event.dataTransfer?.files));
document.addEventListener("dragover", (event) => {
  if (here() && event.dataTransfer?.types.includes("Files")) event.preventDefault();
});
