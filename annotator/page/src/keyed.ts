// What keys point at: where they would place a landmark, and the rectangle that they would draw.

import { s } from "./dom";
import type { Point, Rectangle } from "./types";

/** Half a side of the cross, pixels of the screen. */
const ARM = 14;

export class Keyed {
  readonly element = s("path", { class: "cursor", visibility: "hidden" });
  /** Where a key would place the landmark; null: keys have moved nothing. */
  at: Point | null = null;
  private half: Point | null = null;

  /** Move by pixels of the picture, from where it was or else from a given place. */
  nudge(dx: number, dy: number, from: Point | null): void {
    const start = this.at ?? from;
    if (start) this.at = [start[0] + dx, start[1] + dy];
  }

  /** Make the rectangle larger or smaller. */
  grow(across: number, down: number, usual: number): void {
    const [width, height] = this.half ?? [usual, usual];
    this.half = [Math.max(width * across, 1), Math.max(height * down, 1)];
  }

  /** The rectangle about a place; ``usual`` is half a side as long as nobody has said another. */
  rectangle(at: Point | null, usual: number): Rectangle | null {
    const [width, height] = this.half ?? [usual, usual];
    return at && [at[0] - width, at[1] - height, at[0] + width, at[1] + height];
  }

  draw(unit: number): void {
    this.element.setAttribute("visibility", this.at ? "visible" : "hidden");
    if (!this.at) return;
    const [x, y] = this.at;
    const arm = ARM * unit;
    this.element.setAttribute("d", `M${x - arm} ${y}h${2 * arm}M${x} ${y - arm}v${2 * arm}`);
  }
}
