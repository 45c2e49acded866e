// One video without any I/O: what is sent, what is answered, and what to send again. The same rules as in
// exalign_client/track/session.py: a frame is kept until its result has come, late evidence until that of a later frame
// has; results come once and in order; only what has come with all its revisions is acknowledged.
import * as grpc from "@grpc/grpc-js";
import { randomUUID } from "node:crypto";
import { ExalignError, SessionLostError } from "./errors";
import type { FrameResult__Output } from "./generated/exalign/v1/FrameResult";
import type { FrameRevision__Output } from "./generated/exalign/v1/FrameRevision";
import type { ModelChanged__Output } from "./generated/exalign/v1/ModelChanged";
import type { PastEvidence } from "./generated/exalign/v1/PastEvidence";
import type { TrackClosed__Output } from "./generated/exalign/v1/TrackClosed";
import type { TrackConfig } from "./generated/exalign/v1/TrackConfig";
import type { TrackOpened__Output } from "./generated/exalign/v1/TrackOpened";
import type { TrackVideoRequest } from "./generated/exalign/v1/TrackVideoRequest";
import type { TrackVideoResponse__Output } from "./generated/exalign/v1/TrackVideoResponse";
import type { VideoFrame } from "./generated/exalign/v1/VideoFrame";

export type TrackEvent =
  | {
      kind: "result";
      result: FrameResult__Output;
      session: number;
      bundleId: string;
      /** Live: frames that newer ones replaced since the result before, here or at the server; ascending. */
      skipped: number[];
    }
  | { kind: "revision"; revision: FrameRevision__Output }
  | { kind: "modelChanged"; changed: ModelChanged__Output };

type Late = { after: number; evidence: PastEvidence };

/** Milliseconds without a frame after which a due acknowledgement travels alone, and after which a heartbeat is sent. */
const ACK_PAUSE = 50;
const HEARTBEAT_PAUSE = 1000;

export class TrackSession {
  closed: TrackClosed__Output | undefined;
  over = false;
  everOpened = false;
  goingAway = false;

  private opened = false;
  private finished = false;
  private session = 1;
  private streams = 0;
  private nameTaken = false;
  private name: string;
  private token: Buffer = Buffer.alloc(0);
  private bundleId = "";
  private changedAt = -1;
  private newest = -1;
  private lastGiven = -1;
  private ackable = -1;
  private acked = -1;
  private ackWanted = false;
  private heartbeats = 0;
  private barrier = -1;
  private heartbeatPause = HEARTBEAT_PAUSE;
  /** Most frames under way: a server that waits for acknowledgements reads no further than its own bound for them. */
  private underWay: number;
  private readonly frames = new Map<number, VideoFrame>();
  private late: Late[] = [];
  private toSend: (number | Late)[] = [];
  private sent = new Set<number>();
  private revised = new Set<string>();
  private readonly live: boolean;
  /** Frames that were never sent, and, live, those that newer ones replaced before they were. */
  private unsent = new Set<number>();
  private dropped: number[] = [];

  constructor(
    private readonly config: TrackConfig,
    private readonly window: number,
  ) {
    this.name = config.sessionId || randomUUID();
    this.underWay = window;
    this.live = config.mode === "TRACK_MODE_LIVE";
  }

  // What the caller gives.

  /** Whether another frame may be taken; live there always is, at the cost of those not sent yet. */
  get room(): boolean {
    return this.live || this.frames.size < this.window;
  }

  /** Frames given and not yet answered. */
  get unanswered(): number[] {
    return [...this.frames.keys()];
  }

  /** Take a frame, numbered above all before it; without a number it has the next one. */
  add(frame: VideoFrame): void {
    const index = Number(frame.frameIndex ?? this.lastGiven + 1);
    if (!Number.isSafeInteger(index) || index <= this.lastGiven)
      throw new RangeError(`frameIndex is ${String(frame.frameIndex)}, must be a whole number above ${this.lastGiven}`);
    this.lastGiven = index;
    if (this.live && this.unsent.size > 0) {
      this.toSend = this.toSend.filter((one) => typeof one !== "number" || !this.unsent.has(one));
      for (const stale of this.unsent) this.frames.delete(stale);
      this.dropped.push(...this.unsent);
      this.unsent.clear();
    }
    this.frames.set(index, { ...frame, frameIndex: index });
    this.unsent.add(index);
    if (this.opened) this.toSend.push(index);
  }

  /** Take evidence about a frame given before. */
  addLate(evidence: PastEvidence): void {
    if (this.live) throw new RangeError("a live video takes evidence with its frames only");
    const late = { after: this.lastGiven, evidence };
    this.late.push(late);
    if (this.opened) this.toSend.push(late);
  }

  /** There are no more frames. */
  finish(): void {
    this.finished = true;
  }

  // What a stream sends.

  /** First message and metadata of a new stream. */
  begin(): [TrackVideoRequest, grpc.Metadata] {
    this.opened = this.goingAway = this.ackWanted = false;
    this.toSend = [];
    this.sent.clear();
    this.heartbeatPause = HEARTBEAT_PAUSE;
    this.acked = -1;
    this.streams += 1;
    if (this.streams > 1 && this.token.length === 0) {
      const suffix = this.nameTaken ? randomUUID().slice(0, 8) : String(this.streams);
      this.name = this.config.sessionId ? `${this.config.sessionId.slice(0, 55)}.${suffix}` : randomUUID();
    }
    const metadata = new grpc.Metadata();
    metadata.set("x-session-id", this.name);
    return [{ config: { ...this.config, sessionId: this.name, resumeToken: this.token } }, metadata];
  }

  /** The next frame or late evidence; undefined: there is none now. */
  next(): TrackVideoRequest | undefined {
    if (this.toSend.length === 0 || this.goingAway || this.sent.size >= this.underWay) return undefined;
    const item = this.toSend.shift() as number | Late;
    if (typeof item !== "number") return { pastEvidence: item.evidence };
    this.sent.add(item);
    this.unsent.delete(item);
    const frame = { ...this.frames.get(item) };
    if (this.ackable >= 0) {
      frame.ackedFrame = this.acked = this.ackable;
      this.ackWanted = false;
    }
    return { frame };
  }

  /** Milliseconds to wait for a frame before `keepalive`. */
  get pause(): number {
    if (!this.opened || this.ackable <= this.acked) return this.heartbeatPause;
    return this.ackWanted ? 0 : ACK_PAUSE;
  }

  /** What to send where there was no frame for a while: an acknowledgement or a heartbeat. */
  keepalive(): TrackVideoRequest | undefined {
    if (!this.opened) return undefined;
    if (this.ackable > this.acked) {
      this.acked = this.ackable;
      this.ackWanted = false;
      return { ack: { ackedFrame: this.acked } };
    }
    this.heartbeats += 1;
    this.barrier = this.newest; // what was sent before the echo has come before the echo
    return { heartbeat: { sequence: this.heartbeats } };
  }

  /** Whether all is sent and answered: acknowledgements could not follow a half-close. */
  get mayHalfClose(): boolean {
    return this.opened && this.finished && this.frames.size === 0 && this.toSend.length === 0;
  }

  /** Whether the server has asked to move on, and every frame sent to it is answered. */
  get shouldReconnect(): boolean {
    return this.goingAway && !this.mayHalfClose && this.sent.size === 0;
  }

  // What a stream brings.

  /** Take a message in; what of it is new to the caller. */
  receive(response: TrackVideoResponse__Output): TrackEvent | undefined {
    switch (response.message) {
      case "opened":
        this.open(response.opened as TrackOpened__Output);
        break;
      case "result":
        return this.result(response.result as FrameResult__Output);
      case "revision":
        return this.revision(response.revision as FrameRevision__Output);
      case "modelChanged":
        return this.modelChanged(response.modelChanged as ModelChanged__Output);
      case "heartbeat":
        if (response.heartbeat?.sequence === this.heartbeats) this.ackable = Math.max(this.ackable, this.barrier);
        break;
      case "goAway":
        this.goingAway = true;
        break;
      case "mustAcknowledge":
        this.ackable = Math.max(this.ackable, Math.min(response.mustAcknowledge?.newestFrame ?? -1, this.newest));
        this.ackWanted = true;
        break;
      case "closed":
        this.closed = response.closed as TrackClosed__Output;
        this.over = true;
    }
    return undefined;
  }

  private open(opened: TrackOpened__Output): void {
    this.opened = this.everOpened = true;
    this.bundleId = opened.bundleId;
    if (opened.maxUnackedFrames > 0)
      this.underWay = Math.min(this.window, Math.max(1, Math.floor(opened.maxUnackedFrames / 2)));
    // The server has seen the frames below nextFrame; where resumed, their results follow by themselves.
    const first = this.token.length > 0 ? opened.nextFrame : 0;
    const again: [number, number, number | Late][] = [];
    for (const index of this.frames.keys()) {
      if (index >= first) again.push([index, 0, index]);
      else this.sent.add(index);
    }
    for (const late of this.late) if (late.after >= first - 1) again.push([late.after, 1, late]);
    again.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    this.toSend.push(...again.map((one) => one[2]));
    const idle = opened.idleTimeout;
    const allowed = idle ? Number(idle.seconds) * 1000 + idle.nanos / 1e6 : 0;
    if (allowed > 0) this.heartbeatPause = Math.min(HEARTBEAT_PAUSE, allowed / 3);
  }

  private result(result: FrameResult__Output): TrackEvent | undefined {
    const index = result.frameIndex;
    if (index <= this.newest) return undefined; // repeated after a break
    const oldest = this.frames.keys().next().value;
    if (this.live ? !this.frames.has(index) : oldest !== index)
      throw new ExalignError(
        `the answer does not keep to the contract: a result for frame ${index}, expected is ${String(oldest)}`,
        grpc.status.INTERNAL,
      );
    // What was dropped here has numbers between those of frames that were sent, or above them all.
    const passed = [...this.frames.keys()].filter((one) => one < index);
    const skipped = [...passed, ...this.dropped.filter((one) => one < index)].sort((a, b) => a - b);
    this.dropped = this.dropped.filter((one) => one > index);
    for (const answered of [...passed, index]) {
      this.frames.delete(answered);
      this.sent.delete(answered);
      this.unsent.delete(answered);
    }
    if (passed.length > 0) this.toSend = this.toSend.filter((one) => typeof one !== "number" || one > index);
    this.late = this.late.filter((late) => late.after >= index);
    this.ackable = this.config.smoothingLag ? this.newest : index;
    this.newest = index;
    this.token = Buffer.from(result.resumeToken);
    this.revised.clear();
    return { kind: "result", result, session: this.session, bundleId: this.bundleId, skipped };
  }

  private revision(revision: FrameRevision__Output): TrackEvent | undefined {
    const late = revision.cause === "REVISION_CAUSE_EVIDENCE"; // a frame may get several before the next result
    const key = JSON.stringify(
      late ? revision : [revision.frameIndex, revision.cause, revision.tracks.map((track) => track.trackId)],
    );
    if (revision.throughFrame < this.newest || this.revised.has(key)) return undefined; // repeated after a break
    this.revised.add(key);
    return { kind: "revision", revision };
  }

  private modelChanged(changed: ModelChanged__Output): TrackEvent | undefined {
    this.bundleId = changed.bundleId;
    if (changed.frameIndex <= Math.max(this.newest, this.changedAt)) return undefined;
    this.changedAt = changed.frameIndex;
    return { kind: "modelChanged", changed };
  }

  // What to do when a stream has broken.

  /** After a stream has ended with an error: begin a new session where the server has lost the one before. */
  startAgain(error: ExalignError): boolean {
    const known = this.token.length > 0;
    if (error.reason === "SESSION_EXISTS" && !known && !this.nameTaken) {
      this.nameTaken = true;
      return true;
    }
    const lost = error.code === grpc.status.NOT_FOUND || error.reason === "TOKEN_TOO_OLD";
    if (!known || this.opened || !lost) return false;
    const missing: string[] = [];
    if (this.config.smoothingLag) missing.push(`revisions of the last ${this.config.smoothingLag} frames`);
    if (this.config.pathFrames || this.config.suggestion) missing.push("the path and suggestions");
    if (missing.length > 0)
      throw this.lost(`the server has lost the session; ${missing.join(" and ")} up to frame ${this.newest}`, error);
    if (this.finished && this.frames.size === 0) {
      this.over = true; // all is answered; only the counts of the summary are lost
      return true;
    }
    this.session += 1;
    this.token = Buffer.alloc(0);
    this.ackable = this.barrier = -1;
    return true;
  }

  /** The error to end with; it names the frames without an answer. */
  lost(what: string, cause: ExalignError): SessionLostError {
    const left = this.unanswered;
    const frames = left.length > 0 ? `; given and not answered: ${left[0]} to ${left[left.length - 1]}` : "";
    return new SessionLostError(`${what}${frames} (${cause.message})`, left, cause);
  }
}
