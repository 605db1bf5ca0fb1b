// @ts-check
// What is asked in dialogs: own keys, a class, a format.

import { ask } from "./api.js";
import { fill, question } from "./dialogs.js";
import { COMMANDS, keymap, nameOf, remap } from "./keys.js";
import { get, hint, state } from "./parts.js";
import { act } from "./sync.js";

export function help() {
  const dialog = /** @type {HTMLDialogElement} */ (get("keys"));
  const list = document.createElement("dl");
  for (const [name, key] of Object.entries(keymap())) {
    const entry = document.createElement("div");
    const [term, words, cap] = [document.createElement("dt"), document.createElement("dd"), document.createElement("kbd")];
    cap.textContent = nameOf(key);
    term.append(cap);
    words.textContent = COMMANDS[name].does;
    entry.append(term, words);
    list.append(entry);
  }
  const label = document.createElement("label");
  label.textContent = 'Own keys, as JSON: {"accept": "j"}';
  const text = document.createElement("textarea");
  text.value = JSON.stringify(Object.fromEntries(Object.entries(keymap()).filter(([n, k]) => COMMANDS[n].key !== k)));
  label.append(text);
  const also = "1–9: class of the selected box. Arrows: move the selected box by 1 px (Shift: 10 px, Alt: its size). Wheel, + and -: zoom. Right button: move the picture. Shift while a box is dragged: the correction holds for all of the track, up to its other keys; Alt: for 0.3 s only.";
  fill(dialog, "Keys", [list, also, label], [
    ["Use these keys", () => {
      try {
        remap(text.value);
      } catch (error) {
        hint(String(/** @type {Error} */ (error).message));
      }
    }],
    ["Close", () => {}],
  ]);
  dialog.showModal();
}

export function addClass() {
  const field = document.createElement("input");
  field.maxLength = 100;
  const add = () => field.value.trim() && act("add_class", { name: field.value.trim() });
  field.addEventListener("keydown", (e) => {
    if (e.key !== "Enter") return;
    e.preventDefault();
    /** @type {HTMLDialogElement} */ (get("form")).close();
    add();
  });
  question("Add class", "Name", field, [["Add", add]]);
}

/** @param {() => void} draw lets the person draw the area */
export function trim(draw) {
  const field = document.createElement("select");
  for (const percent of [0, 1, 2, 4]) field.append(new Option(percent ? `within ${percent} % of the edge` : "at the edge", String(percent / 100)));
  const cut = () => {
    const { width, height } = state.meta;
    const [x, y] = [Math.max(Number(field.value) * width, 1), Math.max(Number(field.value) * height, 1)];
    cutOutside([x, y, width - x, height - y]);
  };
  question("Cut the ends of all tracks", "While the box is", field, [["Cut", cut], ["Draw the area instead", draw]]);
}

/** Cut the ends of all tracks that are outside. @param {import("./curve.js").Box} within */
export function cutOutside(within) {
  const tracks = [...state.tracks.keys()];
  act("trim", { tracks, within }, tracks);
}

/** @type {string[]} */ let formats = [];

/** The formats to choose from. @param {string[]} names */
export function offer(names) {
  formats = names;
}

export function exportLabels() {
  const field = document.createElement("select");
  for (const name of formats) field.append(new Option(name, name));
  field.value = "cocovid";
  const write = async (/** @type {boolean} */ accepted) => {
    hint("Exporting…");
    try {
      const { path, lost } = await ask("/api/export", { format: field.value, accepted });
      hint(`Wrote ${path}.${lost.length ? ` Not kept by this format: ${lost.join(", ")}.` : ""}`);
    } catch (error) {
      hint(String(/** @type {Error} */ (error).message));
    }
  };
  question("Export", "Format", field, [["All labels", () => write(false)], ["Accepted frames only", () => write(true)]]);
}
