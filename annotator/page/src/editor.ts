// One picture being labelled: its document, what was done and can be undone, and the queue of changes to save.

import { Ahead, type Said } from "./ahead";
import { api, Refused } from "./api";
import { afterPaint, measured } from "./paint";
import { type Change, type Step, Steps } from "./steps";
import type { Constraint, Details, Document, Face, Heatmap, Lease, Rectangle } from "./types";

export type Trouble = { kind: "theirs"; owner: string } | { kind: "changed" } | { kind: "failed"; text: string };

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

  private readonly steps: Steps;
  private queue: Promise<unknown> = Promise.resolve();
  private detailsOf: AbortController | null = null;
  private readonly ahead = new Ahead();
  protected closed = false;

  constructor(opened: { document: Document; lease: Lease }) {
    super();
    this.document = opened.document;
    this.lease = opened.lease;
    this.face = opened.document.faces[0]?.id ?? null;
    if (!this.lease.mine) this.trouble = { kind: "theirs", owner: this.lease.owner };
    this.steps = new Steps(this.document.name);
    this.steps.recall(this.said);
  }

  /** The face that is shown: as the server answered last, with what was said since. */
  get current(): Face | null {
    const saved = this.document.faces.find((face) => face.id === this.face);
    return saved ? this.ahead.shown(saved, this.frame) : null;
  }

  /** The face that a change is about: that which is shown, once it belongs to what is shown. */
  protected get target(): Face | null {
    return this.current;
  }

  get canUndo(): boolean {
    return this.steps.done.length > 0;
  }

  get canRedo(): boolean {
    return this.steps.undone.length > 0;
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
    const click: Constraint = { kind: "click", landmark, x: round(x), y: round(y) };
    this.say(({ evidence, hidden }) => {
      const others = evidence.filter((one) => !(one.kind === "click" && one.landmark === landmark));
      return { evidence: [...others, click], hidden };
    }, stamp);
  }

  /** Add a region, an exclusion or a range of the pose. */
  add(constraint: Constraint): void {
    this.say(({ evidence, hidden }) => ({ evidence: [...evidence, constraint], hidden }));
  }

  /** Take one constraint back. */
  drop(index: number): void {
    const gone = JSON.stringify(this.target?.evidence[index]);
    this.say(({ evidence, hidden }) => ({ evidence: evidence.filter((one) => JSON.stringify(one) !== gone), hidden }));
  }

  /** Take back all that is known of a landmark. */
  dropLandmark(landmark: number): void {
    const isOf = (one: Constraint) => one.kind !== "pose" && one.landmark === landmark;
    if (this.target?.evidence.some(isOf))
      this.say(({ evidence, hidden }) => ({ evidence: evidence.filter((one) => !isOf(one)), hidden }));
  }

  clear(): void {
    if (this.target?.evidence.length) this.say(({ hidden }) => ({ evidence: [], hidden }));
  }

  toggleHidden(landmark: number): void {
    const was = this.target?.hidden.includes(landmark);
    this.say(({ evidence, hidden }) => {
      const others = hidden.filter((one) => one !== landmark);
      return { evidence, hidden: was ? others : [...others, landmark].sort((a, b) => a - b) };
    });
  }

  draw(box: Rectangle): void {
    this.enqueue(async () => {
      const made = await this.send({ do: "draw", box });
      if (made) this.remember({ forward: { do: "add", face: made }, back: { do: "remove", face: made.id } });
    });
  }

  remove(): void {
    const id = this.target?.id;
    this.enqueue(async () => {
      const gone = this.document.faces.find((face) => face.id === id);
      if (!gone) return;
      await this.send({ do: "remove", face: gone.id });
      this.remember({ forward: { do: "remove", face: gone.id }, back: { do: "add", face: gone } });
    });
  }

  // What is undone is the last step when its turn comes: what was done before, and is not saved yet, is a step by then.
  undo(): void {
    if (this.pending || this.canUndo) this.enqueue(() => this.retrace(this.steps.done, this.steps.undone, (step) => step.back));
  }

  redo(): void {
    if (this.pending || this.canRedo) this.enqueue(() => this.retrace(this.steps.undone, this.steps.done, (step) => step.forward));
  }

  private async retrace(from: Step[], to: Step[], of: (step: Step) => Change): Promise<void> {
    const step = from.at(-1);
    if (!step) return;
    this.reveal(of(step));
    await this.send(of(step));
    from.pop();
    to.push(step);
    this.steps.keep(this.said);
  }

  private remember(step: Step): void {
    this.steps.add(step);
    this.steps.keep(this.said);
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
    this.steps.clear();
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

  /**
   * Say something of the face. It is shown at once, and saved in its turn: added to what is saved by then, so that
   * nothing is lost of what is said while the server has not answered.
   */
  private say(edit: (before: Said) => Said, stamp?: number): void {
    const { frame, target } = this;
    if (!target || this.readOnly) return this.changed();
    const { id } = target;
    const taken = this.ahead.add(id, frame, edit);
    this.enqueue(async () => {
      const before = this.saved(id, frame);
      if (!before) return;
      const of = { do: "set", face: id, frame } as const;
      const forward: Change = { ...of, ...edit(before) };
      await this.send(forward);
      this.remember({ forward, back: { ...of, ...before } });
      if (stamp !== undefined) measured(stamp);
    }, taken);
  }

  /** What is saved of a face; null: it is gone. */
  protected saved(id: number, _frame: number | null): Said | null {
    const face = this.document.faces.find((one) => one.id === id);
    return face ? { evidence: face.evidence, hidden: face.hidden } : null;
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

  private enqueue(task: () => Promise<void>, then: () => void = () => {}): void {
    if (this.readOnly) return this.changed();
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
        then();
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
    if (this.pending) return; // it is asked for once, after the last of them
    const face = this.current;
    if (!face) {
      this.details = null;
      this.stale = false;
      return;
    }
    const control = (this.detailsOf = new AbortController());
    // The face first: what is shown beside it is asked for when it is drawn.
    const asked = afterPaint().then(() => this.askDetails(face, control.signal));
    const answered = (details: Details | null) => {
      if (control.signal.aborted) return;
      this.stale = false;
      if (details) {
        this.details = details;
        const clicked = face.evidence.some((one) => one.kind === "click" && one.landmark === this.landmark);
        if (this.landmark === null || clicked) this.landmark = this.suggested;
      }
      this.changed();
    };
    asked.then(answered, () => answered(null));
  }

  protected changed(): void {
    if (!this.closed) this.dispatchEvent(new Event("change"));
  }

  /** What tells one state of one document from others. */
  private get said(): string {
    const { revision, faces, frames } = this.document;
    return JSON.stringify([revision, frames.length ? frames : faces.map((face) => [face.id, face.source, face.evidence, face.hidden])]);
  }
}

const round = (value: number): number => Math.round(value * 1000) / 1000;
