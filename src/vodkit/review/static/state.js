// @ts-check
// What the page knows, and the events by which its parts hear of changes.

import { evaluate, extent } from "./curve.js";

/** a gap this long is kept, as in review/edits.py: HIDDEN_S */
const GAP_S = 3;

/**
 * @typedef {import("./curve.js").Track} Track
 * @typedef {{name: string, frames: number, width: number, height: number, times: number[]}} Video
 */

export class State extends EventTarget {
  constructor() {
    super();
    /** @type {Video[]} */ this.videos = [];
    /** @type {string[]} */ this.classes = [];
    /** @type {Map<number, Track>} */ this.tracks = new Map();
    /** @type {Map<number, number>} */ this.versions = new Map();
    /** @type {[number, number][]} */ this.accepted = [];
    /** @type {any[]} */ this.doubts = [];
    /** @type {any[]} those of the doubts that are open */ this.queue = [];
    this.queueAt = -1;
    this.video = 0;
    /** the frame that is asked for */
    this.frame = 0;
    /** the frame whose picture is shown */
    this.shownFrame = -1;
    this.n = 0;
    /** whether the labels have been read; before, only pictures are shown */
    this.ready = false;
    this.reach = 1;
    this.who = "";
    this.label = 0;
    /** @type {number | null} */ this.selected = null;
    /** @type {string} */ this.mode = "";
    this.playing = false;
    this.lock = false;
    /** how far a correction of a model's curve extends: reach, near, all */
    this.spread = "reach";
    this.revision = 0;
    /** @type {{tracks: Map<number, Track> | null, revision: number, frame: number, found: [number, import("./curve.js").Shown][]}} */
    this.kept = { tracks: null, revision: 0, frame: -1, found: [] };
    /** @type {WeakMap<Track, number | null>} */ this.scores = new WeakMap();
  }

  get meta() {
    return this.videos[this.video];
  }

  /** @param {string} name */
  changed(name) {
    this.dispatchEvent(new Event(name));
  }

  /** @param {number} id @param {number} [frame] */
  shown(id, frame = this.frame) {
    const track = this.tracks.get(id);
    return track ? evaluate(track, frame, this.meta.times, this.reach) : null;
  }

  /** Boxes of a frame by track id; computed once for all parts of the page. @param {number} frame */
  boxes(frame) {
    const { kept, tracks, revision } = this;
    if (kept.tracks !== tracks || kept.revision !== revision || kept.frame !== frame) {
      /** @type {[number, import("./curve.js").Shown][]} */
      const found = [];
      for (const [id, track] of tracks) {
        const shown = evaluate(track, frame, this.meta.times, this.reach);
        if (shown) found.push([id, shown]);
      }
      this.kept = { tracks, revision, frame, found };
    }
    return this.kept.found;
  }

  /** Take over changed parts; those that are known already are left. @param {any[]} changes */
  take(changes) {
    this.revision += 1;
    for (const { part, n, value } of changes) {
      if (part[0] === "classes") {
        this.classes = value ?? this.classes;
        this.changed("classes");
      } else if (part[1] === this.video && part[0] === "accepted") {
        this.accepted = value ?? [];
      } else if (part[1] === this.video && n > (this.versions.get(part[2]) ?? 0)) {
        this.versions.set(part[2], n);
        if (value) this.tracks.set(part[2], value);
        else this.tracks.delete(part[2]);
      }
    }
    if (this.selected !== null && !this.tracks.has(this.selected)) this.selected = null;
    this.changed("labels");
  }

  /** Leave out what is about tracks that are gone, or frames that have been accepted. */
  prune() {
    const at = this.doubts.indexOf(this.queue[this.queueAt]);
    const open = (/** @type {any} */ one) => [one.track, one.other].every((id) => id === null || this.tracks.has(id)) && !this.accepted.some(([a, b]) => a <= one.first && one.last <= b);
    const queue = this.doubts.filter(open);
    const changed = queue.length !== this.queue.length;
    if (at >= 0) this.queueAt = this.doubts.slice(0, at + 1).filter(open).length - 1; // the next one follows
    this.queue = queue;
    return changed;
  }

  /** Versions of these tracks, as the server wants them. @param {(number|undefined)[]} ids */
  known(...ids) {
    /** @type {Record<string, number>} */
    const found = {};
    for (const id of ids) if (id !== undefined) found[String(id)] = this.versions.get(id) ?? 0;
    return found;
  }

  /** @param {number} frame */
  isAccepted(frame) {
    return this.accepted.some(([a, b]) => a <= frame && frame <= b);
  }

  /** @param {number | null} id */
  select(id) {
    this.selected = id;
    this.changed("selection");
  }

  /** Mean score of the model's boxes; null where a person drew the track. @param {number} id */
  score(id) {
    const track = this.tracks.get(id);
    if (!track) return null;
    let known = this.scores.get(track);
    if (known === undefined) {
      const { base } = track;
      known = base.length ? base.reduce((sum, knot) => sum + knot[5], 0) / base.length : null;
      this.scores.set(track, known);
    }
    return known;
  }

  /** This track and those less sure that no person changed. @param {number} id */
  weaker(id) {
    const limit = this.score(id) ?? -1;
    const less = [...this.tracks].filter(([one, t]) => !t.touched && (this.score(one) ?? 2) <= limit);
    return [...new Set([id, ...less.map(([one]) => one)])];
  }

  /** Whether this frame is in a gap of a track, over 3 s from the box before or after. @param {number} id */
  isInLongGap(id) {
    const { frame } = this;
    const { times } = this.meta;
    const [first, last] = this.extent(id);
    const span = this.tracks.get(id)?.spans.find(([a, b, kind]) => kind === "outside" && a <= frame && frame <= b);
    if (!span || frame < first || frame > last) return false;
    return Math.max(times[frame] - times[span[0] - 1], times[span[1] + 1] - times[frame]) > GAP_S;
  }

  /** First and last frame in which a track has a box. @param {number} id */
  extent(id) {
    const track = this.tracks.get(id);
    if (!track) return [0, 0];
    let [first, last] = extent(track);
    for (const [a, b, kind] of track.spans) {
      if (kind !== "outside") continue;
      if (a <= first && first <= b) first = Math.min(b + 1, last);
      if (a <= last && last <= b) last = Math.max(a - 1, first);
    }
    return [first, last];
  }
}

/** A colour that stays with an id, readable on light and dark. @param {number} id @param {number} [light] */
export function colour(id, light = 60) {
  return `hsl(${(id * 137.508) % 360} 85% ${light}%)`;
}
