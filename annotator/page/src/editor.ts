// One picture being labelled: its document, what was done and can be undone, and the queue of changes to save.

import { api, Refused } from "./api";
import type { Constraint, Details, Document, Face, Heatmap, Lease, Rectangle } from "./types";

/** What makes one state of a document into another. */
export type Change =
  | { do: "set"; face: number; evidence: Constraint[]; hidden: number[]; frame: number | null }
  | { do: "add"; face: Face }
  | { do: "draw"; box: Rectangle }
  | { do: "remove"; face: number };

interface Step {
  forward: Change;
  back: Change;
}

export type Trouble = { kind: "theirs"; owner: string } | { kind: "changed" } | { kind: "failed"; text: string };

/** Most steps that are remembered. */
const MOST_STEPS = 200;

export class Editor extends EventTarget {
  document: Document;
  lease: Lease;
  face: number | null;
  /** The landmark that a click places. */
  landmark: number | null = null;
  details: Details | null = null;
  trouble: Trouble | null = null;
  /** Whether what is shown beside the face is older than the face. */
  stale = false;
  /** Changes that are not saved yet. */
  pending = 0;

  /** Of a video: the frame that is shown. */
  frame: number | null = null;

  private done: Step[] = [];
  private undone: Step[] = [];
  private queue: Promise<unknown> = Promise.resolve();
  private detailsOf: AbortController | null = null;
  protected closed = false;

  constructor(opened: { document: Document; lease: Lease }) {
    super();
    this.document = opened.document;
    this.lease = opened.lease;
    this.face = opened.document.faces[0]?.id ?? null;
    if (!this.lease.mine) this.trouble = { kind: "theirs", owner: this.lease.owner };
    this.recall();
  }

  get current(): Face | null {
    return this.document.faces.find((face) => face.id === this.face) ?? null;
  }

  /** The face that a change is about: that which is shown, once it belongs to what is shown. */
  protected get target(): Face | null {
    return this.current;
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  get readOnly(): boolean {
    return this.trouble !== null && this.trouble.kind !== "failed";
  }

  close(): void {
    this.closed = true;
    this.detailsOf?.abort();
  }

  /** Put a landmark somewhere: the whole face follows. */
  place(landmark: number, x: number, y: number, stamp: number): void {
    const face = this.target;
    if (!face) return;
    const click: Constraint = { kind: "click", landmark, x: round(x), y: round(y) };
    const others = face.evidence.filter((one) => !(one.kind === "click" && one.landmark === landmark));
    this.constrain([...others, click], face.hidden, stamp);
  }

  /** Add a region, an exclusion or a range of the pose. */
  add(constraint: Constraint): void {
    const face = this.target;
    if (face) this.constrain([...face.evidence, constraint], face.hidden);
  }

  /** Take one constraint back. */
  drop(index: number): void {
    const face = this.target;
    if (face) this.constrain(face.evidence.filter((_, i) => i !== index), face.hidden);
  }

  /** Take back all that is known of a landmark. */
  dropLandmark(landmark: number): void {
    const face = this.target;
    if (!face) return;
    const left = face.evidence.filter((one) => one.kind === "pose" || one.landmark !== landmark);
    if (left.length < face.evidence.length) this.constrain(left, face.hidden);
  }

  clear(): void {
    if (this.target?.evidence.length) this.constrain([], this.target.hidden);
  }

  toggleHidden(landmark: number): void {
    const face = this.target;
    if (!face) return;
    const hidden = face.hidden.includes(landmark)
      ? face.hidden.filter((one) => one !== landmark)
      : [...face.hidden, landmark].sort((a, b) => a - b);
    this.constrain(face.evidence, hidden);
  }

  draw(box: Rectangle): void {
    this.perform({ do: "draw", box });
  }

  remove(): void {
    const face = this.target;
    if (face) this.perform({ do: "remove", face: face.id });
  }

  undo(): void {
    const step = this.done.pop();
    if (!step) return;
    this.reveal(step.back);
    this.apply(step.back, () => this.undone.push(step));
  }

  redo(): void {
    const step = this.undone.pop();
    if (!step) return;
    this.reveal(step.forward);
    this.apply(step.forward, () => this.done.push(step));
  }

  /** Show where a change will be seen. */
  protected reveal(_change: Change): void {}

  setDone(done: boolean): void {
    this.enqueue(async () => {
      const { document } = await api.done(this.document.name, this.document.revision, done);
      this.replace(document);
    });
  }

  /** Look for faces where nobody has looked yet. */
  detect(): void {
    this.enqueue(async () => {
      const { document } = await api.detect(this.document.name, this.document.revision);
      this.replace(document);
    });
  }

  /** Read the document again: what is here gives way. */
  async reload(take = false): Promise<void> {
    if (take) await api.lease(this.document.name, { take: true });
    const { document, lease } = await api.open(this.document.name);
    this.lease = lease;
    this.trouble = lease.mine ? null : { kind: "theirs", owner: lease.owner };
    this.done = [];
    this.undone = [];
    this.replace(document);
  }

  /** Renew the lease; where another has it, or had it, see what they do. */
  async renew(): Promise<void> {
    if (this.pending) return;
    const known = this.document.revision;
    const { lease, revision } = await api.lease(this.document.name);
    // What was done meanwhile makes the answer older than what is shown.
    if (this.closed || this.pending || this.document.revision !== known) return;
    const before = this.lease;
    this.lease = lease;
    if (!lease.mine) {
      if (before.mine || this.trouble?.kind !== "theirs") this.stop({ kind: "theirs", owner: lease.owner });
      if (revision !== this.document.revision) await this.reload();
    } else if (!before.mine || revision !== this.document.revision) await this.reload();
  }

  select(face: number | null): void {
    if (face === this.face) return;
    this.face = face;
    this.landmark = null;
    this.refresh();
    this.changed();
  }

  choose(landmark: number | null): void {
    this.landmark = landmark;
    this.changed();
  }

  private constrain(evidence: Constraint[], hidden: number[], stamp?: number): void {
    const face = this.target;
    if (!face) return;
    const placed = evidence.at(-1);
    if (stamp !== undefined && placed?.kind === "click") {
      // The clicked landmark goes where it was put at once; the other 67 follow when the server answers.
      this.show({ ...face, points: face.points.map((p, n) => (n === placed.landmark ? [placed.x, placed.y] : p)), evidence });
    }
    this.perform({ do: "set", face: face.id, evidence, hidden, frame: this.frame }, face, stamp);
  }

  private perform(forward: Change, before: Face | null = this.target, stamp?: number): void {
    if (this.readOnly) return this.changed();
    let back: Change | null = null;
    if (forward.do === "set" && before) {
      const { evidence, hidden } = before;
      back = { do: "set", face: before.id, evidence, hidden, frame: this.frame };
    } else if (forward.do === "remove" && before) back = { do: "add", face: before };
    this.apply(
      forward,
      (made) => {
        this.undone = [];
        if (made) this.done.push({ forward: { do: "add", face: made }, back: { do: "remove", face: made.id } });
        else if (back) this.done.push({ forward, back });
        this.done.splice(0, this.done.length - MOST_STEPS);
      },
      stamp,
    );
  }

  private apply(change: Change, then: (made: Face | null) => void, stamp?: number): void {
    this.enqueue(async () => {
      then(await this.send(change));
      this.keep();
      if (stamp !== undefined) requestAnimationFrame(() => setTimeout(measured, 0, stamp));
    });
  }

  /** Have one change made and saved. The face that was drawn anew is returned. */
  protected async send(change: Change): Promise<Face | null> {
    const { name, revision } = this.document;
    if (change.do === "remove") {
      this.replace((await api.remove(name, revision, change.face)).document);
      return null;
    }
    if (change.do === "set") {
      const found = await api.solve(name, revision, change.face, change.evidence, change.hidden);
      this.document = { ...this.document, revision: found.revision };
      this.show(found.face);
      return null;
    }
    const what =
      change.do === "draw"
        ? { box: change.box }
        : {
            box: change.face.source.box,
            detector: change.face.source.detector,
            id: change.face.id,
            evidence: change.face.evidence,
            hidden: change.face.hidden,
          };
    const { revision: saved, face, size } = await api.draw(name, revision, what);
    this.document = { ...this.document, revision: saved, size };
    this.face = face.id;
    this.landmark = null;
    this.show(face);
    return change.do === "draw" ? face : null;
  }

  private enqueue(task: () => Promise<void>): void {
    this.pending++;
    this.changed();
    this.queue = this.queue.then(async () => {
      try {
        if (this.closed || this.readOnly) return;
        await task();
        if (this.trouble?.kind === "failed") this.trouble = null;
      } catch (error) {
        await this.failed(error);
      } finally {
        this.pending--;
        if (!this.pending && !this.closed) this.refresh();
        this.changed();
      }
    });
  }

  private async failed(error: unknown): Promise<void> {
    if (error instanceof Refused && error.status === 409) {
      const lease = error.body.lease;
      // Asked again while the server was away: the first time may have been heard. What is saved then is shown.
      if (!lease && error.attempts > 0) return this.reload().catch(() => this.stop({ kind: "changed" }));
      return this.stop(lease ? { kind: "theirs", owner: lease.owner } : { kind: "changed" });
    }
    this.stop({ kind: "failed", text: error instanceof Error ? error.message : String(error) });
    // What was shown ahead of the answer is not what is saved.
    await api.open(this.document.name).then(({ document }) => this.replace(document)).catch(() => {});
  }

  private stop(trouble: Trouble): void {
    this.trouble = trouble;
    if (trouble.kind === "theirs") this.lease = { ...this.lease, mine: false, owner: trouble.owner };
    this.changed();
  }

  protected replace(document: Document): void {
    this.document = document;
    if (!this.current) this.face = document.faces.at(-1)?.id ?? null;
    if (!this.pending) this.refresh();
    this.changed();
  }

  protected show(face: Face): void {
    const known = this.document.faces.some((one) => one.id === face.id);
    const faces = known
      ? this.document.faces.map((one) => (one.id === face.id ? face : one))
      : [...this.document.faces, face];
    this.document = { ...this.document, faces };
    this.changed();
  }

  /** The landmark whose click helps most. */
  get suggested(): number | null {
    return this.details?.suggestions[0]?.landmark ?? null;
  }

  heatmap(landmark: number, signal: AbortSignal): Promise<Heatmap> {
    return api.heatmap(this.document.name, this.face ?? 0, landmark, signal);
  }

  protected askDetails(face: Face, signal: AbortSignal): Promise<Details> {
    return api.details(this.document.name, face.id, signal);
  }

  /** What is shown beside the face is of another one, and an answer about that comes too late. */
  protected expire(): void {
    this.detailsOf?.abort();
    this.stale = true;
  }

  /** What to click next, and all else that is shown beside the face. */
  refresh(): void {
    this.expire();
    const face = this.current;
    if (!face) {
      this.details = null;
      this.stale = false;
      return;
    }
    const control = (this.detailsOf = new AbortController());
    this.askDetails(face, control.signal).then(
      (details) => {
        if (control.signal.aborted) return;
        this.details = details;
        this.stale = false;
        const clicked = face.evidence.some((one) => one.kind === "click" && one.landmark === this.landmark);
        if (this.landmark === null || clicked) this.landmark = this.suggested;
        this.changed();
      },
      () => {
        if (control.signal.aborted) return;
        this.stale = false;
        this.changed();
      },
    );
  }

  protected changed(): void {
    if (!this.closed) this.dispatchEvent(new Event("change"));
  }

  /** Keep what can be undone through a reload of the page. */
  private keep(): void {
    const kept = JSON.stringify({ state: this.said, done: this.done, undone: this.undone });
    try {
      sessionStorage.setItem(`steps ${this.document.name}`, kept);
    } catch {
      sessionStorage.removeItem(`steps ${this.document.name}`); // it is full: undoing ends with this page
    }
  }

  /** What tells one state of one document from others. */
  private get said(): string {
    const { revision, faces, frames } = this.document;
    return JSON.stringify([revision, frames.length ? frames : faces.map((face) => [face.id, face.source, face.evidence, face.hidden])]);
  }

  private recall(): void {
    const kept = JSON.parse(sessionStorage.getItem(`steps ${this.document.name}`) ?? "null");
    if (kept?.state === this.said) ({ done: this.done, undone: this.undone } = kept);
  }
}

const round = (value: number): number => Math.round(value * 1000) / 1000;

/** From the click to the whole face redrawn. */
function measured(stamp: number): void {
  performance.measure("click-to-redraw", { start: stamp, end: performance.now() });
}
