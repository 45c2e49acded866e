// Everything by keyboard. The list is what the help shows.

import { h } from "./dom";

export interface Key {
  keys: string[];
  /** What the help calls the keys; none: not shown. */
  shown?: string;
  about: string;
  group: "Landmarks" | "Regions" | "Pictures" | "View" | "Video";
  run: (event: KeyboardEvent) => void;
}

/** The name of what was pressed: "Ctrl+z", "Shift+Tab", "n". */
export function keyOf(event: KeyboardEvent): string {
  const letter = event.key.length === 1;
  const parts = [(event.ctrlKey || event.metaKey) && "Ctrl", event.altKey && "Alt", event.shiftKey && "Shift"];
  return [...parts.filter(Boolean), letter ? event.key.toLowerCase() : event.key].join("+");
}

/** Listen to keys, except where somebody types or a dialog is open. */
export function listen(keys: Key[]): void {
  const table = new Map(keys.flatMap((key) => key.keys.map((name) => [name, key] as const)));
  document.addEventListener("keydown", (event) => {
    const target = event.target instanceof HTMLElement ? event.target : null;
    if (target?.closest("input, select, textarea, dialog")) return;
    // A button that has the focus is pressed by Enter and Space as ever.
    if (target?.closest("button, a, summary") && (event.key === "Enter" || event.key === " ")) return;
    // A slider has its own arrows.
    if (target?.closest("[role=slider]") && event.key.startsWith("Arrow")) return;
    const key = table.get(keyOf(event));
    if (!key) return;
    event.preventDefault();
    key.run(event);
  });
}

/** Fill the help with all keys. */
export function fillHelp(dialog: HTMLDialogElement, keys: Key[]): void {
  const groups = [...new Set(keys.map((key) => key.group))];
  dialog.replaceChildren(
    h("h2", { id: "help-title" }, "Keys"),
    h("p", {}, "A click puts the pulsing landmark where it belongs, and the other 67 follow. Any landmark can be dragged; a click on one chooses it."),
    h(
      "div",
      { class: "groups" },
      ...groups.map((group) =>
        h(
          "section",
          {},
          h("h3", {}, group),
          h(
            "dl",
            {},
            ...keys
              .filter((key) => key.group === group && key.shown)
              .flatMap((key) => [h("dt", {}, h("kbd", {}, key.shown ?? "")), h("dd", {}, key.about)]),
          ),
        ),
      ),
    ),
    h("button", { class: "primary", click: () => dialog.close() }, "Close"),
  );
}
