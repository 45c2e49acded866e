// What a pointer does on the picture: clicks, drags of landmarks, of the picture and of rectangles, the wheel.

import { between, contains } from "./geometry";
import type { StageEvents, StageView, Tool } from "./stage";
import type { Point, Rectangle } from "./types";
import type { Viewport } from "./viewport";

/** Pixels of the screen: how near a landmark is meant, and what is no drag yet. */
const NEAR = 9;
const SLOP = 4;

type Drag =
  | { kind: "mark"; landmark: number; moved: boolean; from: Point; at: Point }
  | { kind: "pan"; moved: boolean; from: Point; at: Point }
  | { kind: "rectangle"; start: Point };

/** What the pointer finds and does on the stage. */
export interface Ground {
  readonly svg: SVGSVGElement;
  readonly viewport: Viewport;
  readonly events: StageEvents;
  readonly tool: Tool;
  readonly view: StageView;
  /** Show a landmark at the pointer. */
  move: (landmark: number, at: Point) => void;
  /** Show which landmark is near. */
  near: (landmark: number | null) => void;
  outline: (rectangle: Rectangle | null) => void;
  draw: (view: StageView) => void;
}

export class Pointer {
  private drag: Drag | null = null;
  private hovered: number | null = null;

  constructor(private readonly on: Ground) {
    const { svg } = on;
    svg.addEventListener("pointerdown", (event) => this.down(event));
    svg.addEventListener("pointermove", (event) => this.move(event));
    svg.addEventListener("pointerup", (event) => this.up(event));
    svg.addEventListener("pointercancel", () => {
      this.cancel();
      on.draw(on.view); // what was in the hand goes back
    });
    svg.addEventListener("pointerleave", () => this.hover(null));
    svg.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  get busy(): boolean {
    return this.drag !== null;
  }

  /** The landmark in somebody's hand, and where. */
  get held(): { landmark: number; at: Point } | null {
    return this.drag?.kind === "mark" && this.drag.moved ? this.drag : null;
  }

  /** Let go of what is dragged: nothing comes of it. */
  cancel(): void {
    this.drag = null;
    this.on.outline(null);
  }

  private down(event: PointerEvent): void {
    if (event.button > 1) return;
    const { svg, viewport, tool, view } = this.on;
    // A ring about the picture is for who came by keyboard.
    svg.focus({ preventScroll: true, focusVisible: false } as FocusOptions);
    const at = viewport.at(event);
    svg.setPointerCapture(event.pointerId);
    const screen: Point = [event.clientX, event.clientY];
    if (event.button === 1) this.drag = { kind: "pan", moved: true, from: screen, at: screen };
    else if (tool !== "point" && !view.readOnly) this.drag = { kind: "rectangle", start: at };
    else {
      const landmark = event.shiftKey || view.readOnly ? null : this.near(at);
      this.drag =
        landmark !== null
          ? { kind: "mark", landmark, moved: false, from: screen, at }
          : { kind: "pan", moved: false, from: screen, at: screen };
    }
    event.preventDefault();
  }

  private move(event: PointerEvent): void {
    const { drag } = this;
    const { viewport } = this.on;
    const at = viewport.at(event);
    if (!drag) return this.hover(this.near(at));
    if (drag.kind === "rectangle") return this.on.outline(between(drag.start, at));
    drag.moved ||= Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]) > SLOP;
    if (!drag.moved) return;
    if (drag.kind === "mark") {
      drag.at = at;
      return this.on.move(drag.landmark, at);
    }
    viewport.pan(event.clientX - drag.at[0], event.clientY - drag.at[1]);
    drag.at = [event.clientX, event.clientY];
  }

  private up(event: PointerEvent): void {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    const { events, view, viewport } = this.on;
    const at = viewport.at(event);
    const { landmark, readOnly } = view;
    if (drag.kind === "rectangle") {
      this.on.outline(null);
      const found = between(drag.start, at);
      const least = SLOP * viewport.unit;
      if (found[2] - found[0] > least && found[3] - found[1] > least) events.rectangle(found);
    } else if (drag.kind === "mark") {
      if (drag.moved || drag.landmark === landmark) events.place(drag.landmark, at, event.timeStamp);
      else events.choose(drag.landmark);
    } else if (!drag.moved) {
      const other = view.faces.find((one) => one.id !== view.face?.id && contains(one.box, at));
      if (other && !(view.face && contains(view.face.box, at))) events.select(other.id);
      else if (landmark !== null && !readOnly && this.isNearFace(at)) events.place(landmark, at, event.timeStamp);
    }
  }

  /** The landmark at a place, if any is near. */
  private near(at: Point): number | null {
    const { view, viewport } = this.on;
    if (!view.face) return null;
    let [best, least] = [null as number | null, NEAR * viewport.unit];
    view.face.points.forEach(([x, y], n) => {
      // The one that is asked for wins where several are as near.
      const away = Math.hypot(x - at[0], y - at[1]) * (n === view.landmark ? 0.7 : 1);
      if (away < least) [best, least] = [n, away];
    });
    return best;
  }

  /** Whether a place may be meant for a landmark of the face: a click far away is a slip. */
  private isNearFace(at: Point): boolean {
    const box = this.on.view.face?.box;
    if (!box) return false;
    const room = 0.6 * Math.max(box[2] - box[0], box[3] - box[1]);
    return contains([box[0] - room, box[1] - room, box[2] + room, box[3] + room], at);
  }

  private hover(landmark: number | null): void {
    if (landmark === this.hovered) return;
    this.hovered = landmark;
    this.on.near(landmark);
    this.on.svg.style.cursor = landmark === null || this.on.view.readOnly ? "" : "grab";
    this.on.events.hover(landmark);
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    const { viewport } = this.on;
    viewport.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 300), viewport.at(event));
  }
}
