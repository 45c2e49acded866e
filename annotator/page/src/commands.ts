// What each key does.

import type { Key } from "./keys";
import { COUNT, NAMES } from "./landmarks";
import { speak } from "./dom";
import type { Page } from "./main";
import { VideoEditor } from "./video";
import type { Tool } from "./stage";

const ARROWS: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function keysOf(page: Page): Key[] {
  const editor = () => page.editor;
  const choose = (landmark: number | null) => {
    editor()?.choose(landmark);
    if (landmark !== null) speak(`${NAMES[landmark]}`);
    page.heat.draw(editor());
  };
  const step = (by: number) => () => choose(((editor()?.landmark ?? (by > 0 ? -1 : COUNT)) + by + COUNT) % COUNT);
  const suggested = () => {
    const all = editor()?.details?.suggestions ?? [];
    const at = all.findIndex((one) => one.landmark === editor()?.landmark);
    choose(all[(at + 1) % Math.max(all.length, 1)]?.landmark ?? null);
  };
  const move = (by: number) => (event: KeyboardEvent) => {
    const [dx, dy] = ARROWS[event.key] ?? [0, 0];
    page.stage.nudge(dx * by, dy * by);
  };
  const grow = (event: KeyboardEvent) => {
    const [dx, dy] = ARROWS[event.key] ?? [0, 0];
    page.stage.grow(1.1 ** dx, 1.1 ** dy);
  };
  const enter = (event: KeyboardEvent) => {
    const now = editor();
    if (!now || now.readOnly) return;
    if (page.stage.tool !== "point") {
      const rectangle = page.stage.takeRectangle();
      if (rectangle) page.rectangle(rectangle);
      return;
    }
    const at = page.stage.take();
    if (at && now.landmark !== null) page.place(now.landmark, at, event.timeStamp);
  };
  const face = (by: number) => () => {
    const now = editor();
    const ids = now?.document.faces.map((one) => one.id) ?? [];
    if (now && ids.length) now.select(ids[(ids.indexOf(now.face ?? 0) + by + ids.length) % ids.length] ?? null);
    page.stage.closer();
  };
  const video = () => (page.editor instanceof VideoEditor ? page.editor : null);
  const frames = (by: number) => () => video()?.step(by);
  const landmark = (run: (landmark: number) => void) => () => {
    const chosen = editor()?.landmark;
    if (chosen !== null && chosen !== undefined) run(chosen);
  };
  const tool = (name: Tool) => () => page.use(name);
  const arrows = (prefix: string) => Object.keys(ARROWS).map((key) => prefix + key);
  return [
    { group: "Landmarks", keys: ["s"], shown: "S", about: "the next suggested landmark", run: suggested },
    { group: "Landmarks", keys: ["n", "]"], shown: "N", about: "the next landmark", run: step(1) },
    { group: "Landmarks", keys: ["p", "["], shown: "P", about: "the landmark before", run: step(-1) },
    { group: "Landmarks", keys: arrows(""), shown: "arrows", about: "move the cross by a pixel", run: move(1) },
    { group: "Landmarks", keys: arrows("Shift+"), shown: "Shift arrows", about: "by ten pixels", run: move(10) },
    { group: "Landmarks", keys: ["Enter"], shown: "Enter", about: "the landmark is there: solve the face", run: enter },
    { group: "Landmarks", keys: ["h"], shown: "H", about: "the landmark is hidden, or no longer", run: landmark((n) => editor()?.toggleHidden(n)) },
    { group: "Landmarks", keys: ["Delete", "Backspace"], shown: "Delete", about: "take back what you said of the landmark", run: landmark((n) => editor()?.dropLandmark(n)) },
    { group: "Landmarks", keys: ["z", "Ctrl+z"], shown: "Z", about: "undo", run: () => editor()?.undo() },
    { group: "Landmarks", keys: ["Shift+z", "Ctrl+Shift+z", "y", "Ctrl+y"], shown: "Shift Z", about: "redo", run: () => editor()?.redo() },
    { group: "Regions", keys: ["v"], shown: "V", about: "points again", run: tool("point") },
    { group: "Regions", keys: ["r"], shown: "R", about: "a region that the landmark lies in", run: tool("inside") },
    { group: "Regions", keys: ["x"], shown: "X", about: "a region that it does not lie in", run: tool("outside") },
    { group: "Regions", keys: ["b"], shown: "B", about: "a box about a new face", run: tool("box") },
    { group: "Regions", keys: arrows("Alt+"), shown: "Alt arrows", about: "make the region wider or narrower", run: grow },
    { group: "Regions", keys: ["Escape"], shown: "Escape", about: "never mind", run: () => { if (!page.stage.forget() || page.stage.tool !== "point") page.use("point"); } },
    { group: "Pictures", keys: ["j", "PageDown"], shown: "J", about: "the next picture", run: () => void page.step(1) },
    { group: "Pictures", keys: ["k", "PageUp"], shown: "K", about: "the picture before", run: () => void page.step(-1) },
    { group: "Pictures", keys: ["e"], shown: "E", about: "this picture is done, or not", run: () => editor()?.setDone(!editor()?.document.done) },
    { group: "Pictures", keys: ["f"], shown: "F", about: "the next face of the picture", run: face(1) },
    { group: "Pictures", keys: ["Shift+f"], shown: "Shift F", about: "the face before", run: face(-1) },
    { group: "Pictures", keys: ["Shift+Delete", "Shift+Backspace"], shown: "Shift Delete", about: "this is no face: take it out", run: () => editor()?.remove() },
    { group: "Video", keys: [".", "Shift+>"], shown: ".", about: "the next frame", run: frames(1) },
    { group: "Video", keys: [",", "Shift+<"], shown: ",", about: "the frame before", run: frames(-1) },
    { group: "Video", keys: ["Alt+."], shown: "Alt .", about: "ten frames on", run: frames(10) },
    { group: "Video", keys: ["Alt+,"], shown: "Alt ,", about: "ten frames back", run: frames(-10) },
    { group: "Video", keys: ["g"], shown: "G", about: "the frame whose click helps most", run: () => video()?.goToKeyFrame() },
    { group: "Video", keys: ["t"], shown: "T", about: "the next frame that you said something of", run: () => video()?.goToSaid() },
    { group: "Video", keys: [" "], shown: "Space", about: "play, or stop", run: () => video()?.play() },
    { group: "View", keys: ["+", "=", "Shift++"], shown: "+", about: "closer", run: () => page.stage.viewport.zoom(0.8) },
    { group: "View", keys: ["-"], shown: "−", about: "farther", run: () => page.stage.viewport.zoom(1.25) },
    { group: "View", keys: ["0"], shown: "0", about: "the whole picture", run: () => page.stage.viewport.whole() },
    { group: "View", keys: ["c"], shown: "C", about: "the face", run: () => page.stage.closer() },
    { group: "View", keys: ["m"], shown: "M", about: "where the chosen landmark may be, always or on hover", run: () => { page.heat.always = !page.heat.always; page.heat.draw(editor()); } },
    { group: "View", keys: ["?", "Shift+?"], shown: "?", about: "these keys", run: () => page.help.showModal() },
  ];
}
