// The list of pictures and videos of the project.

import { api } from "./api";
import { h } from "./dom";
import { plural } from "./geometry";
import type { Item } from "./types";

export class ItemList {
  private drawn = "";

  constructor(
    private readonly host: HTMLElement,
    private readonly open: (name: string) => void,
    private readonly add: (files: FileList) => void,
  ) {}

  draw(items: Item[], current: string | null): void {
    const state = JSON.stringify([items, current]);
    if (state === this.drawn) return;
    this.drawn = state;
    const focused = this.host.contains(document.activeElement);
    const scrolled = this.host.scrollTop;
    this.host.replaceChildren(
      h("ul", {}, ...items.map((item) => this.row(item, item.name === current))),
      h("div", { class: "add" }, fileButton("Add pictures", this.add)),
    );
    this.host.scrollTop = scrolled;
    const chosen = this.host.querySelector<HTMLElement>("[aria-current]");
    chosen?.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (focused) chosen?.focus();
  }

  private row(item: Item, current: boolean): HTMLElement {
    const thumb = item.video ? h("span", { class: "thumb film" }, "▶") : picture(item.name);
    return h(
      "li",
      {},
      h(
        "button",
        { "aria-current": current && "true", title: item.name, click: () => this.open(item.name) },
        thumb,
        h("span", { class: "name" }, item.name),
        h("span", { class: item.problem ? "state problem" : "state" }, stateOf(item)),
        item.done && h("span", { class: "done", role: "img", "aria-label": "done" }, "✓"),
      ),
    );
  }
}

const thumbs = new Map<string, HTMLImageElement>();

/** A small picture, made once: the list is drawn again after every action. */
function picture(name: string): HTMLImageElement {
  const known = thumbs.get(name);
  if (known) return known;
  const made = h("img", { class: "thumb", src: api.pictureUrl(name), alt: "", loading: "lazy", decoding: "async" });
  thumbs.set(name, made);
  return made;
}

function stateOf(item: Item): string {
  if (item.problem) return item.problem;
  if (item.video) return item.corrected ? `video, ${plural(item.corrected, "frame")} corrected` : "video";
  if (item.faces === null) return "";
  const faces = item.faces ? plural(item.faces, "face") : "no face";
  return item.corrected ? `${faces}, ${item.corrected} corrected` : faces;
}

/** A button that chooses files. */
export function fileButton(text: string, add: (files: FileList) => void): HTMLElement {
  const input = h("input", { type: "file", accept: "image/*,.heic,.avif", multiple: true, hidden: true, "aria-label": text });
  input.addEventListener("change", () => {
    if (input.files?.length) add(input.files);
    input.value = "";
  });
  return h("span", {}, input, h("button", { class: "quiet", click: () => input.click() }, text));
}
