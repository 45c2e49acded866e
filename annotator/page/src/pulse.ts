// What asks for a click beats now and then. An animation without end would draw sixty frames a second, which took half
// a core from the model on machines that draw without a graphics card.

/** Milliseconds. */
const EVERY = 2000;
const BEAT = 700;

const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Pulse {
  private element: Element | null = null;
  private beating: Animation | null = null;

  constructor(private readonly frames: Keyframe[]) {
    setInterval(() => this.beat(), EVERY);
  }

  /** What beats; null: nothing, from now on. */
  of(element: Element | null): void {
    if (element === this.element) return;
    this.beating?.cancel();
    this.element = element;
    this.beat();
  }

  private beat(): void {
    if (still.matches || document.visibilityState === "hidden") return;
    this.beating = this.element?.animate(this.frames, { duration: BEAT, easing: "ease-in-out" }) ?? null;
  }
}
