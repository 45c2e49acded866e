// Questions to the server. What cannot be asked because the server is away, as while it restarts, is asked again.

import type { Constraint, Details, Document, Face, Heatmap, Item, Lease, Model, Rectangle, Timeline } from "./types";

export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly body: { lease?: { owner: string; since: number } | null; revision?: number },
    /** How often it was asked before. */
    readonly attempts: number,
  ) {
    super(message);
  }
}

/** This window, through reloads; nobody else's. */
export const HOLDER: string = (() => {
  const known = sessionStorage.getItem("holder");
  if (known) return known;
  const made = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem("holder", made);
  return made;
})();

type Away = (away: boolean) => void;
let tellAway: Away = () => {};

/** Be told when the server is away, and when it is back. */
export function onAway(tell: Away): void {
  tellAway = tell;
}

const PAUSES = [200, 400, 800, 1500, 2500];
const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

interface Asked {
  method?: string;
  body?: unknown;
  signal?: AbortSignal;
  /** Whether to ask again while the server is away. */
  patient?: boolean;
}

async function ask<T>(path: string, { method = "GET", body, signal, patient = true }: Asked = {}): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    let answer: Response | null = null;
    try {
      const init: RequestInit = { method };
      if (signal) init.signal = signal;
      if (body instanceof Blob) init.body = body;
      else if (body !== undefined) {
        init.body = JSON.stringify(body);
        init.headers = { "content-type": "application/json" };
      }
      answer = await fetch(path, init);
    } catch (error) {
      if (signal?.aborted || !patient) throw error;
    }
    // The model's first answer can take longer than it may, where it compiles on a busy machine.
    const late = answer?.status === 504 && method === "GET";
    if (answer && answer.status !== 503 && !late) {
      tellAway(false);
      const found = await answer.json().catch(() => ({}));
      if (answer.ok) return found as T;
      throw new Refused(answer.status, found.message ?? answer.statusText, found, attempt);
    }
    if (!patient) throw new Refused(503, "the server is away", {}, attempt);
    if (!answer) tellAway(true);
    await pause(PAUSES[Math.min(attempt, PAUSES.length - 1)] ?? 2500);
  }
}

const item = (name: string) => `/api/items/${encodeURIComponent(name)}`;
const post = (body: object, more: Asked = {}): Asked => ({ method: "POST", body: { holder: HOLDER, ...body }, ...more });

export type Changed = { revision: number; face: Face; size: [number, number] | null };

export const api = {
  status: () => ask<{ model: Model }>("/api/status", { patient: false }),
  project: () => ask<{ folder: string; items: Item[] }>("/api/project"),
  add: (file: File) =>
    ask<Item>(`/api/items?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file, patient: false }),
  pictureUrl: (name: string) => `${item(name)}/picture`,
  open: (name: string) => ask<{ document: Document; lease: Lease }>(`${item(name)}/open`, post({})),
  lease: (name: string, how: { take?: boolean; give_up?: boolean } = {}) =>
    ask<{ lease: Lease; revision: number }>(`${item(name)}/lease`, post(how, { patient: false })),
  detect: (name: string, revision: number) => ask<{ document: Document }>(`${item(name)}/detect`, post({ revision })),
  done: (name: string, revision: number, done: boolean) =>
    ask<{ document: Document }>(`${item(name)}/done`, post({ revision, done })),
  draw: (name: string, revision: number, face: { box: Rectangle } & Partial<Face> & { detector?: string }) =>
    ask<Changed>(`${item(name)}/faces`, post({ revision, ...face })),
  solve: (name: string, revision: number, face: number, evidence: Constraint[], hidden: number[]) =>
    ask<Changed>(`${item(name)}/faces/${face}`, { method: "PUT", body: { holder: HOLDER, revision, evidence, hidden } }),
  remove: (name: string, revision: number, face: number) =>
    ask<{ document: Document }>(`${item(name)}/faces/${face}`, { method: "DELETE", body: { holder: HOLDER, revision } }),
  details: (name: string, face: number, signal: AbortSignal) =>
    ask<Details>(`${item(name)}/faces/${face}/details`, { signal }),
  heatmap: (name: string, face: number, landmark: number, signal: AbortSignal) =>
    ask<Heatmap>(`${item(name)}/faces/${face}/heatmaps/${landmark}`, { signal }),
};

const frame = (name: string, number: number) => `${item(name)}/frames/${number}`;

export const videoApi = {
  timeline: (name: string) => ask<Timeline>(`${item(name)}/timeline`),
  pictureUrl: (name: string, number: number) => `${frame(name, number)}/picture`,
  face: (name: string, number: number, signal: AbortSignal) =>
    ask<{ face: Face | null; revision: number }>(`${frame(name, number)}/face`, { signal }),
  solve: (name: string, revision: number, number: number, evidence: Constraint[], hidden: number[]) =>
    ask<Changed>(`${frame(name, number)}/face`, { method: "PUT", body: { holder: HOLDER, revision, evidence, hidden } }),
  details: (name: string, number: number, signal: AbortSignal) => ask<Details>(`${frame(name, number)}/details`, { signal }),
  heatmap: (name: string, number: number, landmark: number, signal: AbortSignal) =>
    ask<Heatmap>(`${frame(name, number)}/heatmaps/${landmark}`, { signal }),
};

/** Give a lease up while the page goes away; nothing is waited for. */
export function giveUpOnLeave(name: string): void {
  const body = new Blob([JSON.stringify({ holder: HOLDER, give_up: true })], { type: "application/json" });
  navigator.sendBeacon(`${item(name)}/lease`, body);
}
