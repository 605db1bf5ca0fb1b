// @ts-check
// Pieces that may be one object: all right pairs are joined in one action.

import { ask } from "./api.js";

/** @typedef {{track: number, other: number, end: number, begin: number, gap_s: number, doubt: number}} Pair */

export class Joins extends HTMLElement {
  constructor() {
    super();
    /** @type {import("./state.js").State} */ this.state = /** @type {any} */ (null);
    /** @type {{pair: Pair, box: HTMLInputElement}[]} */ this.rows = [];
  }

  /** Ask for the pairs as the labels are now, and list them. @returns {Promise<number>} how many */
  async open() {
    const { pairs } = await ask(`/api/videos/${this.state.video}/joins`);
    this.rows = pairs.map((/** @type {Pair} */ pair) => ({ pair, box: tick(pair) }));
    this.hidden = pairs.length === 0;
    if (pairs.length) {
      this.draw();
      this.rows[0].box.focus();
    }
    return pairs.length;
  }

  close() {
    this.hidden = true;
    this.rows = [];
    this.replaceChildren();
  }

  draw() {
    const heading = document.createElement("h2");
    heading.textContent = "One object each?";
    const all = document.createElement("label");
    const each = document.createElement("input");
    each.type = "checkbox";
    each.checked = true;
    each.addEventListener("change", () => this.rows.forEach(({ box }) => (box.checked = each.checked)));
    all.append(each, " All");
    const list = document.createElement("ul");
    for (const { pair, box } of this.rows) {
      const entry = document.createElement("li");
      entry.append(
        box,
        this.place(`${pair.track} ends`, pair.track, pair.end),
        this.place(`${pair.other} begins ${pair.gap_s.toFixed(1)} s later`, pair.other, pair.begin),
      );
      list.append(entry);
    }
    const menu = document.createElement("menu");
    menu.append(
      button("Join the ticked pairs", () => this.accept()),
      button("Close", () => this.close()),
    );
    this.replaceChildren(heading, all, list, menu);
  }

  /** A button that shows one of the two ends. @param {string} words @param {number} id @param {number} frame */
  place(words, id, frame) {
    return button(words, () => this.dispatchEvent(new CustomEvent("go", { detail: { id, frame } })));
  }

  accept() {
    const pairs = this.rows.filter(({ box }) => box.checked).map(({ pair }) => [pair.track, pair.other]);
    this.close();
    if (pairs.length) this.dispatchEvent(new CustomEvent("join", { detail: { pairs } }));
  }
}

/** @param {Pair} pair */
function tick(pair) {
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  box.setAttribute("aria-label", `Track ${pair.track} continues as ${pair.other}`);
  return box;
}

/** @param {string} words @param {() => void} does */
function button(words, does) {
  const made = document.createElement("button");
  made.textContent = words;
  made.addEventListener("click", does);
  return made;
}

customElements.define("vk-joins", Joins);
