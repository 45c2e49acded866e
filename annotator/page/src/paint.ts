// Before and after the browser paints.

/** Once the next frame is painted; at once where nothing is painted, as in a window that nobody sees. */
export function afterPaint(): Promise<void> {
  if (document.visibilityState === "hidden") return Promise.resolve();
  return new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
}

/** Note how long it took from an event to the frame that shows what came of it. */
export function measured(stamp: number): void {
  void afterPaint().then(() => performance.measure("click-to-redraw", { start: stamp, end: performance.now() }));
}
