// Under a video: how uncertain each frame is, where the face is hidden, what was said, and where a click helps most.

import { h, s } from "./dom";
import { NAMES } from "./landmarks";
import { Pulse } from "./pulse";
import type { Timeline } from "./types";
import type { VideoEditor } from "./video";

/** Height of the drawing, in its own unit; a frame is one wide. */
const HEIGHT = 40;

export class TimelineView {
  private editor: VideoEditor | null = null;
  private drawnLine: Timeline | null = null;
  private drawnSaid = "";

  private readonly chart = s("svg", { preserveAspectRatio: "none", "aria-hidden": "true" });
  private readonly head = h("i", { class: "playhead" });
  private readonly keys = h("i", { class: "key" });
  private readonly pulse = new Pulse([{ opacity: 1 }, { opacity: 0.35 }, { opacity: 1 }]);
  private readonly run = h("i", { class: "run" });
  private readonly track = h(
    "div",
    { class: "track", role: "slider", tabindex: 0, "aria-label": "Frame", "aria-valuemin": 0 },
    this.chart,
    this.run,
    this.keys,
    this.head,
  );
  private readonly play = h("button", { title: "Play (Space)" }, "Play");
  private readonly suggest = h("button", { class: "quiet", title: "The frame whose click helps most (G)" }, "");
  private readonly where = h("p", { class: "figure" });

  constructor(private readonly host: HTMLElement) {
    host.append(h("div", { class: "row-of" }, this.play, this.where, this.suggest), this.track);
    this.play.addEventListener("click", () => this.editor?.play());
    this.suggest.addEventListener("click", () => this.editor?.goToKeyFrame());
    this.track.addEventListener("pointerdown", (event) => {
      this.track.setPointerCapture(event.pointerId);
      this.seek(event);
    });
    this.track.addEventListener("pointermove", (event) => {
      if (this.track.hasPointerCapture(event.pointerId)) this.seek(event);
    });
    this.track.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1 }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      this.editor?.step(by * (event.shiftKey ? 10 : 1));
    });
  }

  draw(editor: VideoEditor | null): void {
    this.editor = editor;
    this.host.hidden = !editor;
    const line = editor?.timeline;
    if (!editor || !line) return;
    const count = Math.max(line.frames, 1);
    const said = JSON.stringify(editor.document.frames.map((one) => one.frame));
    if (line !== this.drawnLine || said !== this.drawnSaid) {
      [this.drawnLine, this.drawnSaid] = [line, said];
      this.drawChart(line, editor.document.frames.map((one) => one.frame));
    }
    const frame = editor.frame ?? 0;
    const place = (at: number) => `${((100 * (at + 0.5)) / count).toFixed(2)}%`;
    this.head.style.left = place(frame);
    const key = editor.keyFrame;
    this.keys.hidden = !key;
    if (key) this.keys.style.left = place(key.frame);
    this.pulse.of(key ? this.keys : null);
    this.run.hidden = line.state !== "tracking";
    this.run.style.left = `${(100 * line.through) / count}%`;
    this.play.textContent = editor.playing ? "Stop" : "Play";
    const share = line.uncertainty[frame];
    const uncertain = share === null || share === undefined ? "" : `, ± ${(100 * share).toFixed(1)} % of the face`;
    const state = line.states[frame];
    const hidden = state === "hidden" || state === "lost" ? `, ${state}` : "";
    this.where.textContent = editor.progressText || `frame ${frame + 1} of ${line.frames}${hidden}${uncertain}`;
    this.suggest.hidden = !key || key.frame === frame;
    if (key) {
      const name = key.landmark === null ? "" : `, ${NAMES[key.landmark]}`;
      this.suggest.textContent = `Next: frame ${key.frame + 1}${name}`;
    }
    this.track.setAttribute("aria-valuemax", String(count - 1));
    this.track.setAttribute("aria-valuenow", String(frame));
    this.track.setAttribute("aria-valuetext", `frame ${frame + 1}${hidden}${uncertain}`);
  }

  private seek(event: PointerEvent): void {
    const { left, width } = this.track.getBoundingClientRect();
    const count = this.editor?.timeline?.frames ?? 1;
    const frame = Math.floor(((event.clientX - left) / Math.max(width, 1)) * count);
    if (this.editor && frame !== this.editor.frame) void this.editor.go(frame);
  }

  private drawChart(line: Timeline, said: number[]): void {
    const count = Math.max(line.frames, 1);
    this.chart.setAttribute("viewBox", `0 0 ${count} ${HEIGHT}`);
    const most = Math.max(...line.uncertainty.map((value) => value ?? 0), 0.02);
    const up = (value: number | null | undefined) => (HEIGHT - 4) * (1 - (value ?? 0) / most) + 4;
    const curve = Array.from({ length: count }, (_, i) => `L${i} ${up(line.uncertainty[i]).toFixed(2)}h1`).join("");
    const spans = line.states.flatMap((state, i) =>
      state === "hidden" || state === "lost" ? [s("rect", { class: state, x: i, y: 0, width: 1, height: HEIGHT })] : [],
    );
    const marks = said.map((frame) => s("path", { class: "said", d: `M${frame + 0.5} 0V${HEIGHT}` }));
    this.chart.replaceChildren(
      ...spans,
      s("path", { class: "curve", d: `M0 ${HEIGHT}${curve}V${HEIGHT}Z` }),
      ...marks,
    );
  }
}
