// The page: opens items, and joins what is done to what is shown.

import { api, giveUpOnLeave, onAway, Refused } from "./api";
import { byId, speak } from "./dom";
import { Editor } from "./editor";
import { drawBanner } from "./banner";
import { drawHeader, exportMenu, toolbar } from "./header";
import { ItemList } from "./items";
import { HeatView } from "./heat";
import { fillHelp, listen } from "./keys";
import { keysOf } from "./commands";
import { NAMES } from "./landmarks";
import { afterPaint } from "./paint";
import { Panel } from "./panel";
import { Stage, type Tool } from "./stage";
import { TimelineView } from "./timeline";
import type { Item, Model, Point } from "./types";
import { VideoEditor } from "./video";
import { drawWelcome, takeDrops } from "./welcome";

/** Milliseconds. */
const RENEW = 4000;

export class Page {
  items: Item[] = [];
  editor: Editor | null = null;
  model: Model = { state: "loading", detail: null };
  away = false;
  folder = "";
  readonly stage: Stage;
  readonly heat: HeatView;
  readonly help = byId<HTMLDialogElement>("help");

  private readonly list: ItemList;
  private readonly panel: Panel;
  private readonly timeline = new TimelineView(byId("timeline"));
  private scheduled = false;
  private opening = 0;

  constructor() {
    this.stage = new Stage(byId("stage"), {
      place: (landmark, at, stamp) => this.place(landmark, at, stamp),
      choose: (landmark) => this.editor?.choose(landmark),
      select: (face) => this.editor?.select(face),
      rectangle: (rectangle) => this.rectangle(rectangle),
      hover: (landmark) => this.heat.hover(landmark, this.editor),
    });
    this.heat = new HeatView(this.stage);
    this.list = new ItemList(byId("items"), (name) => void this.open(name), (files) => void this.add(files));
    this.panel = new Panel(byId("panel"), { exemplar: (one) => this.stage.exemplar(one) });
    const keys = keysOf(this);
    listen(keys);
    fillHelp(this.help, keys);
    toolbar(this);
    exportMenu(this);
    takeDrops((files) => void this.add(files));
    onAway((away) => {
      if (away !== this.away) {
        this.away = away;
        this.schedule();
      }
    });
    addEventListener("pagehide", () => this.editor?.lease.mine && giveUpOnLeave(this.editor.document.name));
    addEventListener("hashchange", () => void this.open(decodeURIComponent(location.hash.slice(1))));
  }

  async start(): Promise<void> {
    this.watchModel();
    await this.refreshItems();
    const wanted = decodeURIComponent(location.hash.slice(1));
    const first = this.items.find((one) => one.name === wanted) ?? this.items.find((one) => !one.done) ?? this.items[0];
    if (first) await this.open(first.name);
    else this.schedule();
    setInterval(() => void this.renew(), RENEW);
  }

  async open(name: string): Promise<void> {
    if (name === this.editor?.document.name || !this.items.some((one) => one.name === name)) return;
    const turn = ++this.opening;
    const before = this.editor;
    this.editor = null;
    before?.close();
    if (before?.lease.mine) void api.lease(before.document.name, { give_up: true }).catch(() => {});
    history.replaceState(null, "", `#${encodeURIComponent(name)}`);
    const opened = await api.open(name).catch((error: Error) => error);
    if (turn !== this.opening) return;
    if (opened instanceof Error) {
      this.stage.show(null, null);
      this.schedule();
      return speak(opened.message);
    }
    const video = this.items.find((one) => one.name === name)?.video ?? false;
    const editor = (this.editor = video ? new VideoEditor(opened, this.stage) : new Editor(opened));
    this.heat.forget();
    editor.addEventListener("change", () => this.changed(editor));
    this.use("point");
    if (editor instanceof VideoEditor) {
      editor.start();
      return this.schedule();
    }
    const url = api.pictureUrl(name);
    const picture = new Image();
    picture.src = url;
    this.stage.show(url, editor.document.size);
    if (!editor.document.size) {
      picture.onload = () => {
        if (this.editor === editor && !editor.document.size) this.stage.resize([picture.naturalWidth, picture.naturalHeight]);
      };
      if (!editor.readOnly) editor.detect();
    } else editor.refresh();
    this.schedule();
  }

  /** The item so many places on. */
  async step(by: number): Promise<void> {
    const at = this.items.findIndex((one) => one.name === this.editor?.document.name);
    const next = this.items[Math.max(0, Math.min(this.items.length - 1, at + by))];
    if (next) await this.open(next.name);
  }

  async add(files: FileList | File[]): Promise<void> {
    let last: Item | null = null;
    for (const file of files) {
      try {
        last = await api.add(file);
        await this.refreshItems();
      } catch (error) {
        const text = error instanceof Refused ? error.message : "the server is away";
        drawBanner(byId("banner"), { text: `${file.name}: ${text}`, actions: [] });
        speak(`${file.name}: ${text}`);
      }
    }
    if (last) await this.open(last.name);
  }

  use(tool: Tool): void {
    this.stage.use(this.editor?.readOnly ? "point" : tool);
    this.schedule();
  }

  place(landmark: number, [x, y]: Point, stamp: number): void {
    this.editor?.place(landmark, x, y, stamp);
    speak(`${NAMES[landmark]} placed`);
  }

  rectangle(rectangle: [number, number, number, number]): void {
    const { editor } = this;
    const tool = this.stage.tool;
    if (!editor) return;
    if (tool === "box") editor.draw(rectangle);
    else if (tool !== "point" && editor.landmark !== null) {
      editor.add({ kind: tool, landmark: editor.landmark, area: { rectangle } });
      speak(`${NAMES[editor.landmark]} is ${tool} the region`);
    }
    this.use("point");
  }

  schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.render();
    });
  }

  async refreshItems(): Promise<void> {
    const { items, folder } = await api.project();
    this.items = items;
    this.folder = folder;
    this.schedule();
  }

  private changed(editor: Editor): void {
    if (editor !== this.editor) return;
    const { document } = editor;
    const item = this.items.find((one) => one.name === document.name);
    if (item?.video) {
      item.corrected = document.frames.length;
      item.done = document.done;
    } else if (item && document.revision) {
      item.faces = document.faces.length;
      item.corrected = document.faces.filter((face) => face.evidence.length).length;
      item.done = document.done;
    }
    this.heat.draw(editor);
    this.schedule();
  }

  private shownSize = "";

  private render(): void {
    const { editor } = this;
    const size = editor?.document.size;
    const shown = `${editor?.document.name} ${size}`;
    const another = size && shown !== this.shownSize;
    if (another) {
      this.shownSize = shown;
      this.stage.resize(size);
    }
    const waits = !editor || editor.stale || editor.pending > 0;
    this.stage.draw({
      faces: editor?.document.faces ?? [],
      face: editor?.current ?? null,
      landmark: editor?.landmark ?? null,
      // What helps most is of the face as it was before, until that is asked for anew.
      suggested: waits || editor.readOnly ? null : editor.suggested,
      readOnly: editor?.readOnly ?? true,
      unseen: editor instanceof VideoEditor && editor.unseen,
    });
    if (another && editor?.document.faces.length === 1) this.stage.closer();
    drawHeader(this);
    drawWelcome(this);
    this.timeline.draw(editor instanceof VideoEditor ? editor : null);
    // The face first; what is beside it is drawn with the next frame.
    if (waits) this.panel.busy();
    void afterPaint().then(() => this.renderBeside());
  }

  private renderBeside(): void {
    const { editor } = this;
    this.panel.draw(editor);
    this.list.draw(this.items, editor?.document.name ?? null);
  }

  private async renew(): Promise<void> {
    if (document.visibilityState === "hidden" && !this.editor?.lease.mine) return;
    await this.editor?.renew().catch(() => {});
  }

  private watchModel(): void {
    const look = async () => {
      this.model = await api.status().then(({ model }) => model, () => this.model);
      this.schedule();
      if (this.model.state === "loading") setTimeout(() => void look(), 500);
    };
    void look();
  }
}

void new Page().start();
