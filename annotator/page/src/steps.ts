// What was done and can be undone, kept through a reload of the page.

import type { Said } from "./ahead";
import type { Face, Rectangle } from "./types";

/** What makes one state of a document into another. */
export type Change =
  | ({ do: "set"; face: number; frame: number | null } & Said)
  | { do: "add"; face: Face }
  | { do: "draw"; box: Rectangle }
  | { do: "remove"; face: number };

export interface Step {
  forward: Change;
  back: Change;
}

/** Most steps that are remembered. */
const MOST = 200;

export class Steps {
  done: Step[] = [];
  undone: Step[] = [];

  /** Of the item of a name. */
  constructor(private readonly name: string) {}

  add(step: Step): void {
    this.undone = [];
    this.done.push(step);
    this.done.splice(0, this.done.length - MOST);
  }

  clear(): void {
    this.done = [];
    this.undone = [];
  }

  /** Keep them; ``state`` tells the state that they lead to from others. */
  keep(state: string): void {
    const kept = JSON.stringify({ state, done: this.done, undone: this.undone });
    try {
      sessionStorage.setItem(`steps ${this.name}`, kept);
    } catch {
      sessionStorage.removeItem(`steps ${this.name}`); // it is full: undoing ends with this page
    }
  }

  recall(state: string): void {
    const kept = JSON.parse(sessionStorage.getItem(`steps ${this.name}`) ?? "null");
    if (kept?.state === state) ({ done: this.done, undone: this.undone } = kept);
  }
}
