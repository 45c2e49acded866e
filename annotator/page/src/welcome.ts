// The first screen of who has opened nothing yet, and pictures that are dropped onto the page at any time.

import { byId, h } from "./dom";
import { fileButton } from "./items";
import type { Page } from "./main";

let made = false;

export function drawWelcome(page: Page): void {
  const host = byId("welcome");
  const empty = page.items.length === 0;
  host.hidden = !empty;
  byId("page").classList.toggle("empty", empty);
  if (!empty || made) return;
  made = true;
  host.replaceChildren(
    h("h2", {}, "Drop a picture of a face here"),
    h("p", {}, "You see its 68 landmarks at once, each with the region that holds it with 90 % probability. One click where the model is wrong moves the whole face."),
    fileButton("Choose a picture", (files) => void page.add(files)),
    h("p", { class: "quiet" }, `Nothing leaves this machine. Pictures and labels are kept in ${page.folder}.`),
  );
}

/** Take files that are dropped anywhere on the page. */
export function takeDrops(add: (files: FileList) => void): void {
  let depth = 0;
  const show = (over: boolean) => document.body.classList.toggle("dropping", over);
  const files = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragenter", (event) => {
    if (files(event)) show(++depth > 0);
  });
  addEventListener("dragleave", (event) => {
    if (files(event)) show(--depth > 0);
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    show(false);
    if (event.dataTransfer?.files.length) add(event.dataTransfer.files);
  });
}
