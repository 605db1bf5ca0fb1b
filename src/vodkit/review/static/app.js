// @ts-check
// Puts the page together: starts it, and connects gestures and buttons with what they do.

import { Refused, ask, listen, signIn } from "./api.js";
import { DO, mode, pressed, toDoubt } from "./commands.js";
import { addClass, cutOutside, exportLabels, offer } from "./forms.js";
import { get, hint, joins, queue, slider, stage, state, table, timeline } from "./parts.js";
import { THUMB, go, place as placed } from "./player.js";
import { PICKS } from "./stage.js";
import { READING, act, classLists, empty, hear, job, loadLabels, outbox, report, working } from "./sync.js";

/** A drawn or dragged box. @param {CustomEvent} event */
function boxed(event) {
  const { id, box, spread = state.spread } = event.detail;
  const frame = state.shownFrame;
  if (frame < 0) return;
  if (!state.ready) {
    stage.pending = null;
    hint(READING);
    return;
  }
  const drawn = state.mode;
  state.mode = ["draw", "extreme", "area"].includes(drawn) ? "" : drawn;
  hint("");
  if (drawn === "area") {
    cutOutside(box);
  } else if (id !== null) {
    act("bend", { track: id, frame, box, spread }, [id]);
  } else if (!state.classes.length) {
    stage.pending = null;
    hint("Add a class first.");
    addClass();
  } else if (state.selected !== null && !state.shown(state.selected) && state.tracks.has(state.selected)) {
    // The selected track has no box here: the drawn one is its next key.
    const gap = spread === "all" ? "close" : "keep";
    if (gap === "keep" && state.isInLongGap(state.selected)) hint("Over 3 s from the next box the gap stays; draw with Shift to close it.");
    act("bend", { track: state.selected, frame, box, gap }, [state.selected]);
  } else {
    act("draw", { label: state.label, frame, box });
  }
}

/** @param {number} video @param {number} [frame] */
async function open(video, frame = 0) {
  state.playing = false;
  state.video = video;
  joins.close();
  state.selected = null;
  state.shownFrame = -1;
  state.tracks = new Map();
  state.doubts = state.queue = [];
  slider.max = String(state.meta.frames - 1);
  stage.fit();
  await Promise.all([go(frame), loadLabels()]);
}

/** Names of files without their folders, where they differ. @param {string[]} paths */
function names(paths) {
  const short = paths.map((path) => path.split("/").pop() ?? path);
  return new Set(short).size === short.length ? short : paths;
}

/** Show the picture while labels are read. @param {URLSearchParams} words */
async function peek(words) {
  const early = await ask("/api/early").catch(() => null); // the videos are not open yet
  if (!early) return;
  state.videos = early.videos;
  state.video = place(words);
  slider.max = String(state.meta.frames - 1);
  stage.fit();
  await go(Number(words.get("frame") ?? 0) || 0);
}

/** The video to open. @param {URLSearchParams} words */
function place(words) {
  return Math.min(Math.max(Number(words.get("video") ?? 0), 0), state.videos.length - 1) || 0;
}

/** The state of the project, once it is open. @param {URLSearchParams} words @returns {Promise<any>} */
async function opened(words) {
  let said = "";
  for (;;) {
    try {
      return await ask("/api/state");
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 503) throw error;
      if (error.message !== said) hint(`${error.message}…`);
      said = error.message;
      if (!state.videos.length) await peek(words);
      await new Promise((done) => setTimeout(done, 250));
    }
  }
}

async function start() {
  const words = await signIn();
  const found = await opened(words);
  const frame = state.videos.length ? state.frame : Number(words.get("frame") ?? 0) || 0;
  Object.assign(state, { videos: found.videos, classes: found.classes, n: found.n, reach: found.reach, who: found.who });
  offer(found.formats);
  const choice = /** @type {HTMLSelectElement} */ (get("video"));
  choice.replaceChildren(...names(state.videos.map((v) => v.name)).map((name, i) => new Option(name, String(i))));
  choice.addEventListener("change", () => open(Number(choice.value)));
  classLists();
  for (const name of ["learn", "prelabel", "or-model"]) get(name).hidden = !found.learn;
  working(found.jobs.length > 0);
  const video = place(words);
  choice.value = String(video);
  listen(found.n, hear, (isOpen) => {
    if (!isOpen) report("unsaved", "the server does not answer");
    else if (!outbox.waiting.length) report("saved");
  });
  state.ready = true;
  await open(video, frame);
  const track = Number(words.get("track"));
  if (track && state.tracks.has(track)) state.select(track);
  hint([...found.notes, ...found.jobs].join(" · "));
  document.body.dataset.ready = "1";
}

state.addEventListener("labels", () => {
  empty();
  if (state.prune()) queue.draw();
  stage.draw();
  placed();
});
state.addEventListener("classes", classLists);
state.addEventListener("selection", () => {
  stage.draw();
  timeline.draw();
  table.draw();
});
stage.addEventListener("box", (e) => boxed(/** @type {CustomEvent} */ (e)));
stage.addEventListener("pick", (e) => {
  const other = /** @type {CustomEvent} */ (e).detail.id;
  const track = /** @type {number} */ (state.selected);
  const name = state.mode;
  mode("");
  if (other === track) hint("That is the selected track itself.");
  else act(name, name === "join" ? { track, other } : { track, other, frame: state.frame }, [track, other]);
});
timeline.addEventListener("seek", (e) => {
  const { frame, id } = /** @type {CustomEvent} */ (e).detail;
  if (id !== undefined) state.select(id);
  go(frame);
});
table.addEventListener("pick", (e) => {
  const { id, frame } = /** @type {CustomEvent} */ (e).detail;
  if (PICKS.includes(state.mode)) {
    stage.tell("pick", { id });
    return;
  }
  state.select(id);
  go(frame);
});
table.addEventListener("classify", (e) => {
  const { id, label } = /** @type {CustomEvent} */ (e).detail;
  act("classify", { tracks: [id], label }, [id]);
});
joins.addEventListener("go", (e) => {
  const { id, frame } = /** @type {CustomEvent} */ (e).detail;
  state.select(id);
  go(frame);
});
joins.addEventListener("join", (e) => {
  const { pairs } = /** @type {CustomEvent} */ (e).detail;
  act("joins", { pairs }, pairs.flat());
  stage.focus();
});
queue.addEventListener("go", (e) => toDoubt(/** @type {CustomEvent} */ (e).detail.at));
slider.addEventListener("input", () => go(Number(slider.value), THUMB));
slider.addEventListener("change", () => go(Number(slider.value)));
get("label").addEventListener("change", (e) => {
  state.label = Number(/** @type {HTMLSelectElement} */ (e.target).value);
});
for (const name of ["back", "forward", "play", "accept", "undo", "redo", "help"]) get(name).addEventListener("click", () => DO[name]());
get("add-class").addEventListener("click", addClass);
get("export").addEventListener("click", exportLabels);
get("learn").addEventListener("click", () => job({ do: "learn" }));
get("prelabel").addEventListener("click", () => job({ do: "prelabel", video: state.video }));
addEventListener("keydown", pressed);

start().catch((error) => {
  report("unsaved", error.message);
});
