// Ellipses, boxes, and words for numbers.

import type { Face, Point, Rectangle } from "./types";

/** Of a normal distribution in the plane: the ellipse at this many standard deviations holds 90 %. */
const NINETY = Math.sqrt(-2 * Math.log(0.1));

/** Half axes and turn, degrees, of the ellipse that holds 90 %. */
export function ellipse([xx, xy, yy]: readonly [number, number, number]): { rx: number; ry: number; turn: number } {
  const middle = (xx + yy) / 2;
  const apart = Math.hypot((xx - yy) / 2, xy);
  return {
    rx: NINETY * Math.sqrt(Math.max(middle + apart, 0)),
    ry: NINETY * Math.sqrt(Math.max(middle - apart, 0)),
    turn: (Math.atan2(2 * xy, xx - yy) / 2) * (180 / Math.PI),
  };
}

/** The square about a box, in which exemplars live. */
export function square([x0, y0, x1, y1]: Rectangle): { x: number; y: number; side: number } {
  const side = Math.max(x1 - x0, y1 - y0);
  return { x: (x0 + x1 - side) / 2, y: (y0 + y1 - side) / 2, side };
}

export function contains([x0, y0, x1, y1]: Rectangle, [x, y]: Point): boolean {
  return x >= x0 && x <= x1 && y >= y0 && y <= y1;
}

/** A rectangle between two corners. */
export function between([ax, ay]: Point, [bx, by]: Point): Rectangle {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}

/** Whether a landmark is hidden or uncertain, as the files of other tools will say. */
export function isUncertain(face: Face, landmark: number): boolean {
  if (face.hidden.includes(landmark)) return true;
  if (face.evidence.some((one) => one.kind === "click" && one.landmark === landmark)) return false;
  return (face.confidences[landmark] ?? 0) < 0.5;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
