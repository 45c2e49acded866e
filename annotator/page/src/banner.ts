// One line under the header about what keeps somebody from working, and what can be done about it.

import { h } from "./dom";

export interface Notice {
  text: string;
  actions: { text: string; run: () => void }[];
}

let shown = "";

/** Show a notice; null: there is nothing to say. */
export function drawBanner(host: HTMLElement, notice: Notice | null): void {
  const state = notice ? [notice.text, ...notice.actions.map((one) => one.text)].join("|") : "";
  if (state === shown) return;
  shown = state;
  host.hidden = !notice;
  host.replaceChildren(
    ...(notice
      ? [h("p", {}, notice.text), ...notice.actions.map((one) => h("button", { class: "quiet", click: one.run }, one.text))]
      : []),
  );
}
