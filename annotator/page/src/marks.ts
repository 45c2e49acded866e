// The 68 landmarks as elements that stay: each with its ellipse, its ring and its dot.

import { s } from "./dom";
import { ellipse, isUncertain } from "./geometry";
import { COUNT } from "./landmarks";
import { Pulse } from "./pulse";
import type { Face, Point } from "./types";

/** Sizes on the screen, in its pixels. */
const DOT = 3;
const CLICKED = 4.2;
const RING = 11;

const BEAT: Keyframe[] = [
  { transform: "scale(1)", strokeOpacity: 1 },
  { transform: "scale(1.4)", strokeOpacity: 0.35 },
  { transform: "scale(1)", strokeOpacity: 1 },
];

export interface Marked {
  face: Face | null;
  /** The landmark that a click places. */
  landmark: number | null;
  suggested: number | null;
  /** Whether the face is hidden in this frame of a video. */
  unseen: boolean;
}

interface Mark {
  group: SVGGElement;
  spread: SVGEllipseElement;
  dot: SVGCircleElement;
  ring: SVGCircleElement;
}

export class Marks {
  private readonly marks: Mark[] = Array.from({ length: COUNT }, (_, n) => {
    const spread = s("ellipse", { class: "spread" });
    const ring = s("circle", { class: "ring" });
    const dot = s("circle", { class: "dot" });
    const group = s("g", { class: "mark", "data-landmark": n }, spread, ring, dot);
    return { group, spread, dot, ring };
  });
  private readonly pulse = new Pulse(BEAT);

  get elements(): SVGGElement[] {
    return this.marks.map((mark) => mark.group);
  }

  /** Draw a face; what is in somebody's hand stays there. */
  draw({ face, landmark, suggested, unseen }: Marked, held: { landmark: number; at: Point } | null): void {
    const clicked = new Set(face?.evidence.filter((one) => one.kind === "click").map((one) => one.landmark));
    this.marks.forEach((mark, n) => {
      mark.group.classList.toggle("absent", !face);
      if (!face) return;
      this.move(n, held?.landmark === n ? held.at : (face.points[n] ?? [0, 0]));
      const { rx, ry, turn } = ellipse(face.covariances[n] ?? [0, 0, 0]);
      mark.spread.setAttribute("rx", rx.toFixed(3));
      mark.spread.setAttribute("ry", ry.toFixed(3));
      mark.spread.setAttribute("transform", `rotate(${turn.toFixed(2)})`);
      const { classList } = mark.group;
      classList.toggle("clicked", clicked.has(n));
      classList.toggle("hidden", face.hidden.includes(n));
      classList.toggle("uncertain", (unseen && !clicked.has(n)) || isUncertain(face, n));
      classList.toggle("active", n === landmark);
      classList.toggle("suggested", n === suggested);
    });
    this.pulse.of(face && suggested !== null ? (this.marks[suggested]?.ring ?? null) : null);
  }

  /** Put one somewhere. */
  move(landmark: number, [x, y]: Point): void {
    this.marks[landmark]?.group.setAttribute("transform", `translate(${x.toFixed(3)} ${y.toFixed(3)})`);
  }

  /** Keep the sizes on the screen: ``unit`` is pixels of the picture in one of it. */
  scale(unit: number): void {
    for (const { group, dot, ring } of this.marks) {
      const large = group.classList.contains("clicked") || group.classList.contains("active");
      dot.setAttribute("r", ((large ? CLICKED : DOT) * unit).toFixed(3));
      ring.setAttribute("r", (RING * unit).toFixed(3));
    }
  }

  /** Show which one the pointer is near. */
  hover(landmark: number | null): void {
    this.marks.forEach((mark, n) => mark.group.classList.toggle("hovered", n === landmark));
  }
}
