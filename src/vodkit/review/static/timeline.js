// @ts-check
// The whole video at a glance: a band a track (colour: how it is known), keys, accepted, doubtful.

import { extent } from "./curve.js";

const ROW_PX = 9;
const HEAD_PX = 18;
const MOST_ROWS = 60;
const BANDS = ["#4a90d9", "#9a6fd0", "#9a6fd0", "#2aa198", "#b0893a", "#2aa198"];

export class Timeline extends HTMLElement {
  constructor() {
    super();
    /** @type {import("./state.js").State} */ this.state = /** @type {any} */ (null);
    this.due = false;
    this.bands = document.createElement("canvas");
    this.context = /** @type {CanvasRenderingContext2D} */ (this.bands.getContext("2d"));
    /** @type {any[]} what the bands were painted from */ this.seen = [];
  }

  connectedCallback() {
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Timeline of all tracks; use the slider to move");
    this.append(this.canvas);
    new ResizeObserver(() => this.draw()).observe(this);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    let held = false;
    this.addEventListener("pointerdown", (e) => {
      held = true;
      this.setPointerCapture(e.pointerId);
      this.seek(e);
    });
    this.addEventListener("pointermove", (e) => held && this.seek(e));
    this.addEventListener("pointerup", () => {
      held = false;
    });
  }

  /** @param {PointerEvent} event */
  seek(event) {
    const rect = this.getBoundingClientRect();
    const frames = this.state.meta.frames;
    const frame = Math.floor(((event.clientX - rect.left) / rect.width) * frames);
    const row = Math.floor((event.clientY - rect.top + this.scrollTop - HEAD_PX) / ROW_PX);
    this.dispatchEvent(new CustomEvent("seek", { detail: { frame: Math.min(Math.max(frame, 0), frames - 1), id: event.type === "pointerdown" ? this.rows()[row] : undefined } }));
  }

  /** Track ids shown, by their first frame. */
  rows() {
    const { tracks, selected, frame } = this.state;
    let ids = [...tracks.keys()];
    if (ids.length > MOST_ROWS) {
      const near = (/** @type {number} */ id) => {
        const [a, b] = extent(/** @type {any} */ (tracks.get(id)));
        return id === selected ? -1 : Math.max(a - frame, frame - b, 0);
      };
      ids = ids.map((id) => [near(id), id]).sort((a, b) => a[0] - b[0]).slice(0, MOST_ROWS).map((p) => p[1]);
    }
    return ids.sort((a, b) => extent(/** @type {any} */ (tracks.get(a)))[0] - extent(/** @type {any} */ (tracks.get(b)))[0] || a - b);
  }

  draw() {
    if (this.due || !this.canvas) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.paint();
    });
  }

  paint() {
    const canvas = /** @type {HTMLCanvasElement} */ (this.canvas);
    const { state } = this;
    if (!state.meta) return;
    const rows = this.rows();
    const ratio = devicePixelRatio || 1;
    const width = this.clientWidth;
    const height = Math.max(HEAD_PX + rows.length * ROW_PX + 4, 40);
    // Only the line of the present frame moves while a video is stepped through.
    const seen = [state.tracks, state.revision, state.accepted, state.queue, state.selected, state.meta, ratio, width, ...rows];
    if (seen.length !== this.seen.length || seen.some((one, i) => one !== this.seen[i])) {
      this.seen = seen;
      resize(this.bands, canvas, ratio, width, height);
      this.paintBands(rows, width, height, ratio);
    }
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (canvas.width) context.drawImage(this.bands, 0, 0);
    context.fillStyle = getComputedStyle(this).color;
    context.fillRect((((state.frame + 0.5) / state.meta.frames) * width - 0.75) * ratio, 0, 1.5 * ratio, canvas.height);
  }

  /** @param {number[]} rows @param {number} width @param {number} height @param {number} ratio */
  paintBands(rows, width, height, ratio) {
    const { context, state } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const x = (/** @type {number} */ frame) => (frame / state.meta.frames) * width;
    context.fillStyle = "#3fa34d";
    for (const [a, b] of state.accepted) context.fillRect(x(a), 2, Math.max(x(b + 1) - x(a), 1), 6);
    context.fillStyle = "#e05252";
    for (const item of state.queue) {
      // One about all of a long track is a tick: a band over the whole video would hide the others.
      const [a, b] = item.last - item.first > state.meta.frames / 8 ? [item.frame, item.frame] : [item.first, item.last];
      context.fillRect(x(a), 10, Math.max(x(b + 1) - x(a), 1.5), 5);
    }
    rows.forEach((id, row) => this.paintRow(id, HEAD_PX + row * ROW_PX, x));
  }

  /** @param {number} id @param {number} top @param {(frame: number) => number} x */
  paintRow(id, top, x) {
    const { context } = this;
    const track = /** @type {import("./curve.js").Track} */ (this.state.tracks.get(id));
    const [first, last] = extent(track);
    const box = (/** @type {number} */ a, /** @type {number} */ b, /** @type {string} */ paint, h = ROW_PX - 4) => {
      context.fillStyle = paint;
      context.fillRect(x(a), top + (ROW_PX - h) / 2, Math.max(x(b + 1) - x(a), 1), h);
    };
    if (id === this.state.selected) box(0, this.state.meta.frames, "rgba(128,128,128,.25)", ROW_PX);
    box(first, last, BANDS[4]);
    const { base } = track;
    for (let i = 0; i < base.length; i += 1) {
      const end = i + 1 < base.length ? base[i + 1][0] - 1 : base[i][0];
      box(base[i][0], end, BANDS[base[i][6]]);
    }
    for (const [a, b, kind] of track.spans) {
      const [from, to] = [Math.max(a, first), Math.min(b, last)];
      if (from > to) continue;
      if (kind === "outside") context.clearRect(x(from), top, x(to + 1) - x(from) + (to === last ? 1 : 0), ROW_PX);
      else box(from, to, "rgba(0,0,0,.55)", 3);
    }
    for (const key of track.keys) box(key[0], key[0], "#ffcc33", ROW_PX - 1);
  }
}

/** @param {HTMLCanvasElement} bands @param {HTMLCanvasElement} canvas @param {number} ratio @param {number} width @param {number} height */
function resize(bands, canvas, ratio, width, height) {
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  for (const one of [bands, canvas]) [one.width, one.height] = [wide, high];
  canvas.style.height = `${height}px`;
}

customElements.define("vk-timeline", Timeline);
