// How the head is turned: the joint distribution of yaw and roll, and ranges that somebody says it lies in.

import { h } from "./dom";
import type { Editor } from "./editor";
import type { Details, Face, Point, PoseRange } from "./types";

const AXES = ["yaw", "pitch", "roll"] as const;
type Axis = (typeof AXES)[number];

/** Degrees: a drag over less than this, in either direction, is a slip. */
const LEAST = 2;

export class PoseView {
  /** What the fields hold while the panel is made anew. */
  private readonly written: { axis: Axis; low: string; high: string } = { axis: "yaw", low: "-15", high: "15" };
  private drag: { from: Point; to: Point } | null = null;
  private editor: Editor | null = null;

  /** The map is made anew while somebody drags over it, so that the window follows the pointer. */
  constructor(private readonly host: HTMLElement) {
    window.addEventListener("pointermove", (event) => {
      if (!this.drag) return;
      this.drag.to = this.at(event) ?? this.drag.to;
      this.outline();
    });
    window.addEventListener("pointerup", () => this.dropped());
    window.addEventListener("pointercancel", () => {
      this.drag = null;
      this.outline();
    });
  }

  draw(editor: Editor, face: Face): Node[] {
    this.editor = editor;
    const details = editor.details;
    const [yaw, pitch, roll] = face.pose;
    const table = h(
      "dl",
      { class: "angles" },
      ...[yaw, pitch, roll].flatMap((value, n) => [h("dt", {}, AXES[n] ?? ""), h("dd", {}, degrees(value))]),
    );
    return details?.pose_map ? [table, this.map(details, yaw, roll), this.fields(editor)] : [table];
  }

  /** The joint distribution of yaw (across) and roll (down). */
  private map(details: Details, yaw: number, roll: number): HTMLElement {
    const bins = details.pose_bins;
    const cells = Uint8Array.from(atob(details.pose_map ?? ""), (sign) => sign.charCodeAt(0));
    const canvas = h("canvas", { width: bins, height: bins, "aria-hidden": "true" });
    const context = canvas.getContext("2d");
    if (context) {
      const pixels = context.createImageData(bins, bins);
      // Rows begin with the lowest roll; on the picture roll grows downwards, clockwise.
      cells.forEach((value, i) => pixels.data.set([95, 208, 192, Math.sqrt(value / 255) * 255], i * 4));
      context.putImageData(pixels, 0, 0);
    }
    const [low, high] = details.pose_range;
    const place = (value: number) => `${((100 * (value - low)) / (high - low)).toFixed(1)}%`;
    const map = h(
      "div",
      { class: "map", title: "Drag over the map: the head is turned like that", pointerdown: (event: PointerEvent) => this.down(event) },
      canvas,
      h("i", { style: `left:${place(yaw)};top:${place(roll)}` }),
      h("b", { hidden: true }),
    );
    return h(
      "figure",
      { class: "pose-map" },
      map,
      h("figcaption", {}, `yaw across, roll down; ${degrees(low)} to ${degrees(high)}`),
    );
  }

  /** A range in numbers: of the pitch, which the map does not show, and for who has no pointer. */
  private fields(editor: Editor): HTMLElement {
    const { written } = this;
    const disabled = editor.readOnly;
    const axis = h(
      "select",
      { "aria-label": "Angle", "data-key": "pose axis", disabled },
      ...AXES.map((name) => h("option", { selected: name === written.axis }, name)),
    );
    const number = (name: "low" | "high", label: string) => {
      const field = h("input", {
        type: "number", min: -180, max: 180, step: 1, required: true,
        value: written[name], "aria-label": label, "data-key": `pose ${name}`, disabled,
      });
      field.addEventListener("input", () => (written[name] = field.value));
      return field;
    };
    axis.addEventListener("change", () => (written.axis = AXES[axis.selectedIndex] ?? "yaw"));
    const say = (event: Event) => {
      event.preventDefault();
      const pair = [Number(written.low), Number(written.high)].sort((a, b) => a - b) as Point;
      editor.add({ kind: "pose", [written.axis]: pair });
    };
    return h(
      "form",
      { class: "range", submit: say },
      axis,
      number("low", "From, degrees"),
      h("span", {}, "to"),
      number("high", "To, degrees"),
      h("button", { "data-key": "pose say", disabled }, "Limit"),
    );
  }

  private down(event: PointerEvent): void {
    const at = this.at(event);
    if (!at || event.button || !this.editor || this.editor.readOnly) return;
    this.drag = { from: at, to: at };
    event.preventDefault();
  }

  private dropped(): void {
    const { drag, editor } = this;
    this.drag = null;
    if (!drag || !editor) return;
    this.outline();
    const span = (axis: 0 | 1) => [drag.from[axis], drag.to[axis]].sort((a, b) => a - b).map(Math.round) as Point;
    const [yaw, roll] = [span(0), span(1)];
    const said: PoseRange = { kind: "pose" };
    if (yaw[1] - yaw[0] >= LEAST) said.yaw = yaw;
    if (roll[1] - roll[0] >= LEAST) said.roll = roll;
    if (said.yaw || said.roll) editor.add(said);
  }

  /** Yaw and roll of a place on the map, degrees; beyond its border: at it. */
  private at(event: PointerEvent): Point | null {
    const box = this.host.querySelector(".map")?.getBoundingClientRect();
    const range = this.editor?.details?.pose_range;
    if (!box?.width || !range) return null;
    const within = (share: number) => range[0] + Math.max(0, Math.min(1, share)) * (range[1] - range[0]);
    return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
  }

  /** Show what is being dragged over. */
  private outline(): void {
    const shown = this.host.querySelector<HTMLElement>(".map b");
    const range = this.editor?.details?.pose_range;
    if (!shown || !range) return;
    shown.hidden = !this.drag;
    if (!this.drag) return;
    const { from, to } = this.drag;
    const share = (value: number) => (100 * (value - range[0])) / (range[1] - range[0]);
    const [x, y] = [Math.min(from[0], to[0]), Math.min(from[1], to[1])].map(share);
    const [wide, high] = [Math.abs(from[0] - to[0]), Math.abs(from[1] - to[1])].map((one) => share(range[0] + one));
    shown.style.cssText = `left:${x}%;top:${y}%;width:${wide}%;height:${high}%`;
  }
}

function degrees(value: number): string {
  return `${String(Math.round(value) || 0).replace("-", "−")}°`;
}
