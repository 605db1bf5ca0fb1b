// @ts-check
// The picture with its boxes: view, selection, drawing, dragging.

import { KNOWN } from "./curve.js";
import { colour } from "./state.js";

/**
 * @typedef {import("./curve.js").Box} Box
 * @typedef {import("./state.js").State} State
 */

const DASHES = { observed: [], person: [], bent: [], predicted: [3, 4], filled: [8, 4], interpolated: [8, 4] };
const HANDLE_PX = 9;
/** modes in which the next click names a second track */
export const PICKS = ["join", "give", "swap"];
/** modes in which a drag draws a rectangle wherever it begins */
const DRAWS = ["draw", "area"];
const CLICK_PX = 4;

export class Stage extends HTMLElement {
  constructor() {
    super();
    /** @type {State} */ this.state = /** @type {any} */ (null);
    /** @type {ImageBitmap | null} */ this.bitmap = null;
    this.view = { scale: 0, x: 0, y: 0 };
    this.fitted = true;
    /** @type {{id: number | null, box: Box, part: string, from: [number, number], start: Box, moved: boolean} | null} */
    this.drag = null;
    /** @type {[number, number][]} */ this.points = [];
    /** @type {Box | null} */ this.pending = null;
    /** @type {number | null} */ this.pendingId = null;
    /** @type {[number, number] | null} */ this.pan = null;
    this.due = false;
  }

  connectedCallback() {
    this.tabIndex = 0;
    this.setAttribute("role", "application");
    this.setAttribute("aria-label", "Picture with boxes. Press ? for all keys.");
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Picture");
    this.append(this.canvas);
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    new ResizeObserver(() => this.resize()).observe(this);
    this.addEventListener("pointerdown", (e) => this.down(e));
    this.addEventListener("pointermove", (e) => this.move(e));
    this.addEventListener("pointerup", (e) => this.up(e));
    this.addEventListener("pointercancel", () => this.cancel());
    this.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    this.addEventListener("contextmenu", (e) => e.preventDefault());
  }

  /** @param {ImageBitmap} bitmap */
  show(bitmap) {
    this.bitmap?.close();
    this.bitmap = bitmap;
    if (this.state.lock && this.state.selected !== null && !this.fitted) this.centre(this.state.selected);
    this.draw();
  }

  resize() {
    const canvas = /** @type {HTMLCanvasElement} */ (this.canvas);
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(this.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(this.clientHeight * ratio));
    if (this.fitted) this.fit();
    this.draw();
  }

  fit() {
    const { width, height } = this.state.meta ?? { width: 1, height: 1 };
    const scale = Math.min(this.clientWidth / width, this.clientHeight / height) || 1;
    this.view = { scale, x: (this.clientWidth - width * scale) / 2, y: (this.clientHeight - height * scale) / 2 };
    this.fitted = true;
    this.draw();
  }

  /** @param {number} id */
  centre(id) {
    const shown = this.state.shown(id);
    if (!shown) return;
    const [x1, y1, x2, y2] = shown.box;
    this.view.x = this.clientWidth / 2 - ((x1 + x2) / 2) * this.view.scale;
    this.view.y = this.clientHeight / 2 - ((y1 + y2) / 2) * this.view.scale;
  }

  /** @param {number} factor @param {number} [x] @param {number} [y] */
  zoom(factor, x = this.clientWidth / 2, y = this.clientHeight / 2) {
    const scale = Math.min(40, Math.max(0.05, this.view.scale * factor));
    const real = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * real, y: y - (y - this.view.y) * real };
    this.fitted = false;
    this.draw();
  }

  /** Source pixels of a pointer. @param {PointerEvent | WheelEvent} event @returns {[number, number]} */
  at(event) {
    const rect = this.getBoundingClientRect();
    return [(event.clientX - rect.left - this.view.x) / this.view.scale, (event.clientY - rect.top - this.view.y) / this.view.scale];
  }

  /** The box under a point and the part of it: the selected one first, then the smallest. @param {[number, number]} point */
  hit([x, y]) {
    const reach = HANDLE_PX / this.view.scale;
    let best = null;
    for (const [id, { box }] of this.state.boxes(this.state.frame)) {
      const [x1, y1, x2, y2] = box;
      if (x < x1 - reach || x > x2 + reach || y < y1 - reach || y > y2 + reach) continue;
      const selected = id === this.state.selected;
      const sides = [
        Math.abs(y - y1) < reach ? "n" : Math.abs(y - y2) < reach ? "s" : "",
        Math.abs(x - x1) < reach ? "w" : Math.abs(x - x2) < reach ? "e" : "",
      ].join("");
      const inside = x >= x1 && x <= x2 && y >= y1 && y <= y2;
      if (!inside && !(selected && sides)) continue;
      const size = selected ? -1 : (x2 - x1) * (y2 - y1);
      if (!best || size < best.size) best = { id, box, part: selected && sides ? sides : "move", size };
    }
    return best;
  }

  /** @param {PointerEvent} event */
  down(event) {
    this.focus();
    const point = this.at(event);
    if (event.button === 1 || event.button === 2) {
      this.pan = [event.clientX, event.clientY];
    } else if (this.state.mode === "extreme") {
      this.points.push(point);
      if (this.points.length === 4) this.finishExtreme();
      this.draw();
      return;
    } else {
      const hit = DRAWS.includes(this.state.mode) ? null : this.hit(point);
      if (hit && PICKS.includes(this.state.mode)) {
        this.tell("pick", { id: hit.id });
        return;
      }
      const [x, y] = point;
      const box = /** @type {Box} */ (hit ? [...hit.box] : [x, y, x, y]);
      this.drag = { id: hit ? hit.id : null, box, part: hit ? hit.part : "new", from: point, start: box, moved: false };
      if (hit) this.state.select(hit.id);
    }
    this.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (this.pan) {
      this.view.x += event.clientX - this.pan[0];
      this.view.y += event.clientY - this.pan[1];
      this.pan = [event.clientX, event.clientY];
      this.fitted = false;
      this.draw();
      return;
    }
    const point = this.at(event);
    if (!this.drag) {
      const part = this.state.mode ? "" : this.hit(point)?.part;
      const cursors = { move: "move", n: "ns-resize", s: "ns-resize", e: "ew-resize", w: "ew-resize", ne: "nesw-resize", sw: "nesw-resize", nw: "nwse-resize", se: "nwse-resize" };
      this.className = part ? `cursor-${cursors[/** @type {keyof typeof cursors} */ (part)]}` : "";
      return;
    }
    const [dx, dy] = [point[0] - this.drag.from[0], point[1] - this.drag.from[1]];
    if (Math.hypot(dx, dy) * this.view.scale > CLICK_PX) this.drag.moved = true;
    if (this.drag.moved) this.drag.box = dragged(this.drag.start, this.drag.part, dx, dy, point);
    this.draw();
  }

  /** @param {PointerEvent} event */
  up(event) {
    this.pan = null;
    const drag = this.drag;
    this.drag = null;
    if (!drag) return;
    if (drag.moved) this.commit(drag.id, drag.box, event.shiftKey ? "all" : event.altKey ? "near" : undefined);
    else if (drag.id === null) this.state.select(null);
    this.draw();
  }

  cancel() {
    this.drag = null;
    this.pan = null;
    this.points = [];
    this.draw();
  }

  finishExtreme() {
    const xs = this.points.map((p) => p[0]);
    const ys = this.points.map((p) => p[1]);
    this.points = [];
    this.commit(null, [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]);
  }

  /** @param {number | null} id @param {Box} box @param {string} [spread] how far the correction extends */
  commit(id, box, spread) {
    const rounded = /** @type {Box} */ (box.map((v) => Math.round(v * 100) / 100));
    if (rounded[2] - rounded[0] < 1 || rounded[3] - rounded[1] < 1) return;
    this.pending = rounded; // shown until the server has answered
    this.pendingId = id;
    this.tell("box", { id, box: rounded, spread });
  }

  /** @param {string} name @param {any} detail */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    event.preventDefault();
    const rect = this.getBoundingClientRect();
    this.zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - rect.left, event.clientY - rect.top);
  }

  /** Draw at the next opportunity. */
  draw() {
    if (this.due || !this.context) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.paint();
    });
  }

  paint() {
    const context = /** @type {CanvasRenderingContext2D} */ (this.context);
    const ratio = devicePixelRatio || 1;
    const { scale, x, y } = this.view;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.clientWidth, this.clientHeight);
    const meta = this.state.meta;
    if (!meta || !this.bitmap) return;
    context.imageSmoothingEnabled = scale < 3;
    context.drawImage(this.bitmap, x, y, meta.width * scale, meta.height * scale);
    if (this.state.shownFrame !== this.state.frame) return; // no box on another frame's picture
    const boxes = this.state.boxes(this.state.frame);
    const dragged = this.drag?.moved ? this.drag : this.pending ? { id: this.pendingId, box: this.pending } : null;
    for (const [id, shown] of boxes) {
      this.paintBox(id, dragged?.id === id ? { ...shown, box: dragged.box, known: 5 } : shown, boxes.length > 60);
    }
    if (dragged && dragged.id === null) this.paintNew(dragged.box);
    else if (dragged && !boxes.some(([id]) => id === dragged.id)) this.paintNew(dragged.box);
    for (const [px, py] of this.points) {
      context.fillStyle = "#fff";
      context.fillRect(x + px * scale - 3, y + py * scale - 3, 6, 6);
    }
    this.describe(boxes.length);
  }

  /** @param {number} id @param {import("./curve.js").Shown} shown @param {boolean} crowded */
  paintBox(id, shown, crowded) {
    const context = /** @type {CanvasRenderingContext2D} */ (this.context);
    const { scale, x, y } = this.view;
    const [x1, y1, x2, y2] = shown.box;
    const [left, top, w, h] = [x + x1 * scale, y + y1 * scale, (x2 - x1) * scale, (y2 - y1) * scale];
    if (left > this.clientWidth || top > this.clientHeight || left + w < 0 || top + h < 0) return;
    const track = /** @type {import("./curve.js").Track} */ (this.state.tracks.get(id));
    const selected = id === this.state.selected;
    const known = /** @type {keyof typeof DASHES} */ (KNOWN[shown.known]);
    context.setLineDash(shown.hidden ? [2, 4] : DASHES[known]);
    if (!crowded || selected) {
      context.lineWidth = selected ? 5 : 3.5;
      context.strokeStyle = "rgba(0,0,0,.65)";
      context.strokeRect(left, top, w, h);
    }
    context.lineWidth = selected ? 2.5 : 1.5;
    context.strokeStyle = track.ignore ? "#aaa" : colour(id);
    context.strokeRect(left, top, w, h);
    context.setLineDash([]);
    if (known === "person") {
      context.fillStyle = colour(id);
      context.fillRect(left - 3, top - 3, 6, 6);
    }
    if (selected) {
      context.fillStyle = "#fff";
      for (const [cx, cy] of [[left, top], [left + w, top], [left, top + h], [left + w, top + h]]) {
        context.strokeStyle = "#000";
        context.lineWidth = 1;
        context.fillRect(cx - 3.5, cy - 3.5, 7, 7);
        context.strokeRect(cx - 3.5, cy - 3.5, 7, 7);
      }
    }
    if (crowded && !selected) return;
    const text = `${id}${this.state.classes.length > 1 || selected ? ` ${this.state.classes[track.label] ?? ""}` : ""}${track.ignore ? " ignore" : ""}${shown.hidden ? " hidden" : ""}`;
    context.font = "12px system-ui, sans-serif";
    const wide = context.measureText(text).width + 8;
    const above = top > 18 ? top - 17 : top + 2;
    context.fillStyle = "rgba(0,0,0,.75)";
    context.fillRect(left - 1, above, wide, 16);
    context.fillStyle = colour(id, 75);
    context.fillText(text, left + 3, above + 12);
  }

  /** @param {Box} box */
  paintNew(box) {
    const context = /** @type {CanvasRenderingContext2D} */ (this.context);
    const { scale, x, y } = this.view;
    context.setLineDash([5, 3]);
    context.lineWidth = 2;
    context.strokeStyle = "#fff";
    context.strokeRect(x + box[0] * scale, y + box[1] * scale, (box[2] - box[0]) * scale, (box[3] - box[1]) * scale);
    context.setLineDash([]);
  }

  /** @param {number} count */
  describe(count) {
    const words = `Frame ${this.state.shownFrame}, ${count} box${count === 1 ? "" : "es"}`;
    const canvas = /** @type {HTMLCanvasElement} */ (this.canvas);
    if (canvas.getAttribute("aria-label") !== words) canvas.setAttribute("aria-label", words);
  }
}

/** @param {Box} start @param {string} part @param {number} dx @param {number} dy @param {[number, number]} point @returns {Box} */
function dragged(start, part, dx, dy, point) {
  if (part === "move") return [start[0] + dx, start[1] + dy, start[2] + dx, start[3] + dy];
  let [x1, y1, x2, y2] = start;
  if (part === "new") [x2, y2] = point;
  if (part.includes("w") && part !== "new") x1 += dx;
  if (part.includes("e") && part !== "new") x2 += dx;
  if (part.includes("n") && part !== "new") y1 += dy;
  if (part.includes("s")) y2 += dy;
  return [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
}

customElements.define("vk-stage", Stage);
