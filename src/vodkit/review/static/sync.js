// @ts-check
// Labels between page and server: actions out, entries of the journal in, conflicts asked about.

import { Outbox, ask } from "./api.js";
import { fill } from "./dialogs.js";
import { alarm, get, hint, queue, stage, state, table, timeline } from "./parts.js";

export const READING = "The labels are still being read.";
export const outbox = new Outbox(report, saved, refused);

/** @param {string} kind @param {string} [reason] */
export function report(kind, reason = "") {
  const words = { saved: "Saved", saving: "Saving…", unsaved: `NOT SAVED: ${reason}` };
  const place = get("saved");
  place.textContent = words[/** @type {keyof typeof words} */ (kind)];
  place.className = kind;
  alarm(kind === "unsaved" ? `Not saved: ${reason}. It is kept here and sent again.` : "");
}

/** @param {any} answer */
function saved(answer) {
  stage.pending = null;
  stage.draw();
  hear(answer);
  if (answer.do === "accept") hint(`${state.accepted.reduce((sum, [a, b]) => sum + b - a + 1, 0)} frames of this video are accepted.`);
  if (answer.do === "draw" && answer.changed) state.select(answer.changed[0].part[2]);
}

/** While a job runs, no second one can be asked for. @param {boolean} running */
export function working(running) {
  for (const name of ["learn", "prelabel"]) get(name).toggleAttribute("disabled", running);
  empty();
}

/** What to do where nothing is labelled, unless a model is at it. */
export function empty() {
  get("empty").hidden = state.tracks.size > 0 || get("prelabel").hasAttribute("disabled");
}

/** An entry of the journal, by us or by others. @param {any} entry */
export function hear(entry) {
  if (entry.type === "job") {
    hint(entry.words);
    working(Boolean(entry.running));
    if (entry.finished) loadQueue();
    return;
  }
  if (entry.type === "hello") return;
  state.n = Math.max(state.n, entry.n);
  if (entry.reload) {
    if (entry.reload.includes(state.video)) loadLabels();
  } else {
    state.take(entry.changed);
  }
}

/** What the server would not do. @param {any} request @param {import("./api.js").Refused} refusal */
function refused(request, refusal) {
  stage.pending = null;
  stage.draw();
  if (refusal.status !== 409) {
    hint(refusal.message);
    return;
  }
  const { conflict } = refusal.body;
  if (request.action.do === "undo" || request.action.do === "redo") {
    hint(refusal.message);
    state.take(conflict);
    return;
  }
  const dialog = /** @type {HTMLDialogElement} */ (get("conflict"));
  const words = conflict.map((/** @type {any} */ c) => (c.value ? `Track ${c.part[2]} was changed` : `Track ${c.part[2]} was deleted`)).join(", ");
  const gone = conflict.some((/** @type {any} */ c) => !c.value);
  fill(dialog, "Conflict", [`${words} in another window since you saw it. Nothing was merged.`], [
    ["Take theirs", () => state.take(conflict)],
    ...(gone ? [] : /** @type {[string, () => void][]} */ ([["Take mine", () => {
      state.take(conflict);
      const ids = [request.action.track, request.action.other, ...(request.action.tracks ?? [])];
      outbox.post(request.action, state.known(...ids));
    }]])),
  ]);
  dialog.showModal();
}

/** Send an action of the current video. @param {string} name @param {any} values @param {(number | undefined)[]} [ids] */
export function act(name, values, ids = []) {
  if (!state.ready) {
    hint(READING);
    return;
  }
  outbox.post({ do: name, video: state.video, seen: state.frame, ...values }, ids.length ? state.known(...ids) : undefined);
}

export async function loadLabels() {
  const { video } = state;
  const found = await ask(`/api/videos/${video}/labels`);
  if (video !== state.video) return;
  state.tracks = new Map(Object.entries(found.tracks).map(([id, track]) => [Number(id), track]));
  state.versions = new Map(Object.entries(found.versions).map(([id, n]) => [Number(id), Number(n)]));
  state.accepted = found.accepted;
  state.classes = found.classes;
  classLists();
  state.n = Math.max(state.n, found.n);
  if (state.selected !== null && !state.tracks.has(state.selected)) state.selected = null;
  state.changed("labels");
  loadQueue(); // takes seconds where there are a thousand tracks; nothing waits for it
}

export async function loadQueue() {
  const { video } = state;
  const found = await ask(`/api/videos/${video}/queue`);
  if (video !== state.video) return;
  state.doubts = state.queue = found.items;
  state.queueAt = -1;
  queue.verdict = found.estimate;
  timeline.draw();
}

/** @param {any} body */
export async function job(body) {
  try {
    await ask("/api/jobs", body);
  } catch (error) {
    hint(String(/** @type {Error} */ (error).message));
  }
}

export function classLists() {
  const choice = /** @type {HTMLSelectElement} */ (get("label"));
  choice.replaceChildren(...state.classes.map((word, i) => new Option(word, String(i))));
  choice.value = String(state.label);
  table.draw();
}
