// The picture with its faces: drawn as SVG in pixels of the picture, whatever the zoom.

import { s } from "./dom";
import { square } from "./geometry";
import { Keyed } from "./keyed";
import { contourPath, NAMES } from "./landmarks";
import { type Marked, Marks } from "./marks";
import { Pointer } from "./pointer";
import type { Exemplar, Face, Heatmap, Point, Rectangle, Region } from "./types";
import { Viewport } from "./viewport";

export type Tool = "point" | "inside" | "outside" | "box";

export interface StageView extends Marked {
  faces: Face[];
  readOnly: boolean;
}

export interface StageEvents {
  place: (landmark: number, at: Point, stamp: number) => void;
  choose: (landmark: number) => void;
  select: (face: number) => void;
  rectangle: (rectangle: Rectangle) => void;
  hover: (landmark: number | null) => void;
}

export class Stage {
  readonly svg: SVGSVGElement;
  readonly viewport: Viewport;
  tool: Tool = "point";
  view: StageView = { faces: [], face: null, landmark: null, suggested: null, readOnly: false, unseen: false };

  private readonly picture = s("image", { x: -0.5, y: -0.5, preserveAspectRatio: "none" });
  private readonly heat = s("image", { class: "heat", preserveAspectRatio: "none" });
  private readonly others = s("g", { class: "others" });
  private readonly regions = s("g", { class: "regions" });
  private readonly lines = s("path", { class: "contour" });
  private readonly ghost = s("path", { class: "ghost" });
  private readonly drawn = s("rect", { class: "drawn", visibility: "hidden" });
  private readonly marks = new Marks();
  private readonly keyed = new Keyed();
  private readonly pointer: Pointer;

  constructor(
    host: HTMLElement,
    readonly events: StageEvents,
  ) {
    this.svg = s(
      "svg",
      { role: "application", tabindex: 0, "aria-describedby": "hint", "aria-label": "The picture and its landmarks" },
      this.picture,
      this.heat,
      this.others,
      this.regions,
      this.lines,
      this.ghost,
      ...this.marks.elements,
      this.drawn,
      this.keyed.element,
    );
    host.append(this.svg);
    this.viewport = new Viewport(host, this.svg, () => this.scale());
    this.pointer = new Pointer(this);
  }

  /** Show another picture; null: none. */
  show(url: string | null, size: Point | null): void {
    this.heatmap(null);
    this.exemplar(null);
    this.keyed.at = null;
    if (url === null) this.picture.removeAttribute("href");
    else this.picture.setAttribute("href", url);
    if (size) this.resize(size);
  }

  /** Show another frame of the same video: what is looked at stays. */
  frame(url: string): void {
    this.pointer.cancel();
    this.heatmap(null);
    this.exemplar(null);
    this.picture.setAttribute("href", url);
  }

  /** Say how large the picture is. */
  resize(size: Point): void {
    this.viewport.size = size;
    this.picture.setAttribute("width", String(size[0]));
    this.picture.setAttribute("height", String(size[1]));
    this.viewport.whole();
  }

  /** The face, with some room about it. */
  closer(): void {
    if (this.view.face) this.viewport.about(this.view.face.box);
    else this.viewport.whole();
  }

  draw(view: StageView): void {
    if (view.landmark !== this.view.landmark || view.face?.id !== this.view.face?.id) this.keyed.at = null;
    this.view = view;
    const { face } = view;
    this.svg.classList.toggle("read-only", view.readOnly);
    this.lines.setAttribute("d", face ? contourPath(face.points) : "");
    this.others.replaceChildren(...view.faces.filter((one) => one.id !== face?.id).map((one) => other(one)));
    this.regions.replaceChildren(...areas(face));
    // What comes from the server meanwhile does not take a landmark out of the hand.
    this.marks.draw(view, this.pointer.held);
    this.scale();
  }

  /** The shape of an exemplar over the face; null: none. */
  exemplar(one: Exemplar | null): void {
    const face = this.view.face;
    if (!one || !face) return this.ghost.setAttribute("d", "");
    const { x, y, side } = square(face.box);
    this.ghost.setAttribute("d", contourPath(one.points, ([u, v]) => [x + u * side, y + v * side]));
  }

  /** Where a landmark may be, as light over the picture; null: none. */
  heatmap(one: Heatmap | null): void {
    this.heat.removeAttribute("href");
    if (!one?.cells) return;
    const cells = Uint8Array.from(atob(one.cells), (sign) => sign.charCodeAt(0));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [one.width, one.height];
    const context = canvas.getContext("2d");
    if (!context) return;
    const pixels = context.createImageData(one.width, one.height);
    cells.forEach((value, i) => pixels.data.set([255, 190 + value / 4, 90, Math.sqrt(value / 255) * 215], i * 4));
    context.putImageData(pixels, 0, 0);
    place(this.heat, one.rectangle);
    this.heat.setAttribute("href", canvas.toDataURL());
  }

  /** Choose a tool. A rectangle can be drawn by keys as well: it begins at the landmark, or in the middle. */
  use(tool: Tool): void {
    this.tool = tool;
    this.svg.dataset["tool"] = tool;
    this.keyed.at = null;
    this.outline(null);
    this.scale();
  }

  /** Move what a key would place by pixels of the picture. */
  nudge(dx: number, dy: number): void {
    this.keyed.nudge(dx, dy, this.here);
    this.scale();
  }

  /** Make the rectangle that keys draw larger or smaller. */
  grow(across: number, down: number): void {
    if (this.tool === "point") return;
    this.keyed.nudge(0, 0, this.here);
    this.keyed.grow(across, down, this.usualHalf);
    this.scale();
  }

  /** Where a key places the landmark: where it was moved to, or where it is. */
  take(): Point | null {
    const at = this.keyed.at ?? this.here;
    this.keyed.at = null;
    this.scale();
    return at;
  }

  /** The rectangle that keys have drawn. */
  takeRectangle(): Rectangle | null {
    const found = this.keyed.rectangle(this.keyed.at ?? this.here, this.usualHalf);
    this.keyed.at = null;
    this.outline(null);
    this.scale();
    return found;
  }

  /** Forget where a key would place the landmark, and what is dragged; false: there was neither. */
  forget(): boolean {
    const was = this.keyed.at !== null || this.pointer.busy;
    this.keyed.at = null;
    this.pointer.cancel();
    this.draw(this.view);
    return was;
  }

  /** Show a landmark somewhere, while it is dragged. */
  move(landmark: number, at: Point): void {
    this.marks.move(landmark, at);
  }

  /** Show which landmark is near the pointer. */
  near(landmark: number | null): void {
    this.marks.hover(landmark);
  }

  /** Show a rectangle that is being drawn; null: none. */
  outline(rectangle: Rectangle | null): void {
    this.drawn.setAttribute("visibility", rectangle ? "visible" : "hidden");
    this.drawn.setAttribute("class", `drawn ${this.tool}`);
    if (rectangle) place(this.drawn, rectangle);
  }

  /** Where keys begin. */
  private get here(): Point | null {
    const { face, landmark } = this.view;
    const { size } = this.viewport;
    if (this.tool === "box") return [size[0] / 2, size[1] / 2];
    return face && landmark !== null ? (face.points[landmark] ?? null) : null;
  }

  /** Half a side of the rectangle that keys begin with. */
  private get usualHalf(): number {
    const box = this.view.face?.box;
    return this.tool === "box" || !box ? Math.min(...this.viewport.size) / 5 : (box[2] - box[0]) / 10;
  }

  /** Sizes that are the same on the screen at any zoom. */
  private scale(): void {
    const { unit } = this.viewport;
    this.picture.style.imageRendering = unit < 0.1 ? "pixelated" : "auto";
    this.marks.scale(unit);
    if (this.tool !== "point" && !this.pointer.busy) this.outline(this.keyed.rectangle(this.keyed.at, this.usualHalf));
    this.keyed.draw(unit);
  }
}

/** Put an element where a rectangle of the picture is. */
function place(element: SVGElement, [x0, y0, x1, y1]: Rectangle): void {
  for (const [name, value] of Object.entries({ x: x0, y: y0, width: x1 - x0, height: y1 - y0 }))
    element.setAttribute(name, String(value));
}

function other(face: Face): SVGElement {
  const [x0, y0, x1, y1] = face.box;
  const rect = s("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, rx: (x1 - x0) / 20 });
  return s("g", { class: "other", "data-face": face.id }, rect, s("path", { d: contourPath(face.points) }));
}

function areas(face: Face | null): SVGElement[] {
  const found = face?.evidence.filter((one): one is Region => one.kind === "inside" || one.kind === "outside") ?? [];
  return found.map((one) => {
    const [x0, y0, x1, y1] = one.area.rectangle ?? [0, 0, 0, 0];
    const rect = s("rect", { class: one.kind, x: x0, y: y0, width: x1 - x0, height: y1 - y0 });
    rect.append(s("title", {}, `${NAMES[one.landmark]} is ${one.kind}`));
    return rect;
  });
}
