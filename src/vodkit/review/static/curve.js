// @ts-check
// The shown box of a track at a frame: the same curve as review/curve.py, held to its golden values.

/**
 * @typedef {[number, number, number, number]} Box x1, y1, x2, y2 in source pixels
 * @typedef {[number, number, number, number, number, number, number, number|null]} Knot
 *   frame, x1, y1, x2, y2, score, known, visibility
 * @typedef {[number, number, number, number, number]} Key frame, x1, y1, x2, y2
 * @typedef {[number, number, "hidden"|"outside"]} Span
 * @typedef {{label: number, base: Knot[], keys: Key[], spans: Span[], ignore: boolean,
 *   touched: boolean}} Track
 * @typedef {{box: Box, known: number, score: number, hidden: boolean}} Shown
 */

export const KNOWN = ["observed", "predicted", "filled", "bent", "interpolated", "person"];
const BENT = 3;
const INTERPOLATED = 4;
const PERSON = 5;
const SMALLEST_PX = 1e-3;

/** First and last frame of base and keys. @param {Track} track @returns {[number, number]} */
export function extent(track) {
  const { base, keys } = track;
  let first = Infinity;
  let last = -Infinity;
  if (base.length) {
    first = base[0][0];
    last = base[base.length - 1][0];
  }
  if (keys.length) {
    first = Math.min(first, keys[0][0]);
    last = Math.max(last, keys[keys.length - 1][0]);
  }
  return [first, last];
}

/** Whether the track has a box in this frame. @param {Track} track @param {number} frame */
export function alive(track, frame) {
  const [first, last] = extent(track);
  if (frame < first || frame > last) return false;
  return !track.spans.some((s) => s[2] === "outside" && s[0] <= frame && frame <= s[1]);
}

/**
 * What the track shows at a frame; null where it has no box.
 * @param {Track} track @param {number} frame @param {number[]} times @param {number} reach
 * @returns {Shown | null}
 */
export function evaluate(track, frame, times, reach) {
  if (!alive(track, frame)) return null;
  const { base, keys } = track;
  const hidden = track.spans.some((s) => s[2] === "hidden" && s[0] <= frame && frame <= s[1]);
  const inside = base.length > 0 && frame >= base[0][0] && frame <= base[base.length - 1][0];
  const key = keys[after(keys, frame) - 1];
  if (key && key[0] === frame) {
    return { box: boxOf(key), known: PERSON, score: 1, hidden: hidden || (inside && seen(base, frame) === 0) };
  }
  if (!inside) {
    const box = fromLogs(between(anchors(track, times, reach), frame, times));
    return { box, known: INTERPOLATED, score: 1, hidden };
  }
  const found = bent(track, frame, times, reach);
  return { ...found, score: scoreAt(base, frame, times), hidden: hidden || seen(base, frame) === 0 };
}

/** Number of rows whose frame is at or before `frame`. @param {number[][]|Knot[]|Key[]} rows @param {number} frame */
function after(rows, frame) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (/** @type {number} */ (rows[middle][0]) <= frame) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @param {Knot[]} base @param {number} frame */
function seen(base, frame) {
  return base[Math.max(after(base, frame) - 1, 0)][7];
}

/** @param {number[]|Key|Knot} row @returns {Box} */
function boxOf(row) {
  return [Number(row[1]), Number(row[2]), Number(row[3]), Number(row[4])];
}

/** @param {Knot[]} base @param {number} frame @param {number[]} times */
function scoreAt(base, frame, times) {
  const [a, b, share] = place(base, frame, times);
  return a[5] * (1 - share) + b[5] * share;
}

/** Neighbouring knots and the share between them. @param {Knot[]} base @param {number} frame @param {number[]} times @returns {[Knot, Knot, number]} */
function place(base, frame, times) {
  const at = after(base, frame) - 1;
  const a = base[Math.max(at, 0)];
  const b = base[Math.min(at + 1, base.length - 1)];
  const span = times[b[0]] - times[a[0]];
  return [a, b, span > 0 ? (times[frame] - times[a[0]]) / span : 0];
}

/** The base at a frame within it, corners linear in time. @param {Knot[]} base @param {number} frame @param {number[]} times @returns {Box} */
function linear(base, frame, times) {
  const [a, b, share] = place(base, frame, times);
  return /** @type {Box} */ ([1, 2, 3, 4].map((i) => Number(a[i]) + (Number(b[i]) - Number(a[i])) * share));
}

/** Centre and logarithm of the size. @param {Box} box @returns {Box} */
function toLogs(box) {
  const [x1, y1, x2, y2] = box;
  return [(x1 + x2) / 2, (y1 + y2) / 2, Math.log(Math.max(x2 - x1, SMALLEST_PX)), Math.log(Math.max(y2 - y1, SMALLEST_PX))];
}

/** @param {Box} logs @returns {Box} */
function fromLogs([cx, cy, lw, lh]) {
  const w = Math.exp(lw) / 2;
  const h = Math.exp(lh) / 2;
  return [cx - w, cy - h, cx + w, cy + h];
}

/** The base moved by the residuals of the keys within it. @param {Track} track @param {number} frame @param {number[]} times @param {number} reach @returns {{box: Box, known: number}} */
function bent({ base, keys }, frame, times, reach) {
  const held = keys.filter((k) => k[0] >= base[0][0] && k[0] <= base[base.length - 1][0]);
  const box = linear(base, frame, times);
  const known = base[after(base, frame) - 1][6];
  const right = after(held, frame);
  const [l, r] = [held[right - 1], held[right]];
  const gap = l && r ? times[r[0]] - times[l[0]] : Infinity;
  const within = Math.max(Math.min(gap, reach), 1e-9);
  const moved = [0, 0, 0, 0];
  for (const k of [l, r]) {
    if (!k) continue;
    const weight = Math.max(1 - Math.abs(times[frame] - times[k[0]]) / within, 0);
    const [drawn, there] = [toLogs(boxOf(k)), toLogs(linear(base, k[0], times))];
    for (let i = 0; i < 4; i += 1) moved[i] += weight * (drawn[i] - there[i]);
  }
  if (moved.every((m) => m === 0)) return { box, known };
  const logs = toLogs(box);
  return { box: fromLogs(/** @type {Box} */ (logs.map((v, i) => v + moved[i]))), known: BENT };
}

/** Keys outside the base and the ends of the base, as [frame, logs]. @param {Track} track @param {number[]} times @param {number} reach @returns {[number, Box][]} */
function anchors(track, times, reach) {
  const { base, keys } = track;
  const [first, last] = base.length ? [base[0][0], base[base.length - 1][0]] : [Infinity, -Infinity];
  /** @type {[number, Box][]} */
  const found = keys.filter((k) => k[0] < first || k[0] > last).map((k) => [k[0], toLogs(boxOf(k))]);
  for (const end of base.length ? new Set([first, last]) : []) found.push([end, toLogs(bent(track, end, times, reach).box)]);
  return found.sort((a, b) => a[0] - b[0]);
}

/** @param {[number, Box][]} points @param {number} frame @param {number[]} times @returns {Box} */
function between(points, frame, times) {
  const at = after(/** @type {any} */ (points), frame) - 1;
  const [a, b] = [points[Math.max(at, 0)], points[Math.min(at + 1, points.length - 1)]];
  const span = times[b[0]] - times[a[0]];
  const share = span > 0 ? (times[frame] - times[a[0]]) / span : 0;
  return /** @type {Box} */ (a[1].map((v, i) => v + (b[1][i] - v) * share));
}
