// A video being labelled: one frame is shown, and what is said of it goes through all of them.

import type { Said } from "./ahead";
import { videoApi } from "./api";
import { Editor } from "./editor";
import type { Stage } from "./stage";
import type { Change } from "./steps";
import type { Details, Document, Face, Heatmap, Lease, Timeline } from "./types";

/** Milliseconds between two looks at how far a run through the video is. */
const LOOK = 350;

export class VideoEditor extends Editor {
  timeline: Timeline | null = null;
  playing = false;

  private faceOf: AbortController | null = null;
  /** The frame whose face is shown: that of the frame before stays until its own has come. */
  private faceFrame: number | null = null;
  private looking = false;

  constructor(
    opened: { document: Document; lease: Lease },
    private readonly stage: Stage,
  ) {
    super(opened);
    this.frame = Number(sessionStorage.getItem(`frame ${this.document.name}`) ?? 0);
  }

  start(): void {
    this.stage.show(null, this.document.size);
    void this.look();
  }

  override close(): void {
    super.close();
    this.playing = false;
    this.faceOf?.abort();
  }

  /** Where the video is not answered yet, what is being done. */
  get progressText(): string {
    const line = this.timeline;
    if (!line) return "Opening the video…";
    if (line.state === "failed") return `The video cannot be followed: ${line.detail}`;
    if (line.state === "reading") return `Reading the video: ${line.frames} frames…`;
    return line.state === "tracking" ? `Following the face: frame ${line.through} of ${line.frames}…` : "";
  }

  /** The click that helps the whole video most: where none is known, the frame that is least certain. */
  get keyFrame(): { frame: number; landmark: number | null } | null {
    const line = this.timeline;
    if (!line || line.state !== "ready") return null;
    const said = new Set(this.document.frames.map((one) => one.frame));
    const known = line.suggestions.find((one) => !said.has(one.frame)) ?? line.suggestions[0];
    if (known) return known;
    let [best, most] = [null as number | null, 0];
    line.uncertainty.forEach((value, frame) => {
      if (value !== null && value > most && line.states[frame] === "visible" && !said.has(frame)) [best, most] = [frame, value];
    });
    return best === null ? null : { frame: best, landmark: null };
  }

  override get suggested(): number | null {
    const ofVideo = this.timeline?.suggestions.find((one) => one.frame === this.frame)?.landmark;
    const clicked = this.current?.evidence.some((one) => one.kind === "click" && one.landmark === ofVideo);
    return ofVideo !== undefined && !clicked ? ofVideo : super.suggested;
  }

  protected override get target(): Face | null {
    return this.faceFrame === this.frame ? this.current : null;
  }

  /** Whether the face is hidden in the frame that is shown. */
  get unseen(): boolean {
    const state = this.timeline?.states[this.frame ?? 0];
    return state === "hidden" || state === "lost";
  }

  step(by: number): void {
    this.playing = false;
    void this.go((this.frame ?? 0) + by);
  }

  goToKeyFrame(): void {
    const key = this.keyFrame;
    if (key) void this.go(key.frame).then(() => key.landmark !== null && this.choose(key.landmark));
  }

  /** The next frame that something was said of, from the beginning again after the last. */
  goToSaid(): void {
    const said = this.document.frames.map((one) => one.frame);
    const next = said.find((frame) => frame > (this.frame ?? 0)) ?? said[0];
    if (next !== undefined) void this.go(next);
  }

  /** Show the frames one after the other, or stop. */
  play(): void {
    this.playing = !this.playing;
    const turn = async (): Promise<void> => {
      const last = (this.timeline?.frames ?? 1) - 1;
      if (!this.playing || (this.frame ?? 0) >= last) {
        this.playing = false;
        this.refresh();
        return this.changed();
      }
      const began = performance.now();
      await this.go((this.frame ?? 0) + 1);
      setTimeout(() => void turn(), Math.max(0, 40 - (performance.now() - began)));
    };
    if (this.playing) void turn();
  }

  /** Show a frame. */
  async go(frame: number): Promise<void> {
    const last = Math.max((this.timeline?.frames ?? 1) - 1, 0);
    this.frame = Math.max(0, Math.min(last, frame));
    this.landmark = null;
    this.expire();
    sessionStorage.setItem(`frame ${this.document.name}`, String(this.frame));
    this.stage.frame(videoApi.pictureUrl(this.document.name, this.frame));
    this.changed();
    await this.fetchFace();
  }

  override async reload(take = false): Promise<void> {
    await super.reload(take);
    await this.look();
    await this.fetchFace();
  }

  override heatmap(landmark: number, signal: AbortSignal): Promise<Heatmap> {
    return videoApi.heatmap(this.document.name, this.frame ?? 0, landmark, signal);
  }

  protected override askDetails(_face: Face, signal: AbortSignal): Promise<Details> {
    return videoApi.details(this.document.name, this.frame ?? 0, signal);
  }

  override refresh(): void {
    if (this.playing) return;
    if (this.faceFrame === this.frame) super.refresh();
    else void this.fetchFace();
  }

  protected override reveal(change: Change): void {
    if (change.do === "set" && change.frame !== null && change.frame !== this.frame) void this.go(change.frame);
  }

  protected override saved(_id: number, frame: number | null): Said {
    const known = this.document.frames.find((one) => one.frame === frame);
    return { evidence: known?.evidence ?? [], hidden: known?.hidden ?? [] };
  }

  protected override async send(change: Change): Promise<Face | null> {
    if (change.do !== "set") throw new Error("faces of a video are found, not drawn");
    const frame = change.frame ?? 0;
    const { name, revision, frames } = this.document;
    const found = await videoApi.solve(name, revision, frame, change.evidence, change.hidden);
    const others = frames.filter((one) => one.frame !== frame);
    const { evidence, hidden } = found.face;
    if (evidence.length || hidden.length) others.push({ frame, evidence, hidden });
    others.sort((a, b) => a.frame - b.frame);
    this.document = { ...this.document, revision: found.revision, frames: others };
    // Whoever has gone on to another frame meanwhile stays there.
    if (frame === this.frame) {
      this.faceOf?.abort(); // what it asks for is older
      this.faceFrame = frame;
      this.show(found.face);
    }
    void this.look();
    return null;
  }

  protected override replace(document: Document): void {
    // The document of a video has no faces: that of the frame stays until it is asked for again.
    this.faceFrame = null;
    super.replace({ ...document, faces: this.document.faces, size: this.document.size ?? document.size });
  }

  /** Look how far the video is, until it is ready. */
  private async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    let before = this.timeline?.state ?? null;
    while (!this.closed) {
      const line = await videoApi.timeline(this.document.name).catch(() => null);
      if (this.closed || !line) break;
      const first = !this.timeline || (!this.document.faces.length && line.through > (this.frame ?? 0));
      this.timeline = line;
      if (line.size && !this.document.size) this.document = { ...this.document, size: line.size };
      const through = line.state === "ready" && before === "tracking";
      if (line.frames && (first || through)) await (first ? this.go(this.frame ?? 0) : this.fetchFace());
      before = line.state;
      this.changed();
      if (line.state === "failed" || (line.state === "ready" && line.revision === this.document.revision)) break;
      await new Promise((done) => setTimeout(done, LOOK));
    }
    this.looking = false;
  }

  /** The face of the frame that is shown. */
  private async fetchFace(): Promise<void> {
    this.faceOf?.abort();
    const control = (this.faceOf = new AbortController());
    const frame = this.frame ?? 0;
    const found = await videoApi.face(this.document.name, frame, control.signal).catch(() => null);
    // What is being saved is newer than this answer; it is asked again after that.
    if (control.signal.aborted || this.pending) return;
    this.faceFrame = frame;
    this.document = { ...this.document, faces: found?.face ? [found.face] : [] };
    this.face = found?.face?.id ?? null;
    this.refresh();
    this.changed();
  }
}

