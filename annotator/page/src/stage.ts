// The picture with its faces: drawn as SVG in pixels of the picture, whatever the zoom.

import { s } from "./dom";
import { between, contains, ellipse, isUncertain, square } from "./geometry";
import { contourPath, COUNT, NAMES } from "./landmarks";
import type { Exemplar, Face, Heatmap, Point, Rectangle, Region } from "./types";

export type Tool = "point" | "inside" | "outside" | "box";

export interface StageView {
  faces: Face[];
  face: Face | null;
  /** The landmark that a click places. */
  landmark: number | null;
  suggested: number | null;
  readOnly: boolean;
  /** Whether the face is hidden in this frame of a video. */
  unseen: boolean;
}

export interface StageEvents {
  place: (landmark: number, at: Point, stamp: number) => void;
  choose: (landmark: number) => void;
  select: (face: number) => void;
  rectangle: (rectangle: Rectangle) => void;
  hover: (landmark: number | null) => void;
}

/** Sizes on the screen, in its pixels. */
const DOT = 3;
const CLICKED = 4.2;
const NEAR = 9;
const SLOP = 4;

interface Mark {
  group: SVGGElement;
  spread: SVGEllipseElement;
  dot: SVGCircleElement;
  ring: SVGCircleElement;
}

type Drag =
  | { kind: "mark"; landmark: number; moved: boolean; from: Point; at: Point; id: number }
  | { kind: "pan"; moved: boolean; from: Point; at: Point; id: number }
  | { kind: "rectangle"; start: Point; id: number };

export class Stage {
  readonly svg: SVGSVGElement;
  tool: Tool = "point";

  private readonly picture = s("image", { x: -0.5, y: -0.5, preserveAspectRatio: "none" });
  private readonly heat = s("image", { class: "heat", preserveAspectRatio: "none" });
  private readonly others = s("g", { class: "others" });
  private readonly regions = s("g", { class: "regions" });
  private readonly lines = s("path", { class: "contour" });
  private readonly ghost = s("path", { class: "ghost" });
  private readonly drawn = s("rect", { class: "drawn", visibility: "hidden" });
  private readonly cursor = s("path", { class: "cursor", visibility: "hidden" });
  private readonly marks: Mark[];
  private view: StageView = { faces: [], face: null, landmark: null, suggested: null, readOnly: false, unseen: false };
  private size: Point = [1, 1];
  private box: Rectangle = [0, 0, 1, 1];
  private drag: Drag | null = null;
  private hovered: number | null = null;
  /** Where a key would place the landmark. */
  private keyed: Point | null = null;
  private keyedHalf: Point | null = null;

  constructor(
    private readonly host: HTMLElement,
    private readonly events: StageEvents,
  ) {
    this.marks = Array.from({ length: COUNT }, (_, n) => {
      const spread = s("ellipse", { class: "spread" });
      const ring = s("circle", { class: "ring" });
      const dot = s("circle", { class: "dot" });
      const group = s("g", { class: "mark", "data-landmark": n }, spread, ring, dot);
      return { group, spread, dot, ring };
    });
    this.svg = s(
      "svg",
      { role: "application", tabindex: 0, "aria-describedby": "hint", "aria-label": "The picture and its landmarks" },
      this.picture,
      this.heat,
      this.others,
      this.regions,
      this.lines,
      this.ghost,
      ...this.marks.map((mark) => mark.group),
      this.drawn,
      this.cursor,
    );
    host.append(this.svg);
    this.svg.addEventListener("pointerdown", (event) => this.down(event));
    this.svg.addEventListener("pointermove", (event) => this.move(event));
    this.svg.addEventListener("pointerup", (event) => this.up(event));
    this.svg.addEventListener("pointercancel", () => this.cancel());
    this.svg.addEventListener("pointerleave", () => this.hover(null));
    this.svg.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    new ResizeObserver(() => this.fit(this.box)).observe(host);
  }

  /** Show another picture; null: none. */
  show(url: string | null, size: Point | null): void {
    this.heatmap(null);
    this.exemplar(null);
    this.keyed = null;
    if (url === null) this.picture.removeAttribute("href");
    else this.picture.setAttribute("href", url);
    if (size) this.resize(size);
  }

  /** Show another frame of the same video: what is looked at stays. */
  frame(url: string): void {
    this.drag = null;
    this.heatmap(null);
    this.exemplar(null);
    this.picture.setAttribute("href", url);
  }

  /** Say how large the picture is. */
  resize(size: Point): void {
    this.size = size;
    this.picture.setAttribute("width", String(size[0]));
    this.picture.setAttribute("height", String(size[1]));
    this.whole();
  }

  /** The whole picture. */
  whole(): void {
    this.fit([-0.5, -0.5, this.size[0] - 0.5, this.size[1] - 0.5]);
  }

  /** The face, with some room about it. */
  closer(): void {
    if (!this.view.face) return this.whole();
    const [x0, y0, x1, y1] = this.view.face.box;
    const room = 0.28 * Math.max(x1 - x0, y1 - y0);
    this.fit([x0 - room, y0 - room, x1 + room, y1 + room]);
  }

  /** Zoom about a point; the middle where none is given. */
  zoom(factor: number, about?: Point): void {
    const [x0, y0, x1, y1] = this.box;
    const [ax, ay] = about ?? [(x0 + x1) / 2, (y0 + y1) / 2];
    const width = (x1 - x0) * factor;
    if (width < 8 || width > 20 * this.size[0]) return;
    this.fit([ax + (x0 - ax) * factor, ay + (y0 - ay) * factor, ax + (x1 - ax) * factor, ay + (y1 - ay) * factor]);
  }

  draw(view: StageView): void {
    if (view.landmark !== this.view.landmark || view.face?.id !== this.view.face?.id) this.keyed = null;
    this.view = view;
    const { face } = view;
    this.svg.classList.toggle("read-only", view.readOnly);
    this.lines.setAttribute("d", face ? contourPath(face.points) : "");
    this.others.replaceChildren(...view.faces.filter((one) => one !== face).map((one) => this.other(one)));
    this.regions.replaceChildren(...this.areas(face));
    const clicked = new Set(face?.evidence.filter((one) => one.kind === "click").map((one) => one.landmark));
    this.marks.forEach((mark, n) => {
      mark.group.classList.toggle("absent", !face);
      if (!face) return;
      // What comes from the server meanwhile does not take a landmark out of the hand.
      const held = this.drag?.kind === "mark" && this.drag.moved && this.drag.landmark === n ? this.drag.at : null;
      this.moveMark(mark, held ?? face.points[n] ?? [0, 0]);
      const { rx, ry, turn } = ellipse(face.covariances[n] ?? [0, 0, 0]);
      mark.spread.setAttribute("rx", rx.toFixed(3));
      mark.spread.setAttribute("ry", ry.toFixed(3));
      mark.spread.setAttribute("transform", `rotate(${turn.toFixed(2)})`);
      const { classList } = mark.group;
      classList.toggle("clicked", clicked.has(n));
      classList.toggle("hidden", face.hidden.includes(n));
      classList.toggle("uncertain", (view.unseen && !clicked.has(n)) || isUncertain(face, n));
      classList.toggle("active", n === view.landmark);
      classList.toggle("suggested", n === view.suggested && !view.readOnly);
    });
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
    const [x0, y0, x1, y1] = one.rectangle;
    for (const [name, value] of Object.entries({ x: x0, y: y0, width: x1 - x0, height: y1 - y0 }))
      this.heat.setAttribute(name, String(value));
    this.heat.setAttribute("href", canvas.toDataURL());
  }

  /** Choose a tool. A rectangle can be drawn by keys as well: it begins at the landmark, or in the middle. */
  use(tool: Tool): void {
    this.tool = tool;
    this.svg.dataset["tool"] = tool;
    this.keyed = null;
    this.outline(null);
    this.scale();
  }

  /** Move what a key would place by pixels of the picture. */
  nudge(dx: number, dy: number): void {
    const from = this.keyed ?? this.here();
    if (!from) return;
    this.keyed = [from[0] + dx, from[1] + dy];
    this.scale();
  }

  /** Make the rectangle that keys draw larger or smaller. */
  grow(across: number, down: number): void {
    if (this.tool === "point") return;
    this.keyed ??= this.here();
    const [width, height] = this.half;
    this.keyedHalf = [Math.max(width * across, 1), Math.max(height * down, 1)];
    this.scale();
  }

  /** Where a key places the landmark: where it was moved to, or where it is. */
  take(): Point | null {
    const at = this.keyed ?? this.here();
    this.keyed = null;
    this.scale();
    return at;
  }

  /** The rectangle that keys have drawn. */
  takeRectangle(): Rectangle | null {
    const found = this.keyedRectangle(this.keyed ?? this.here());
    this.keyed = null;
    this.outline(null);
    this.scale();
    return found;
  }

  /** Forget where a key would place the landmark; false: it would nowhere. */
  forget(): boolean {
    const was = this.keyed !== null || this.drag !== null;
    this.keyed = null;
    this.cancel();
    this.scale();
    return was;
  }

  private here(): Point | null {
    const { face, landmark } = this.view;
    if (this.tool === "box") return [this.size[0] / 2, this.size[1] / 2];
    return face && landmark !== null ? (face.points[landmark] ?? null) : null;
  }

  /** Half the sides of the rectangle that keys draw. */
  private get half(): Point {
    if (this.keyedHalf) return this.keyedHalf;
    const box = this.view.face?.box;
    const side = this.tool === "box" || !box ? Math.min(...this.size) / 5 : (box[2] - box[0]) / 10;
    return [side, side];
  }

  private keyedRectangle(at: Point | null): Rectangle | null {
    const [width, height] = this.half;
    return at && [at[0] - width, at[1] - height, at[0] + width, at[1] + height];
  }

  private other(face: Face): SVGElement {
    const [x0, y0, x1, y1] = face.box;
    const rect = s("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, rx: (x1 - x0) / 20 });
    return s("g", { class: "other", "data-face": face.id }, rect, s("path", { d: contourPath(face.points) }));
  }

  private areas(face: Face | null): SVGElement[] {
    const found = face?.evidence.filter((one): one is Region => one.kind === "inside" || one.kind === "outside") ?? [];
    return found.map((one) => {
      const [x0, y0, x1, y1] = one.area.rectangle ?? [0, 0, 0, 0];
      const rect = s("rect", { class: one.kind, x: x0, y: y0, width: x1 - x0, height: y1 - y0 });
      rect.append(s("title", {}, `${NAMES[one.landmark]} is ${one.kind}`));
      return rect;
    });
  }

  private moveMark(mark: Mark, [x, y]: Point): void {
    mark.group.setAttribute("transform", `translate(${x.toFixed(3)} ${y.toFixed(3)})`);
  }

  /** Show a rectangle of the picture, in the middle of the stage. */
  private fit(box: Rectangle): void {
    // Not clientWidth and clientHeight: they are rounded, and a click would land up to half a pixel beside.
    const { width, height } = this.host.getBoundingClientRect();
    if (!width || !height) return;
    const [x0, y0, x1, y1] = box;
    const unit = Math.max((x1 - x0) / width, (y1 - y0) / height);
    const [cx, cy] = [(x0 + x1) / 2, (y0 + y1) / 2];
    this.box = [cx - (unit * width) / 2, cy - (unit * height) / 2, cx + (unit * width) / 2, cy + (unit * height) / 2];
    this.svg.setAttribute("viewBox", `${this.box[0]} ${this.box[1]} ${unit * width} ${unit * height}`);
    this.scale();
  }

  /** Pixels of the picture in one of the screen. */
  private get unit(): number {
    return (this.box[2] - this.box[0]) / Math.max(this.host.getBoundingClientRect().width, 1);
  }

  /** Sizes that are the same on the screen at any zoom. */
  private scale(): void {
    const unit = this.unit;
    this.picture.style.imageRendering = unit < 0.1 ? "pixelated" : "auto";
    for (const mark of this.marks) {
      const { classList } = mark.group;
      const large = classList.contains("clicked") || classList.contains("active");
      mark.dot.setAttribute("r", ((large ? CLICKED : DOT) * unit).toFixed(3));
      mark.ring.setAttribute("r", (11 * unit).toFixed(3));
    }
    const at = this.keyed;
    if (this.tool !== "point" && !this.drag) this.outline(this.keyedRectangle(at));
    this.cursor.setAttribute("visibility", at ? "visible" : "hidden");
    if (at) {
      const [x, y] = at;
      const arm = 14 * unit;
      this.cursor.setAttribute("d", `M${x - arm} ${y}h${2 * arm}M${x} ${y - arm}v${2 * arm}`);
    }
  }

  private at(event: MouseEvent): Point {
    const { left, top } = this.host.getBoundingClientRect();
    const unit = this.unit;
    return [this.box[0] + (event.clientX - left) * unit, this.box[1] + (event.clientY - top) * unit];
  }

  /** The landmark at a place, if any is near. */
  private near(at: Point): number | null {
    const face = this.view.face;
    if (!face) return null;
    let [best, least] = [null as number | null, NEAR * this.unit];
    face.points.forEach(([x, y], n) => {
      // The one that is asked for wins where several are as near.
      const away = Math.hypot(x - at[0], y - at[1]) * (n === this.view.landmark ? 0.7 : 1);
      if (away < least) [best, least] = [n, away];
    });
    return best;
  }

  /** Whether a place may be meant for a landmark of the face: a click far away is a slip. */
  private isNearFace(at: Point): boolean {
    const box = this.view.face?.box;
    if (!box) return false;
    const room = 0.6 * Math.max(box[2] - box[0], box[3] - box[1]);
    return contains([box[0] - room, box[1] - room, box[2] + room, box[3] + room], at);
  }

  private down(event: PointerEvent): void {
    if (event.button > 1) return;
    // A ring about the picture is for who came by keyboard.
    this.svg.focus({ preventScroll: true, focusVisible: false } as FocusOptions);
    const at = this.at(event);
    const id = event.pointerId;
    this.svg.setPointerCapture(id);
    const screen: Point = [event.clientX, event.clientY];
    if (event.button === 1) this.drag = { kind: "pan", moved: true, from: screen, at: screen, id };
    else if (this.tool !== "point" && !this.view.readOnly) this.drag = { kind: "rectangle", start: at, id };
    else {
      const landmark = event.shiftKey ? null : this.near(at);
      this.drag =
        landmark !== null && !this.view.readOnly
          ? { kind: "mark", landmark, moved: false, from: screen, at, id }
          : { kind: "pan", moved: false, from: screen, at: screen, id };
    }
    event.preventDefault();
  }

  private move(event: PointerEvent): void {
    const drag = this.drag;
    const at = this.at(event);
    if (!drag) return this.hover(this.near(at));
    if (drag.kind === "rectangle") return this.outline(between(drag.start, at));
    const far = Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]) > SLOP;
    drag.moved ||= far;
    if (!drag.moved) return;
    if (drag.kind === "mark") {
      drag.at = at;
      const mark = this.marks[drag.landmark];
      if (mark) this.moveMark(mark, at);
      return;
    }
    const unit = this.unit;
    const [dx, dy] = [(event.clientX - drag.at[0]) * unit, (event.clientY - drag.at[1]) * unit];
    drag.at = [event.clientX, event.clientY];
    const [x0, y0, x1, y1] = this.box;
    this.fit([x0 - dx, y0 - dy, x1 - dx, y1 - dy]);
  }

  private up(event: PointerEvent): void {
    const drag = this.drag;
    this.drag = null;
    if (!drag) return;
    const at = this.at(event);
    const { landmark, readOnly } = this.view;
    if (drag.kind === "rectangle") {
      this.outline(null);
      const rectangle = between(drag.start, at);
      if (rectangle[2] - rectangle[0] > SLOP * this.unit && rectangle[3] - rectangle[1] > SLOP * this.unit)
        this.events.rectangle(rectangle);
    } else if (drag.kind === "mark") {
      if (drag.moved || drag.landmark === landmark) this.events.place(drag.landmark, at, event.timeStamp);
      else this.events.choose(drag.landmark);
    } else if (!drag.moved) {
      const other = this.view.faces.find((one) => one !== this.view.face && contains(one.box, at));
      if (other && !(this.view.face && contains(this.view.face.box, at))) this.events.select(other.id);
      else if (landmark !== null && !readOnly && this.isNearFace(at)) this.events.place(landmark, at, event.timeStamp);
    }
  }

  private cancel(): void {
    this.drag = null;
    this.outline(null);
    this.draw(this.view);
  }

  private hover(landmark: number | null): void {
    if (landmark === this.hovered) return;
    this.hovered = landmark;
    this.marks.forEach((mark, n) => mark.group.classList.toggle("hovered", n === landmark));
    this.svg.style.cursor = landmark === null || this.view.readOnly ? "" : "grab";
    this.events.hover(landmark);
  }

  private outline(rectangle: Rectangle | null): void {
    this.drawn.setAttribute("visibility", rectangle ? "visible" : "hidden");
    this.drawn.setAttribute("class", `drawn ${this.tool}`);
    if (!rectangle) return;
    const [x0, y0, x1, y1] = rectangle;
    for (const [name, value] of Object.entries({ x: x0, y: y0, width: x1 - x0, height: y1 - y0 }))
      this.drawn.setAttribute(name, String(value));
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 300), this.at(event));
  }
}
