// @ts-check
// The tracks as a table: the text twin of the picture, usable without it.

import { KNOWN } from "./curve.js";
import { colour } from "./state.js";

const MOST_ROWS = 150;

/** @typedef {{row: HTMLTableRowElement, button: HTMLButtonElement, choice: HTMLSelectElement, cells: HTMLElement[], words: string}} Row */

export class Tracks extends HTMLElement {
  constructor() {
    super();
    /** @type {import("./state.js").State} */ this.state = /** @type {any} */ (null);
    this.due = false;
    /** @type {Map<number, Row>} */ this.rows = new Map();
    /** @type {string[]} */ this.classes = [];
  }

  connectedCallback() {
    const table = document.createElement("table");
    this.caption = table.createCaption();
    const head = table.createTHead().insertRow();
    for (const title of ["Track", "Class", "Frames", "Score", "Keys", "Here"]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = title;
      head.append(cell);
    }
    this.body = table.createTBody();
    this.note = document.createElement("p");
    this.replaceChildren(table, this.note);
  }

  draw() {
    if (this.due) return;
    this.due = true;
    setTimeout(() => {
      this.due = false;
      this.paint();
    }, 60);
  }

  /** Ids to list: those of this frame first. @param {Map<number, import("./curve.js").Shown>} here */
  listed(here) {
    const all = [...here.keys()];
    for (const id of this.state.tracks.keys()) if (!here.has(id)) all.push(id);
    const { selected } = this.state;
    const cut = all.slice(0, MOST_ROWS);
    if (selected !== null && !cut.includes(selected)) cut.unshift(selected);
    return { ids: cut, left: all.length - cut.length };
  }

  /** Rows stay; only what has changed is written, because layout is what takes time. */
  paint() {
    const { state } = this;
    if (!state.meta || this.contains(document.activeElement?.closest("select") ?? null)) return;
    if (this.classes !== state.classes) this.rows.clear();
    this.classes = state.classes;
    const here = new Map(state.boxes(state.frame));
    const { ids, left } = this.listed(here);
    const wanted = new Set(ids);
    for (const id of this.rows.keys()) if (!wanted.has(id)) this.rows.delete(id);
    const rows = ids.map((id) => this.filled(id, here.get(id)));
    const body = /** @type {HTMLTableSectionElement} */ (this.body);
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.track;
    if (arrange(body, rows) && focused) /** @type {HTMLElement | null} */ (this.querySelector(`[data-track="${focused}"]`))?.focus();
    setText(/** @type {HTMLElement} */ (this.caption), `Tracks (${state.tracks.size})`);
    setText(/** @type {HTMLElement} */ (this.note), left > 0 ? `${left} more tracks, in other frames` : "");
  }

  /** The row of a track, up to date. @param {number} id @param {import("./curve.js").Shown | undefined} shown */
  filled(id, shown) {
    const { state } = this;
    const track = /** @type {import("./curve.js").Track} */ (state.tracks.get(id));
    let row = this.rows.get(id);
    if (!row) this.rows.set(id, (row = this.made(id)));
    const [first, last] = state.extent(id);
    const selected = id === state.selected;
    const words = [`${first}–${last}`, state.score(id)?.toFixed(2) ?? "–", String(track.keys.length), shown ? (shown.hidden ? "hidden" : KNOWN[shown.known]) : "–"];
    const all = [track.label, selected, ...words].join();
    if (row.words === all) return row.row;
    row.words = all;
    row.row.className = selected ? "selected" : "";
    row.button.setAttribute("aria-pressed", String(selected));
    row.choice.value = String(track.label);
    words.forEach((word, i) => setText(/** @type {Row} */ (row).cells[i], word));
    return row.row;
  }

  /** @param {number} id @returns {Row} */
  made(id) {
    const row = document.createElement("tr");
    const name = document.createElement("th");
    name.scope = "row";
    const button = document.createElement("button");
    button.dataset.track = String(id);
    button.textContent = String(id);
    button.setAttribute("aria-label", `Select track ${id}`);
    const dot = document.createElement("i");
    dot.style.background = colour(id);
    dot.setAttribute("aria-hidden", "true");
    button.prepend(dot);
    button.addEventListener("click", () => {
      const { frame } = this.state;
      this.dispatchEvent(new CustomEvent("pick", { detail: { id, frame: this.state.shown(id) ? frame : this.state.extent(id)[0] } }));
    });
    name.append(button);
    const choice = document.createElement("select");
    choice.setAttribute("aria-label", `Class of track ${id}`);
    choice.append(...this.classes.map((word, label) => new Option(word, String(label))));
    choice.addEventListener("change", () => {
      this.dispatchEvent(new CustomEvent("classify", { detail: { id, label: Number(choice.value) } }));
      choice.blur();
    });
    row.append(name, cell(choice));
    const cells = [cell(), cell(), cell(), cell()];
    row.append(...cells);
    return { row, button, choice, cells, words: "" };
  }
}

/** Give a body these rows, moving as few as possible: each one that is moved is laid out again. @param {HTMLElement} body @param {HTMLElement[]} rows */
function arrange(body, rows) {
  const wanted = new Set(rows);
  const gone = [...body.children].filter((row) => !wanted.has(/** @type {HTMLElement} */ (row)));
  for (const row of gone) row.remove();
  let moved = gone.length;
  let next = body.firstElementChild;
  for (const row of rows) {
    if (row === next) {
      next = next.nextElementSibling;
    } else {
      body.insertBefore(row, next);
      moved += 1;
    }
  }
  return moved > 0;
}

/** @param {HTMLElement[]} content */
function cell(...content) {
  const made = document.createElement("td");
  made.append(...content);
  return made;
}

/** @param {HTMLElement} place @param {string} words */
function setText(place, words) {
  if (place.textContent !== words) place.textContent = words;
}

customElements.define("vk-tracks", Tracks);
