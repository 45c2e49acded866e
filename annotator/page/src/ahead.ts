// What was said and is not saved yet: shown at once, over what the server answered last.

import type { Constraint, Face } from "./types";

/** What a person says of a face. */
export interface Said {
  evidence: Constraint[];
  hidden: number[];
}

export type Edit = (before: Said) => Said;

interface Waiting {
  face: number;
  frame: number | null;
  edit: Edit;
}

export class Ahead {
  private waiting: Waiting[] = [];
  private known: { saved: Face; of: Waiting[]; shown: Face } | null = null;

  /** Remember an edit; to be forgotten by calling what is returned. */
  add(face: number, frame: number | null, edit: Edit): () => void {
    const one = { face, frame, edit };
    this.waiting = [...this.waiting, one];
    return () => {
      this.waiting = this.waiting.filter((other) => other !== one);
    };
  }

  /** A face with what waits for it: a clicked landmark is where it was put, the others follow when the server answers. */
  shown(saved: Face, frame: number | null): Face {
    const { known, waiting } = this;
    if (known?.saved === saved && known.of === waiting) return known.shown;
    const edits = waiting.filter((one) => one.face === saved.id && one.frame === frame);
    let shown = saved;
    for (const { edit } of edits) shown = { ...shown, ...edit(shown) };
    if (edits.length) {
      const points = [...saved.points];
      for (const one of shown.evidence) if (one.kind === "click") points[one.landmark] = [one.x, one.y];
      shown = { ...shown, points };
    }
    this.known = { saved, of: waiting, shown };
    return shown;
  }
}
