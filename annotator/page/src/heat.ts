// Where a landmark may be: of the one that the pointer is near, or of the chosen one as long as that is wanted.

import type { Editor } from "./editor";
import type { Stage } from "./stage";
import type { Heatmap } from "./types";

/** Milliseconds that a pointer rests before anything is asked. */
const AFTER = 70;

/** Most that are remembered. */
const MOST = 200;

export class HeatView {
  /** Whether the chosen landmark's is shown where the pointer is near none. */
  always = false;

  private hovered: number | null = null;
  private shown: string | null = null;
  private timer = 0;
  private asked: AbortController | null = null;
  private readonly known = new Map<string, Heatmap>();

  constructor(private readonly stage: Stage) {}

  /** Another item: nothing is known of it. */
  forget(): void {
    this.known.clear();
    this.want(null);
  }

  /** The pointer is near a landmark; null: near none. */
  hover(landmark: number | null, editor: Editor | null): void {
    this.hovered = landmark;
    this.draw(editor);
  }

  draw(editor: Editor | null): void {
    const landmark = this.hovered ?? (this.always ? (editor?.landmark ?? null) : null);
    const face = editor?.current;
    // A face that is being solved comes first: this would take from it what computes it, and would be of the face before.
    if (landmark === null || !editor || !face || editor.pending) return void this.want(null);
    const key = `${editor.frame} ${face.id} ${landmark} ${JSON.stringify(face.evidence)}`;
    if (!this.want(key)) return;
    const known = this.known.get(key);
    if (known) return this.stage.heatmap(known);
    const control = (this.asked = new AbortController());
    this.timer = window.setTimeout(() => {
      editor.heatmap(landmark, control.signal).then(
        (found) => {
          if (this.known.size > MOST) this.known.clear();
          this.known.set(key, found);
          if (!control.signal.aborted) this.stage.heatmap(found);
        },
        () => {},
      );
    }, AFTER);
  }

  /** Take note of what is wanted; false: it is there, or on its way. */
  private want(key: string | null): boolean {
    if (key === this.shown) return false;
    this.shown = key;
    clearTimeout(this.timer);
    this.asked?.abort();
    this.stage.heatmap(null);
    return true;
  }
}
