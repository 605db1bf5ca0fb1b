// @ts-check
// Puts the page together: keys and gestures become actions, answers become labels.

import { Outbox, ask, listen, picture, signIn } from "./api.js";
import { COMMANDS, commandOf, keymap, nameOf, remap } from "./keys.js";
import { State } from "./state.js";
import "./queue.js";
import "./stage.js";
import "./timeline.js";
import "./tracks.js";

const WIDTHS = [640, 960, 1280, 1920];
const THUMB = 160;
/** @template {HTMLElement} T @param {string} id @returns {T} */
const get = (id) => /** @type {T} */ (document.getElementById(id));
const state = new State();
/** @type {import("./stage.js").Stage} */ const stage = get("stage");
/** @type {import("./timeline.js").Timeline} */ const timeline = get("timeline");
/** @type {import("./tracks.js").Tracks} */ const table = get("tracks");
/** @type {import("./queue.js").Queue} */ const queue = get("queue");
/** @type {HTMLInputElement} */ const slider = get("slider");
for (const part of [stage, timeline, table, queue]) part.state = state;
/** @type {AbortController | null} */ let fetching = null;
/** @type {number | null} */ let marked = null;
let markedKind = "";
let nudgeTimer = 0;

const outbox = new Outbox(report, saved, refused);

/** @param {string} kind @param {string} [reason] */
function report(kind, reason = "") {
  const words = { saved: "Saved", saving: "Saving…", unsaved: `NOT SAVED: ${reason}` };
  const place = get("saved");
  place.textContent = words[/** @type {keyof typeof words} */ (kind)];
  place.className = kind;
  alarm(kind === "unsaved" ? `Not saved: ${reason}. It is kept here and sent again.` : "");
}

/** @param {string} words */
function alarm(words) {
  const place = get("alarm");
  place.textContent = words;
  place.hidden = !words;
}

/** @param {string} words */
function hint(words) {
  get("hint").textContent = words;
}

/** @param {any} answer */
function saved(answer) {
  stage.pending = null;
  hear(answer);
  if (answer.do === "draw" && answer.changed) state.select(answer.changed[0].part[2]);
}

/** An entry of the journal, by us or by others. @param {any} entry */
function hear(entry) {
  if (entry.type === "job") {
    hint(entry.words);
    get("learn").toggleAttribute("disabled", Boolean(entry.running));
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

/** @param {HTMLDialogElement} dialog @param {string} title @param {(string | HTMLElement)[]} content @param {[string, () => void][]} choices */
function fill(dialog, title, content, choices) {
  const heading = document.createElement("h2");
  heading.textContent = title;
  const menu = document.createElement("menu");
  for (const [words, act] of choices) {
    const button = document.createElement("button");
    button.textContent = words;
    button.addEventListener("click", () => {
      dialog.close();
      act();
      stage.focus();
    });
    menu.append(button);
  }
  dialog.replaceChildren(heading, ...content.map((c) => {
    if (typeof c !== "string") return c;
    const line = document.createElement("p");
    line.textContent = c;
    return line;
  }), menu);
}

/** Send an action of the current video. @param {string} name @param {any} values @param {(number | undefined)[]} [ids] */
function act(name, values, ids = []) {
  outbox.post({ do: name, video: state.video, ...values }, ids.length ? state.known(...ids) : undefined);
}

async function loadLabels() {
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
  await loadQueue();
}

async function loadQueue() {
  const { video } = state;
  const found = await ask(`/api/videos/${video}/queue`);
  if (video !== state.video) return;
  state.queue = found.items;
  state.queueAt = -1;
  queue.verdict = found.estimate;
  timeline.draw();
}

/** Width of the picture to ask for: what the screen can show. */
function width() {
  const wanted = state.meta.width * stage.view.scale * (devicePixelRatio || 1);
  return WIDTHS.find((w) => w >= wanted && w < state.meta.width) ?? 0;
}

/** Show a frame; its picture decides the number that is displayed. @param {number} frame @param {number} [wide] */
async function go(frame, wide) {
  if (!state.meta) return;
  state.frame = Math.min(Math.max(Math.round(frame), 0), state.meta.frames - 1);
  slider.value = String(state.frame);
  fetching?.abort();
  const mine = (fetching = new AbortController());
  try {
    const found = await picture(state.video, state.frame, wide ?? width(), mine.signal);
    if (mine !== fetching) {
      found.bitmap.close();
      return;
    }
    state.shownFrame = found.frame;
    stage.show(found.bitmap);
    alarmOfPicture("");
  } catch (error) {
    if (mine.signal.aborted) return;
    state.shownFrame = -1;
    alarmOfPicture(String(/** @type {Error} */ (error).message));
  }
  place();
}

/** @param {string} words */
function alarmOfPicture(words) {
  if (words) alarm(`Frame ${state.frame} cannot be shown: ${words}`);
  else if ((get("alarm").textContent ?? "").startsWith("Frame ")) alarm("");
}

function place() {
  const { meta, shownFrame } = state;
  const time = shownFrame >= 0 ? meta.times[shownFrame].toFixed(3) : "–";
  get("place").textContent = shownFrame < 0 ? "no picture" : `Frame ${shownFrame} of ${meta.frames - 1} · ${time} s${state.isAccepted(shownFrame) ? " · accepted" : ""}`;
  slider.setAttribute("aria-valuetext", `frame ${state.frame}`);
  get("accept").textContent = state.isAccepted(state.frame) ? "Accepted ✓" : "Accept frame";
  table.draw();
  timeline.draw();
}

async function play() {
  state.playing = !state.playing;
  const button = get("play");
  button.textContent = state.playing ? "Pause" : "Play";
  button.setAttribute("aria-label", button.textContent);
  button.setAttribute("aria-pressed", String(state.playing));
  if (!state.playing) return;
  if (state.frame === state.meta.frames - 1) await go(0);
  const [start, begun] = [state.meta.times[state.frame], performance.now()];
  let late = 0;
  while (state.playing && state.frame < state.meta.frames - 1) {
    const next = state.frame + 1;
    await go(next);
    if (state.frame !== next) break; // moved by hand
    const wait = (state.meta.times[next] - start) * 1000 - (performance.now() - begun - late);
    if (wait < 0) late -= wait; // every frame is shown, even if that takes longer
    await new Promise((done) => setTimeout(done, Math.max(wait, 0)));
  }
  if (state.playing) await play();
}

/** Frames with keys of the selected track, else where tracks begin and end. */
function stops() {
  const track = state.selected === null ? null : state.tracks.get(state.selected);
  if (!track) return [...state.tracks.keys()].flatMap((id) => state.extent(id));
  return [...track.keys.map((k) => k[0]), ...state.extent(/** @type {number} */ (state.selected)), ...track.spans.flatMap((s) => [s[0], s[1]])];
}

/** @param {number} at */
function toDoubt(at) {
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
function mode(name) {
  state.mode = state.mode === name ? "" : name;
  stage.points = [];
  const words = { draw: "Drag a new box (Enter puts one in the middle; Escape cancels).", extreme: "Click the top, bottom, left and right end of the object.", join: "Click the track to join with.", swap: "Click the track to swap with from here on." };
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
  nudgeTimer = setTimeout(() => act("bend", { track: id, frame, box: pending }, [id]), 400);
  return true;
}

/** @type {Record<string, () => void>} */
const DO = {
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
  swap: () => chosen() !== null && mode("swap"),
  remove: () => withTrack((track) => act("delete", { tracks: [track] }, [track])),
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

/** @param {any} body */
async function job(body) {
  try {
    await ask("/api/jobs", body);
  } catch (error) {
    hint(String(/** @type {Error} */ (error).message));
  }
}

function help() {
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
  const also = "1–9: class of the selected box. Arrows: move the selected box by 1 px (Shift: 10 px, Alt: its size). Wheel, + and -: zoom. Right button: move the picture.";
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

/** Ask for one value. @param {string} title @param {string} label @param {HTMLElement} field @param {[string, () => void][]} choices */
function question(title, label, field, choices) {
  const dialog = /** @type {HTMLDialogElement} */ (get("form"));
  const wrap = document.createElement("label");
  wrap.textContent = `${label} `;
  wrap.append(field);
  fill(dialog, title, [wrap], [...choices, ["Cancel", () => {}]]);
  dialog.showModal();
  field.focus();
}

function addClass() {
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

/** @type {string[]} */ let formats = [];

function exportLabels() {
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

/** @param {KeyboardEvent} event */
function pressed(event) {
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

/** A drawn or dragged box. @param {CustomEvent} event */
function boxed(event) {
  const { id, box } = event.detail;
  const frame = state.shownFrame;
  if (frame < 0) return;
  state.mode = state.mode === "draw" || state.mode === "extreme" ? "" : state.mode;
  hint("");
  if (id !== null) {
    act("bend", { track: id, frame, box }, [id]);
  } else if (!state.classes.length) {
    stage.pending = null;
    hint("Add a class first.");
    addClass();
  } else if (state.selected !== null && !state.shown(state.selected) && state.tracks.has(state.selected)) {
    // The selected track has no box here: the drawn one is its next key.
    act("bend", { track: state.selected, frame, box }, [state.selected]);
  } else {
    act("draw", { label: state.label, frame, box });
  }
}

function classLists() {
  const choice = /** @type {HTMLSelectElement} */ (get("label"));
  choice.replaceChildren(...state.classes.map((word, i) => new Option(word, String(i))));
  choice.value = String(state.label);
  table.draw();
}

/** @param {number} video @param {number} [frame] */
async function open(video, frame = 0) {
  state.playing = false;
  state.video = video;
  state.selected = null;
  state.shownFrame = -1;
  state.tracks = new Map();
  state.queue = [];
  slider.max = String(state.meta.frames - 1);
  stage.fit();
  await Promise.all([go(frame), loadLabels()]);
}

async function start() {
  const words = await signIn();
  const found = await ask("/api/state");
  Object.assign(state, { videos: found.videos, classes: found.classes, n: found.n, reach: found.reach, who: found.who });
  formats = found.formats;
  const choice = /** @type {HTMLSelectElement} */ (get("video"));
  choice.replaceChildren(...state.videos.map((v, i) => new Option(v.name, String(i))));
  choice.addEventListener("change", () => open(Number(choice.value)));
  classLists();
  get("learn").hidden = get("prelabel").hidden = !found.learn;
  const video = Math.min(Math.max(Number(words.get("video") ?? 0), 0), state.videos.length - 1) || 0;
  choice.value = String(video);
  listen(found.n, hear, (isOpen) => {
    if (!isOpen) report("unsaved", "the server does not answer");
    else if (!outbox.waiting.length) report("saved");
  });
  await open(video, Number(words.get("frame") ?? 0) || 0);
  const track = Number(words.get("track"));
  if (track && state.tracks.has(track)) state.select(track);
  hint([...found.notes, ...found.jobs].join(" · "));
  document.body.dataset.ready = "1";
}

state.addEventListener("labels", () => {
  get("empty").hidden = state.tracks.size > 0;
  stage.draw();
  place();
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
  else act(name, name === "swap" ? { track, other, frame: state.frame } : { track, other }, [track, other]);
});
timeline.addEventListener("seek", (e) => {
  const { frame, id } = /** @type {CustomEvent} */ (e).detail;
  if (id !== undefined) state.select(id);
  go(frame);
});
table.addEventListener("pick", (e) => {
  const { id, frame } = /** @type {CustomEvent} */ (e).detail;
  if (state.mode === "join" || state.mode === "swap") {
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
