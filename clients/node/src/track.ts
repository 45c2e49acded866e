// The streams of one video, one after the other: opened, read, written no faster than the server takes, opened again.
import * as grpc from "@grpc/grpc-js";
import { ExalignError, errorFrom } from "./errors";
import type { FaceAlignmentServiceClient } from "./generated/exalign/v1/FaceAlignmentService";
import type { PastEvidence } from "./generated/exalign/v1/PastEvidence";
import type { TrackClosed__Output } from "./generated/exalign/v1/TrackClosed";
import type { TrackConfig } from "./generated/exalign/v1/TrackConfig";
import type { TrackVideoRequest } from "./generated/exalign/v1/TrackVideoRequest";
import type { TrackVideoResponse__Output } from "./generated/exalign/v1/TrackVideoResponse";
import type { VideoFrame } from "./generated/exalign/v1/VideoFrame";
import { TrackEvent, TrackSession } from "./session";

/** A frame, or evidence about one given before. */
export type FrameInput = VideoFrame | { pastEvidence: PastEvidence };

export interface TrackOptions extends Omit<TrackConfig, "resumeToken" | "mode"> {
  /** The newest frame wins: one that is not sent yet, or waits at the server, gives way to it. Results name the skipped. */
  live?: boolean;
  /** Most frames given and not yet answered; as many pictures are kept in memory. Default 16. */
  window?: number;
  /** Milliseconds of silence after which a server is left, and for which it is then tried again. Default 30,000. */
  timeout?: number;
  metadata?: () => grpc.Metadata;
}

type Duplex = grpc.ClientDuplexStream<TrackVideoRequest, TrackVideoResponse__Output>;

/** Codes after which a stream is opened again. */
const BREAKS = new Set([
  grpc.status.UNAVAILABLE,
  grpc.status.CANCELLED,
  grpc.status.INTERNAL,
  grpc.status.UNKNOWN,
  grpc.status.DEADLINE_EXCEEDED,
]);
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 2000;
const GO_AWAY_TIMEOUT = 1000;

/** What `Client.track` returns: an asynchronous iterator over events. Leaving the loop early ends the stream. */
export class TrackStream implements AsyncIterable<TrackEvent> {
  private readonly session: TrackSession;
  private readonly live: boolean;
  private readonly timeout: number;
  private readonly metadata: () => grpc.Metadata;
  private readonly wakers = new Set<() => void>();
  private stopped = false;
  private failure: { error: unknown } | undefined;
  private call: Duplex | undefined;
  private reading: number | undefined;
  private cause: ExalignError | undefined;

  constructor(
    private readonly stub: FaceAlignmentServiceClient,
    private readonly frames: Iterable<FrameInput> | AsyncIterable<FrameInput>,
    options: TrackOptions,
  ) {
    const { live = false, window = 16, timeout = 30_000, metadata = () => new grpc.Metadata(), ...config } = options;
    if (!Number.isInteger(window) || window < 1 || window > 256)
      throw new RangeError(`window is ${window}, must be a whole number from 1 to 256`);
    this.timeout = timeout;
    this.metadata = metadata;
    this.live = live;
    this.session = new TrackSession(live ? { ...config, mode: "TRACK_MODE_LIVE" } : config, window);
  }

  /** After the last event: counts, paths and suggestions; undefined where the server has lost the session at the end. */
  get closed(): TrackClosed__Output | undefined {
    return this.session.closed;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TrackEvent> {
    const feeding = this.feed();
    let since: number | undefined;
    let pause = FIRST_PAUSE;
    try {
      for (;;) {
        let error: ExalignError;
        try {
          for await (const event of this.stream()) {
            since = undefined;
            pause = FIRST_PAUSE;
            yield event;
          }
          if (this.finished()) return;
          error = new ExalignError("the stream ended before the video did", grpc.status.UNAVAILABLE);
        } catch (caught) {
          if (this.session.over) return;
          error = this.cause ?? errorFrom(caught);
        }
        this.cause = undefined;
        if (this.finished()) return;
        if (this.session.startAgain(error)) {
          if (this.session.over) return;
          continue;
        }
        since ??= Date.now();
        const busy = error.code === grpc.status.RESOURCE_EXHAUSTED ? error.retryAfter : undefined;
        const again = BREAKS.has(error.code) || busy !== undefined;
        if (!again || Date.now() - since > this.timeout) {
          const resumable = again && this.session.everOpened;
          throw resumable ? this.session.lost("the connection broke and could not be made again", error) : error;
        }
        await new Promise((done) => setTimeout(done, busy ?? pause));
        pause = Math.min(2 * pause, LONGEST_PAUSE);
      }
    } finally {
      this.stopped = true;
      this.call?.cancel();
      this.wake();
      await feeding;
    }
  }

  /** Whether nothing more will come; throws what the caller's frames threw, when all before that is answered. */
  private finished(): boolean {
    if (this.failure !== undefined && this.session.unanswered.length === 0) throw this.failure.error;
    return this.session.over;
  }

  /** One stream, from its config to its end. */
  private async *stream(): AsyncGenerator<TrackEvent> {
    const [first, names] = this.session.begin();
    const metadata = this.metadata().clone();
    metadata.merge(names);
    const call: Duplex = this.stub.trackVideo(metadata) as Duplex;
    this.call = call;
    const alive = { yes: true };
    const writing = this.write(call, first, alive);
    try {
      this.reading = Date.now();
      // Reading by turns: while the caller is busy with an event, flow control holds the server back.
      for await (const response of call) {
        this.reading = undefined;
        const event = this.session.receive(response as TrackVideoResponse__Output);
        this.wake();
        if (event !== undefined) yield event;
        if (this.failure !== undefined && this.session.unanswered.length === 0) return;
        if (this.session.shouldReconnect)
          throw new ExalignError("the server asked to move on", grpc.status.UNAVAILABLE);
        this.reading = Date.now();
      }
    } finally {
      this.reading = undefined;
      alive.yes = false;
      call.on("error", () => undefined); // of a stream that is given up
      call.cancel();
      this.wake();
      await writing;
    }
  }

  /** What one stream sends. */
  private async write(call: Duplex, first: TrackVideoRequest, alive: { yes: boolean }): Promise<void> {
    let message: TrackVideoRequest | undefined = first;
    while (alive.yes) {
      if (message !== undefined && !call.write(message)) await this.drained(call, alive);
      if (this.session.mayHalfClose) {
        call.end();
        return;
      }
      message = this.session.next();
      if (message === undefined && !(await this.changed(this.session.pause))) {
        if (!alive.yes) return;
        message = this.session.keepalive();
        this.checkLiveness(call);
      }
    }
  }

  private checkLiveness(call: Duplex): void {
    const silent = this.reading === undefined ? 0 : Date.now() - this.reading;
    if (silent > this.timeout)
      this.cause = new ExalignError(`not a word from the server for ${silent} ms`, grpc.status.DEADLINE_EXCEEDED);
    else if (this.session.goingAway && silent > GO_AWAY_TIMEOUT)
      this.cause = new ExalignError("the server asked to move on", grpc.status.UNAVAILABLE);
    else return;
    call.cancel();
  }

  /** Take frames from the caller's iterable, as fast as there is room for them. */
  private async feed(): Promise<void> {
    try {
      for await (const given of this.frames) {
        while (!this.session.room && !this.stopped) await this.changed();
        if (this.stopped) return;
        if ("pastEvidence" in given) this.session.addLate(given.pastEvidence);
        else this.session.add(given);
        this.wake();
        // Live nothing holds the caller's frames back: others have their turn.
        if (this.live) await new Promise((done) => setImmediate(done));
      }
      this.session.finish();
    } catch (error) {
      this.failure = { error };
      if (this.session.unanswered.length === 0) this.call?.cancel();
    }
    this.wake();
  }

  private wake(): void {
    for (const waker of [...this.wakers]) waker();
  }

  /** Wait for a change; whether there was one in time. */
  private changed(milliseconds?: number): Promise<boolean> {
    return new Promise((done) => {
      const end = (was: boolean): void => {
        clearTimeout(timer);
        this.wakers.delete(waker);
        done(was);
      };
      const waker = (): void => end(true);
      const timer = milliseconds === undefined ? undefined : setTimeout(() => end(false), milliseconds);
      this.wakers.add(waker);
    });
  }

  private async drained(call: Duplex, alive: { yes: boolean }): Promise<void> {
    let drained = false;
    call.once("drain", () => {
      drained = true;
      this.wake();
    });
    while (!drained && alive.yes) await this.changed();
  }
}
