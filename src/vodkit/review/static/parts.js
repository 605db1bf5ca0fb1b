// @ts-check
// The parts of the page that the other modules work with, and its two places for words.

import { State } from "./state.js";
import "./joins.js";
import "./queue.js";
import "./stage.js";
import "./timeline.js";
import "./tracks.js";

/** @template {HTMLElement} T @param {string} id @returns {T} */
export const get = (id) => /** @type {T} */ (document.getElementById(id));
export const state = new State();
/** @type {import("./stage.js").Stage} */ export const stage = get("stage");
/** @type {import("./timeline.js").Timeline} */ export const timeline = get("timeline");
/** @type {import("./tracks.js").Tracks} */ export const table = get("tracks");
/** @type {import("./joins.js").Joins} */ export const joins = get("joins");
/** @type {import("./queue.js").Queue} */ export const queue = get("queue");
/** @type {HTMLInputElement} */ export const slider = get("slider");
for (const part of [stage, timeline, table, queue, joins]) part.state = state;

/** @param {string} words */
export function alarm(words) {
  const place = get("alarm");
  place.textContent = words;
  place.hidden = !words;
}

/** @param {string} words */
export function hint(words) {
  get("hint").textContent = words;
}
