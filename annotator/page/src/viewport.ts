// What of the picture is seen, and where a place on the screen lies in it.

import type { Point, Rectangle } from "./types";

export class Viewport {
  /** Of the picture, pixels. */
  size: Point = [1, 1];
  private box: Rectangle = [0, 0, 1, 1];

  constructor(
    private readonly host: HTMLElement,
    private readonly svg: SVGSVGElement,
    /** Told when what is seen has changed. */
    private readonly changed: () => void,
  ) {
    new ResizeObserver(() => this.fit(this.box)).observe(host);
  }

  /** The whole picture. */
  whole(): void {
    this.fit([-0.5, -0.5, this.size[0] - 0.5, this.size[1] - 0.5]);
  }

  /** A rectangle, with some room about it. */
  about([x0, y0, x1, y1]: Rectangle): void {
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

  /** Move the picture by pixels of the screen. */
  pan(across: number, down: number): void {
    const unit = this.unit;
    const [x0, y0, x1, y1] = this.box;
    this.fit([x0 - across * unit, y0 - down * unit, x1 - across * unit, y1 - down * unit]);
  }

  /** Pixels of the picture in one of the screen. */
  get unit(): number {
    return (this.box[2] - this.box[0]) / Math.max(this.host.getBoundingClientRect().width, 1);
  }

  /** Where in the picture something happened. */
  at(event: MouseEvent): Point {
    const { left, top } = this.host.getBoundingClientRect();
    const unit = this.unit;
    return [this.box[0] + (event.clientX - left) * unit, this.box[1] + (event.clientY - top) * unit];
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
    this.changed();
  }
}
