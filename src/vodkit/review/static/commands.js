// @ts-check
// What each key does.

import { help, trim } from "./forms.js";
import { commandOf, keymap, nameOf } from "./keys.js";
import { get, hint, joins, queue, stage, state } from "./parts.js";
import { go, play } from "./player.js";
import { act, job, outbox } from "./sync.js";

/** @type {number | null} */ let marked = null;
let markedKind = "";
let nudgeTimer = 0;

/** Frames with keys of the selected track, else where tracks begin and end. */
function stops() {
  const track = state.selected === null ? null : state.tracks.get(state.selected);
  if (!track) return [...state.tracks.keys()].flatMap((id) => state.extent(id));
  return [...track.keys.map((k) => k[0]), ...state.extent(/** @type {number} */ (state.selected)), ...track.spans.flatMap((s) => [s[0], s[1]])];
}

/** @param {number} at */
export function toDoubt(at) {
  if (!state.queue.length) {
    hint("The queue is empty.");
    return;
  }
  state.queueAt = Math.min(Math.max(at, 0), state.queue.length - 1);
  const item = state.queue[state.queueAt];
  item.seen = true;
  if (item.track !== null && state.tracks.has(item.track)) state.select(item.track);
  queue.draw();
  hint(item.why);
  go(item.frame);
}

/** The selected track, with a hint where there is none. */
function chosen() {
  if (state.selected === null) hint("Select a box first.");
  return state.selected;
}

/** @param {string} kind */
function mark(kind) {
  const track = chosen();
  if (track === null) return;
  if (marked === null || markedKind !== kind) {
    [marked, markedKind] = [state.frame, kind];
    hint(`${kind} from frame ${marked}: go to the last frame and press again (Escape cancels).`);
    return;
  }
  const [first, last] = [Math.min(marked, state.frame), Math.max(marked, state.frame)];
  marked = null;
  hint("");
  act("span", { track, first, last, kind }, [track]);
}

/** @param {string} name */
export function mode(name) {
  state.mode = state.mode === name ? "" : name;
  stage.points = [];
  const words = { draw: "Drag a new box (Enter puts one in the middle; Escape cancels).", area: "Drag the area in which objects are labelled: ends of tracks outside it are cut. A side beyond the picture cuts nothing (Escape cancels).", extreme: "Click the top, bottom, left and right end of the object.", join: "Click the track to join with.", give: "Click the track that this one is part of from here on.", swap: "Click the track to swap with from here on." };
  hint(words[/** @type {keyof typeof words} */ (state.mode)] ?? "");
}

/** @param {number} dx @param {number} dy @param {boolean} resize */
function nudge(dx, dy, resize) {
  const id = state.selected;
  if (id === null) return false;
  const box = stage.pending && stage.pendingId === id ? stage.pending : state.shown(id)?.box;
  if (!box) return false;
  const [x1, y1, x2, y2] = box;
  stage.pending = resize ? [x1, y1, Math.max(x2 + dx, x1 + 1), Math.max(y2 + dy, y1 + 1)] : [x1 + dx, y1 + dy, x2 + dx, y2 + dy];
  stage.pendingId = id;
  stage.draw();
  clearTimeout(nudgeTimer); // all presses of a series are one action
  const [pending, frame] = [stage.pending, state.frame];
  nudgeTimer = setTimeout(() => act("bend", { track: id, frame, box: pending, spread: state.spread }, [id]), 400);
  return true;
}

/** @type {Record<string, () => unknown>} */
export const DO = {
  back: () => go(state.frame - 1),
  forward: () => go(state.frame + 1),
  back10: () => go(state.frame - 10),
  forward10: () => go(state.frame + 10),
  previousKey: () => go(Math.max(...stops().filter((f) => f < state.frame), 0)),
  nextKey: () => go(Math.min(...stops().filter((f) => f > state.frame), state.meta.frames - 1)),
  middle: () => {
    const later = stops().filter((f) => f > state.frame);
    const earlier = stops().filter((f) => (later.length ? f <= state.frame : f < state.frame));
    go((Math.max(0, ...earlier) + (later.length ? Math.min(...later) : state.frame)) / 2);
  },
  play,
  previousDoubt: () => toDoubt(state.queueAt - 1),
  nextDoubt: () => toDoubt(state.queueAt + 1),
  accept: () => act("accept", { first: state.frame, last: state.frame, accepted: true }),
  acceptTo: () => {
    const before = state.accepted.map(([, last]) => last).filter((last) => last < state.frame);
    act("accept", { first: Math.max(-1, ...before) + 1, last: state.frame, accepted: true });
  },
  unaccept: () => act("accept", { first: state.frame, last: state.frame, accepted: false }),
  next: () => {
    const ids = state.boxes(state.frame).map(([id]) => id);
    if (ids.length) state.select(ids[(ids.indexOf(state.selected ?? -1) + 1) % ids.length]);
  },
  draw: () => mode("draw"),
  extreme: () => mode("extreme"),
  key: () => {
    const track = chosen();
    const box = track === null ? null : state.shown(track)?.box;
    if (track !== null && box) act("bend", { track, frame: state.frame, box }, [track]);
  },
  unkey: () => withTrack((track) => act("unkey", { track, frame: state.frame }, [track])),
  hidden: () => mark("hidden"),
  gap: () => mark("outside"),
  visible: () => withTrack((track) => {
    const span = state.tracks.get(track)?.spans.find((s) => s[0] <= state.frame && state.frame <= s[1]);
    if (span) act("span", { track, first: span[0], last: span[1], kind: "visible" }, [track]);
    else hint("No hidden or outside span here.");
  }),
  begin: () => withTrack((track) => state.frame > 0 && act("span", { track, first: 0, last: state.frame - 1, kind: "outside" }, [track])),
  end: () => withTrack((track) => state.frame < state.meta.frames - 1 && act("span", { track, first: state.frame + 1, last: state.meta.frames - 1, kind: "outside" }, [track])),
  split: () => withTrack((track) => act("split", { track, frame: state.frame }, [track])),
  join: () => chosen() !== null && mode("join"),
  joinAll: async () => {
    if (!(await joins.open())) hint("No track ends in mid-picture where another begins later.");
  },
  swap: () => chosen() !== null && mode("swap"),
  remove: () => withTrack((track) => act("delete", { tracks: [track] }, [track])),
  give: () => chosen() !== null && mode("give"),
  removeWeaker: () => withTrack((track) => {
    const tracks = state.weaker(track);
    act("delete", { tracks }, tracks);
    hint(`${tracks.length} tracks deleted; ${nameOf(keymap().undo)} brings them back.`);
  }),
  trim: () => trim(() => mode("area")),
  spread: () => {
    state.spread = { reach: "near", near: "all", all: "reach" }[state.spread] ?? "reach";
    hint({ reach: `Corrections extend over ${state.reach} s.`, near: "Corrections extend over 0.3 s.", all: "Corrections hold for all of the track, up to its other keys." }[state.spread] ?? "");
  },
  follow: () => withTrack((track) => job({ do: "follow", video: state.video, track, frame: state.frame })),
  lock: () => {
    state.lock = !state.lock;
    if (state.selected !== null && state.lock) {
      stage.fitted = false;
      stage.centre(state.selected);
      stage.draw();
    }
    hint(state.lock ? "The selected box stays in the middle." : "");
  },
  fit: () => stage.fit(),
  undo: () => outbox.post({ do: "undo" }, undefined),
  redo: () => outbox.post({ do: "redo" }, undefined),
  help,
};

/** @param {(track: number) => void} does */
function withTrack(does) {
  const track = chosen();
  if (track !== null) does(track);
}

/** @param {KeyboardEvent} event */
export function pressed(event) {
  if (document.querySelector("dialog[open]")) return;
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const target = /** @type {HTMLElement} */ (event.target);
  const arrow = arrows[/** @type {keyof typeof arrows} */ (event.key)];
  if (arrow && target.closest("vk-stage")) {
    const far = event.shiftKey ? 10 : 1;
    if (nudge(arrow[0] * far, arrow[1] * far, event.altKey)) event.preventDefault();
    return;
  }
  if (event.key === "Escape") {
    mode("");
    marked = null;
    joins.close();
    stage.cancel();
    hint("");
    return;
  }
  if (event.key === "Enter" && state.mode === "draw" && target.closest("vk-stage")) {
    drawInTheMiddle();
    return;
  }
  if (event.key === "Backspace" && target.closest("vk-stage")) {
    DO.remove();
    return;
  }
  if (target.closest("vk-stage, body") && !target.matches("input, select, textarea") && ["+", "=", "-"].includes(event.key)) {
    stage.zoom(event.key === "-" ? 0.8 : 1.25);
    return;
  }
  const name = commandOf(event);
  if (!name) return;
  event.preventDefault();
  if (/^[1-9]$/.test(name)) setLabel(Number(name) - 1);
  else DO[name]();
}

/** The class of the selected box, and of boxes drawn from now on. @param {number} label */
function setLabel(label) {
  if (label >= state.classes.length) {
    hint(`There are ${state.classes.length} classes.`);
    return;
  }
  state.label = label;
  /** @type {HTMLSelectElement} */ (get("label")).value = String(label);
  if (state.selected !== null) act("classify", { tracks: [state.selected], label }, [state.selected]);
}

function drawInTheMiddle() {
  const { view } = stage;
  const [cx, cy] = [(stage.clientWidth / 2 - view.x) / view.scale, (stage.clientHeight / 2 - view.y) / view.scale];
  const half = Math.min(stage.clientWidth, stage.clientHeight) / view.scale / 8;
  stage.commit(null, [cx - half, cy - half, cx + half, cy + half]);
}
