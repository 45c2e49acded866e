// The line at the top: where one is, the tools, whether all is saved, and what can be exported.

import { drawBanner, type Notice } from "./banner";
import { byId, h } from "./dom";
import { plural } from "./geometry";
import { NAMES } from "./landmarks";
import type { Page } from "./main";
import type { Tool } from "./stage";
import { VideoEditor } from "./video";

const TOOLS: { tool: Tool; text: string; key: string; about: string }[] = [
  { tool: "point", text: "Point", key: "V", about: "Click or drag landmarks" },
  { tool: "inside", text: "Inside", key: "R", about: "Draw a region that the landmark lies in" },
  { tool: "outside", text: "Outside", key: "X", about: "Draw a region that the landmark does not lie in" },
  { tool: "box", text: "New face", key: "B", about: "Draw a box about a face that was not found" },
];

const FORMATS: [string, string][] = [
  ["coco", "COCO keypoints"],
  ["pts", "300-W .pts"],
  ["cvat-images", "CVAT for images"],
  ["label-studio", "Label Studio"],
  ["openface", "OpenFace's columns"],
  ["parquet", "Parquet"],
];

const undo = h("button", { title: "Undo (Z)" }, "Undo");
const redo = h("button", { title: "Redo (Shift Z)" }, "Redo");
const done = h("button", { title: "Say that this picture is done (E)" }, "Done");
const buttons = new Map<Tool, HTMLButtonElement>();

export function toolbar(page: Page): void {
  for (const { tool, text, key, about } of TOOLS)
    buttons.set(tool, h("button", { title: `${about} (${key})`, click: () => page.use(tool) }, text));
  undo.addEventListener("click", () => page.editor?.undo());
  redo.addEventListener("click", () => page.editor?.redo());
  done.addEventListener("click", () => page.editor?.setDone(!page.editor.document.done));
  byId("tools").replaceChildren(...buttons.values(), h("span", { class: "gap" }), undo, redo, done);
}

export function exportMenu(page: Page): void {
  const links = FORMATS.map(([format, text]) => h("a", { href: `/api/export/${format}`, download: true }, text));
  const menu = h("details", { class: "menu" }, h("summary", {}, "Export"), h("div", {}, ...links));
  menu.addEventListener("focusout", (event) => {
    if (!menu.contains(event.relatedTarget as Node | null)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape") menu.open = false;
  });
  const help = h("button", { title: "Keys (?)", "aria-label": "Keys", click: () => page.help.showModal() }, "?");
  byId("menus").replaceChildren(menu, help);
}

export function drawHeader(page: Page): void {
  const { editor } = page;
  const at = page.items.findIndex((one) => one.name === editor?.document.name);
  byId("where").textContent = editor ? `${editor.document.name}  ·  ${at + 1} of ${page.items.length}` : "";
  document.title = editor ? `${editor.document.name} – Exalign` : "Exalign";
  for (const [tool, button] of buttons) {
    button.setAttribute("aria-pressed", String(page.stage.tool === tool));
    button.hidden = tool === "box" && editor instanceof VideoEditor;
    button.disabled = !editor || editor.readOnly || ((tool === "inside" || tool === "outside") && !editor.current);
  }
  undo.disabled = !editor?.canUndo || editor.readOnly;
  redo.disabled = !editor?.canRedo || editor.readOnly;
  done.disabled = !editor || editor.readOnly || !editor.current;
  done.setAttribute("aria-pressed", String(editor?.document.done ?? false));
  byId("saved").textContent = savedText(page);
  byId("hint").textContent = hintText(page);
  drawBanner(byId("banner"), noticeOf(page));
}

function savedText({ editor, away }: Page): string {
  if (!editor || !editor.document.revision) return "";
  if (editor.readOnly) return "read only";
  return editor.pending ? (away ? "not saved yet" : "saving…") : "saved";
}

function hintText(page: Page): string {
  const { editor, model } = page;
  if (!editor) return "";
  if (model.state === "loading" && !editor.details) return `Getting ready: ${model.detail ?? "connecting"}…`;
  if (editor instanceof VideoEditor) {
    const told = editor.progressText;
    if (told && !editor.current) return told;
    if (!editor.current) return "There is no face in this frame.";
  } else if (!editor.document.size) return "Looking for faces…";
  if (editor.readOnly) return "You see what is saved.";
  const face = editor.current;
  if (!face) return "No face was found. Draw a box about one: B, or New face.";
  const name = editor.landmark === null ? null : NAMES[editor.landmark];
  if (page.stage.tool === "inside") return `Draw the region that the ${name} lies in.`;
  if (page.stage.tool === "outside") return `Draw the region that the ${name} does not lie in.`;
  if (page.stage.tool === "box") return "Draw a box about the face, from brows to chin.";
  return name ? `Where is the ${name}? Click there; or drag whatever you see is wrong.` : "Click a landmark to choose it, or drag it.";
}

function noticeOf(page: Page): Notice | null {
  const { editor, model } = page;
  const trouble = editor?.trouble;
  if (page.away) return { text: "The server does not answer. What you did is kept here, and saved when it is back.", actions: [] };
  if (model.state === "failed") return { text: `The model cannot be had: ${model.detail}`, actions: [] };
  if (!editor || !trouble) return null;
  const again = () => void editor.reload().catch(() => {});
  switch (trouble.kind) {
    case "theirs":
      return {
        text: `${trouble.owner} works on this picture in another window. You see what they save.`,
        actions: [{ text: "Take it over", run: () => void editor.reload(true).catch(() => {}) }],
      };
    case "changed":
      return {
        text: "This picture was changed elsewhere, and your last action was not saved.",
        actions: [{ text: "Show what is saved", run: again }],
      };
    case "failed":
      return { text: `That did not work: ${trouble.text}`, actions: [{ text: "Show what is saved", run: again }] };
  }
}

export function summaryText(page: Page): string {
  const open = page.items.filter((one) => !one.done).length;
  return `${plural(page.items.length, "item")}, ${open} to do`;
}
