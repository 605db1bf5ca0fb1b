// @ts-check
// The tracks as a table: the text twin of the picture, usable without it.

import { KNOWN } from "./curve.js";
import { colour } from "./state.js";

const MOST_ROWS = 150;

export class Tracks extends HTMLElement {
  constructor() {
    super();
    /** @type {import("./state.js").State} */ this.state = /** @type {any} */ (null);
    this.due = false;
    this.drawn = "";
  }

  draw() {
    if (this.due) return;
    this.due = true;
    setTimeout(() => {
      this.due = false;
      this.paint();
    }, 60);
  }

  /** Ids to list: those of this frame first. */
  listed() {
    const here = this.state.boxes(this.state.frame).map(([id]) => id);
    const others = [...this.state.tracks.keys()].filter((id) => !here.includes(id));
    const all = [...here, ...others];
    const { selected } = this.state;
    const cut = all.slice(0, MOST_ROWS);
    if (selected !== null && !cut.includes(selected)) cut.unshift(selected);
    return { ids: cut, left: all.length - cut.length };
  }

  paint() {
    if (!this.state.meta || this.contains(document.activeElement?.closest("select") ?? null)) return;
    const { ids, left } = this.listed();
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.track;
    const body = document.createElement("tbody");
    for (const id of ids) body.append(this.row(id));
    const table = document.createElement("table");
    const caption = document.createElement("caption");
    caption.textContent = `Tracks (${this.state.tracks.size})`;
    const head = table.createTHead().insertRow();
    for (const title of ["Track", "Class", "Frames", "Score", "Keys", "Here"]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = title;
      head.append(cell);
    }
    table.append(body);
    table.prepend(caption);
    const note = document.createElement("p");
    note.textContent = left > 0 ? `${left} more tracks, in other frames` : "";
    this.replaceChildren(table, note);
    if (focused) /** @type {HTMLElement | null} */ (this.querySelector(`[data-track="${focused}"]`))?.focus();
  }

  /** @param {number} id */
  row(id) {
    const { state } = this;
    const track = /** @type {import("./curve.js").Track} */ (state.tracks.get(id));
    const shown = state.shown(id);
    const row = document.createElement("tr");
    if (id === state.selected) row.className = "selected";
    const [first, last] = state.extent(id);
    const name = document.createElement("th");
    name.scope = "row";
    const button = document.createElement("button");
    button.dataset.track = String(id);
    button.textContent = String(id);
    button.setAttribute("aria-label", `Select track ${id}`);
    button.setAttribute("aria-pressed", String(id === state.selected));
    const dot = document.createElement("i");
    dot.style.background = colour(id);
    dot.setAttribute("aria-hidden", "true");
    button.prepend(dot);
    button.addEventListener("click", () => this.dispatchEvent(new CustomEvent("pick", { detail: { id, frame: shown ? state.frame : first } })));
    name.append(button);
    const choice = document.createElement("select");
    choice.setAttribute("aria-label", `Class of track ${id}`);
    state.classes.forEach((word, label) => {
      const option = document.createElement("option");
      option.value = String(label);
      option.textContent = word;
      option.selected = label === track.label;
      choice.append(option);
    });
    choice.addEventListener("change", () => {
      this.dispatchEvent(new CustomEvent("classify", { detail: { id, label: Number(choice.value) } }));
      choice.blur();
    });
    const cells = [choice, `${first}–${last}`, state.score(id)?.toFixed(2) ?? "–", String(track.keys.length), shown ? (shown.hidden ? "hidden" : KNOWN[shown.known]) : "–"];
    row.append(name);
    for (const content of cells) {
      const cell = document.createElement("td");
      cell.append(content);
      row.append(cell);
    }
    return row;
  }
}

customElements.define("vk-tracks", Tracks);
