// Beside the picture: what to click next, what is known, how the head is turned, and the exemplars behind the answer.

import { h, s } from "./dom";
import type { Editor } from "./editor";
import { plural } from "./geometry";
import { contourPath, NAMES } from "./landmarks";
import { PoseView } from "./pose";
import type { Constraint, Details, Exemplar, Face } from "./types";

export interface PanelEvents {
  exemplar: (one: Exemplar | null) => void;
}

export class Panel {
  private readonly head: PoseView;
  private drawn: unknown[] = [];

  constructor(
    private readonly host: HTMLElement,
    private readonly events: PanelEvents,
  ) {
    this.head = new PoseView(host);
  }

  /** Say that what is here is of the face as it was before. */
  busy(): void {
    this.host.setAttribute("aria-busy", "true");
  }

  draw(editor: Editor | null): void {
    const face = editor?.current;
    this.host.setAttribute("aria-busy", String(!editor || editor.stale || editor.pending > 0));
    // Most of what changes is elsewhere; what is written in the fields, and dragged, stays as well.
    const now = [editor, face, editor?.details, editor?.landmark, editor?.readOnly];
    if (now.length === this.drawn.length && now.every((one, n) => one === this.drawn[n])) return;
    this.drawn = now;
    // A button that was pressed keeps the focus, although the panel is made anew.
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset["key"] : undefined;
    this.host.replaceChildren(
      ...(editor && face
        ? [this.next(editor), this.known(editor, face), this.pose(editor, face), this.exemplars(editor.details)]
        : []),
    );
    if (focused) this.host.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  private next(editor: Editor): HTMLElement {
    const details = editor.details;
    const most = Math.max(...(details?.suggestions.map((one) => one.error_reduction) ?? [0]), 1e-9);
    const rows = (details?.suggestions ?? []).map((one) =>
      h(
        "li",
        {},
        h(
          "button",
          {
            class: one.landmark === editor.landmark ? "row chosen" : "row",
            "data-key": `next ${one.landmark}`,
            "aria-pressed": one.landmark === editor.landmark ? "true" : "false",
            click: () => editor.choose(one.landmark),
          },
          h("span", {}, NAMES[one.landmark] ?? ""),
          h("span", { class: "figure" }, `−${one.error_reduction.toFixed(2)} px`),
          h("span", { class: "bar", style: `--share:${Math.max(one.error_reduction / most, 0).toFixed(3)}` }),
        ),
      ),
    );
    const expected = details ? `expected error ${details.expected_error.toFixed(2)} px` : "…";
    return section("What to click next", expected, rows.length ? h("ol", { class: "rows" }, ...rows) : waiting(4));
  }

  private known(editor: Editor, face: Face): HTMLElement {
    const rows = face.evidence.map((one, i) =>
      h(
        "li",
        { class: `fact ${one.kind}` },
        h("span", {}, described(one)),
        h(
          "button",
          {
            class: "drop",
            "aria-label": `Take back: ${described(one)}`,
            "data-key": `drop ${i}`,
            disabled: editor.readOnly,
            click: () => editor.drop(i),
          },
          "×",
        ),
      ),
    );
    const all = face.evidence.length
      ? h("button", { class: "quiet", "data-key": "clear", disabled: editor.readOnly, click: () => editor.clear() }, "Take all back")
      : h("p", { class: "quiet" }, "Nothing yet: this is what the model sees by itself.");
    const impossible =
      face.outcome === "impossible"
        ? h("p", { class: "warning" }, "No shape that the model knows agrees with all of this. Shown is what comes nearest.")
        : null;
    const hidden = face.hidden.length ? h("p", { class: "quiet" }, `${plural(face.hidden.length, "landmark")} marked hidden`) : null;
    const surprise = face.surprise === null ? "" : `surprise ${face.surprise.toFixed(1)} nats`;
    return section("What you said", surprise, impossible, rows.length ? h("ul", { class: "facts" }, ...rows) : null, hidden, all);
  }

  private pose(editor: Editor, face: Face): HTMLElement {
    const presence = `a face: ${(100 * face.presence).toFixed(0)} %`;
    return section("The head", presence, ...this.head.draw(editor, face), editor.details?.pose_map ? null : waiting(6));
  }

  private exemplars(details: Details | null): HTMLElement {
    const shapes = (details?.exemplars ?? []).map((one) =>
      h(
        "li",
        {},
        h(
          "button",
          {
            class: "shape",
            "data-key": `exemplar ${one.class_id}`,
            "aria-label": `Exemplar ${one.class_id}, ${(100 * one.probability).toFixed(1)} %: show it over the face`,
            pointerenter: () => this.events.exemplar(one),
            pointerleave: () => this.events.exemplar(null),
            focus: () => this.events.exemplar(one),
            blur: () => this.events.exemplar(null),
          },
          s("svg", { viewBox: "-0.05 -0.05 1.1 1.1", "aria-hidden": "true" }, s("path", { d: contourPath(one.points, (p) => p) })),
          h("span", { class: "figure" }, `${(100 * one.probability).toFixed(1)} %`),
        ),
      ),
    );
    const left = details ? `${count(details.effective_exemplars)} of ${details.exemplar_count.toLocaleString("en")}` : "";
    return section("Exemplars behind it", left, shapes.length ? h("ul", { class: "shapes" }, ...shapes) : waiting(5));
  }
}

/** A number as people read it: 12.8, 14,904. */
function count(value: number): string {
  return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

function section(title: string, note: string, ...content: (Node | null)[]): HTMLElement {
  const head = h("div", { class: "head" }, h("h2", {}, title), note ? h("p", { class: "note" }, note) : null);
  return h("section", {}, head, ...content);
}

/** As tall as what is to come, so that nothing jumps. */
function waiting(lines: number): HTMLElement {
  return h("div", { class: "waiting", style: `--lines:${lines}` });
}

export function described(one: Constraint): string {
  if (one.kind === "pose") {
    const range = (name: "yaw" | "pitch" | "roll") => {
      const pair = one[name];
      return pair ? `${name} ${pair[0].toFixed(0)}° to ${pair[1].toFixed(0)}°` : null;
    };
    return [range("yaw"), range("pitch"), range("roll")].filter(Boolean).join(", ");
  }
  const name = NAMES[one.landmark] ?? "";
  if (one.kind === "click") return `${name} is at ${one.x.toFixed(1)}, ${one.y.toFixed(1)}`;
  return `${name} is ${one.kind} a region`;
}
