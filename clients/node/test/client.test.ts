// The client against a real server with a tiny bundle: calls, errors, videos, acknowledgements, breaks, a killed server.
import assert from "node:assert/strict";
import { ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Image } from "../src/generated/exalign/v1/Image";
import { Client, ExalignError, FrameInput, SessionLostError, TrackEvent } from "../src";
import type { TrackVideoResponse__Output } from "../src/generated/exalign/v1/TrackVideoResponse";
import { TrackSession } from "../src/session";

const PYTHON = process.env.EXALIGN_PYTHON ?? "python3";
const SERVER = join(__dirname, "../../test/server.py");
const TIMEOUT = { timeout: 300_000 };
const BOX = { x0: 10, y0: 10, x1: 40, y1: 40 };

/** A grey picture of 64 × 48 with a lighter square that moves. */
function picture(number: number): Image {
  const data = Buffer.alloc(64 * 48 * 3, 60);
  for (let row = 10; row < 40; row++) data.fill(150 + (number % 50), (row * 64 + 10) * 3, (row * 64 + 40) * 3);
  return { raw: { data, width: 64, height: 48, pixelFormat: "PIXEL_FORMAT_RGB8" } };
}

const frame = (number: number): FrameInput => ({ frameIndex: number, image: picture(number), boxes: [{ box: BOX }] });

function* frames(count: number): Generator<FrameInput> {
  for (let number = 0; number < count; number++) yield frame(number);
}

class Server {
  process!: ChildProcess;
  address = "";

  async start(port = 0): Promise<this> {
    this.process = spawn(PYTHON, [SERVER, String(port)], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(this.process.stdout!, "data")) as [Buffer];
    this.address = line.toString().trim();
    return this;
  }

  async kill(): Promise<void> {
    const ended = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await ended;
  }

  get port(): number {
    return Number(this.address.split(":")[1]);
  }
}

/** What stands between client and server, and can cut every connection. */
class Proxy {
  private readonly sockets = new Set<net.Socket>();
  private readonly listener: net.Server;

  constructor(port: number) {
    this.listener = net.createServer((from) => {
      const to = net.connect(port, "127.0.0.1");
      for (const [one, other] of [[from, to], [to, from]]) {
        this.sockets.add(one);
        one.on("error", () => undefined);
        one.on("close", () => {
          this.sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
  }

  async start(): Promise<string> {
    this.listener.listen(0, "127.0.0.1");
    await once(this.listener, "listening");
    return `127.0.0.1:${(this.listener.address() as net.AddressInfo).port}`;
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  close(): void {
    this.listener.close();
    this.cut();
  }
}

/** What a frame was answered, without what differs from run to run. */
function answer(event: TrackEvent): unknown {
  assert.equal(event.kind, "result");
  if (event.kind !== "result") return undefined;
  const faces = event.result.tracks.map((track) => [track.trackId, track.state, track.face?.landmarks]);
  return [event.result.frameIndex, faces];
}

let server: Server;
let client: Client;

before(async () => {
  server = await new Server().start();
  client = new Client(server.address, { timeout: 60_000 });
}, TIMEOUT);

after(async () => {
  client.close();
  await server.kill();
});

test("predict answers landmarks and their uncertainty", TIMEOUT, async () => {
  const found = await client.predict({ image: picture(0), boxes: [BOX] });
  assert.equal(found.faces.length, 1);
  assert.equal(found.imageWidth, 64);
  assert.equal(found.faces[0].landmarks?.points?.length, 136);
  assert.ok((await client.model()).bundleId.length === 64);
});

test("an error names every wrong field, and the reason", TIMEOUT, async () => {
  await assert.rejects(client.predict({ boxes: [{ x0: 5, x1: 1 }] }), (error: ExalignError) => {
    assert.equal(error.code, 3);
    assert.ok(error.violations.some((one) => one.field === "image"));
    assert.ok(error.violations.some((one) => one.field.startsWith("boxes[0]")));
    return true;
  });
});

test("every frame is answered once, in order, acknowledged, and no further ahead than the window", TIMEOUT, async () => {
  let given = 0;
  let answered = 0;
  function* counted(): Generator<FrameInput> {
    for (const one of frames(40)) {
      given += 1;
      assert.ok(given - answered <= 4 + 2, `${given} given, ${answered} answered`);
      yield one;
    }
  }
  // The server keeps 8 results at most that are not acknowledged: 40 come only where they are.
  const stream = client.track(counted(), { window: 4 });
  for await (const event of stream) {
    assert.equal(event.kind === "result" && event.result.frameIndex, answered);
    answered += 1;
  }
  assert.equal(answered, 40);
  assert.equal(stream.closed?.summary?.framesAnswered, 40);
});

test("a stream that breaks is resumed, with the answers of one that did not", TIMEOUT, async () => {
  const whole: unknown[] = [];
  for await (const event of client.track(frames(30), { window: 32 })) whole.push(answer(event));
  const proxy = new Proxy(server.port);
  const other = new Client(await proxy.start(), { timeout: 60_000 });
  try {
    const broken: unknown[] = [];
    const stream = other.track(frames(30), { window: 8 });
    for await (const event of stream) {
      broken.push(answer(event));
      assert.equal(event.kind === "result" && event.session, 1);
      if (broken.length === 7 || broken.length === 15) proxy.cut();
    }
    assert.deepEqual(broken, whole);
    assert.equal(stream.closed?.summary?.framesAnswered, 30);
  } finally {
    other.close();
    proxy.close();
  }
});

test("live, every frame is answered or named as skipped, and the last one is answered", TIMEOUT, async () => {
  const seen: number[] = [];
  const skipped: number[] = [];
  const stream = client.track(frames(60), { live: true, window: 2 });
  for await (const event of stream) {
    if (event.kind !== "result") continue;
    assert.ok(event.result.frameIndex > (seen.at(-1) ?? -1));
    seen.push(event.result.frameIndex);
    skipped.push(...event.skipped);
  }
  assert.equal(seen.at(-1), 59);
  assert.deepEqual([...seen, ...skipped].sort((a, b) => a - b), [...Array(60).keys()]);
  assert.equal(stream.closed?.summary?.framesAnswered, seen.length);
});

test("live, a frame that is not sent yet gives way to the next, and late evidence is refused", () => {
  const session = new TrackSession({ mode: "TRACK_MODE_LIVE" }, 2);
  const says = (message: unknown): TrackEvent | undefined => session.receive(message as TrackVideoResponse__Output);
  const next = (): number | undefined => session.next()?.frame?.frameIndex as number | undefined;
  const result = (frameIndex: number): TrackEvent | undefined =>
    says({ message: "result", result: { frameIndex, resumeToken: Buffer.from("t"), tracks: [] } });
  session.begin();
  for (const number of [0, 1, 2]) session.add(frame(number) as never);
  says({ message: "opened", opened: { bundleId: "b", maxUnackedFrames: 8, nextFrame: 0 } });
  assert.deepEqual([next(), next()], [2, undefined]);
  session.add(frame(3) as never);
  assert.equal(next(), 3);
  for (const number of [4, 5]) session.add(frame(number) as never);
  assert.equal(next(), undefined); // two are under way
  const first = result(3);
  assert.ok(first?.kind === "result");
  assert.deepEqual(first.skipped, [0, 1, 2]);
  assert.equal(next(), 5);
  const second = result(5);
  assert.ok(second?.kind === "result");
  assert.deepEqual(second.skipped, [4]);
  session.finish();
  assert.ok(session.mayHalfClose);
  assert.throws(() => session.addLate({}), RangeError);
});

test("revisions come with a smoothing lag, and once", TIMEOUT, async () => {
  const seen = new Map<string, number>();
  for await (const event of client.track(frames(12), { smoothingLag: 2 })) {
    if (event.kind !== "revision") continue;
    const key = `${event.revision.frameIndex} through ${event.revision.throughFrame}`;
    seen.set(key, (seen.get(key) ?? 0) + 1);
  }
  assert.ok(seen.size > 5);
  assert.ok([...seen.values()].every((count) => count === 1));
});

test("what the frames throw is thrown, after the answers to those before", TIMEOUT, async () => {
  function* failing(): Generator<FrameInput> {
    yield* frames(3);
    throw new Error("no more film");
  }
  let answered = 0;
  await assert.rejects(async () => {
    for await (const event of client.track(failing())) answered += event.kind === "result" ? 1 : 0;
  }, /no more film/);
  assert.equal(answered, 3);
});

test("who leaves early leaves nothing behind", TIMEOUT, async () => {
  for await (const event of client.track(frames(1000))) {
    assert.equal(event.kind, "result");
    break;
  }
});

test("after a killed server a new session answers the rest; nobody there is an error that names what is left", TIMEOUT, async () => {
  let mortal = await new Server().start();
  const { port } = mortal;
  const other = new Client(mortal.address, { timeout: 120_000 });
  try {
    const indices: number[] = [];
    const sessions = new Set<number>();
    for await (const event of other.track(frames(12), { window: 4 })) {
      if (event.kind !== "result") continue;
      indices.push(event.result.frameIndex);
      sessions.add(event.session);
      if (indices.length === 5) {
        await mortal.kill();
        mortal = await new Server().start(port);
      }
    }
    assert.deepEqual(indices, [...Array(12).keys()]);
    assert.deepEqual([...sessions], [1, 2]);

    let answered = 0;
    await assert.rejects(async () => {
      for await (const event of other.track(frames(12), { window: 4, timeout: 1000 })) {
        answered += event.kind === "result" ? 1 : 0;
        if (answered === 3) await mortal.kill();
      }
    }, (error: Error) => error instanceof SessionLostError && error.unanswered.length > 0);
  } finally {
    other.close();
    mortal.process.kill("SIGKILL");
  }
});
