// @ts-check
// Which frame is shown: its picture decides the number that is displayed.

import { picture } from "./api.js";
import { alarm, get, slider, stage, state, table, timeline } from "./parts.js";

const WIDTHS = [640, 960, 1280, 1920];
export const THUMB = 160;
/** @type {AbortController | null} */ let fetching = null;

/** Width of the picture to ask for: what the screen can show. */
function width() {
  const wanted = state.meta.width * stage.view.scale * (devicePixelRatio || 1);
  return WIDTHS.find((w) => w >= wanted && w < state.meta.width) ?? 0;
}

/** Show a frame; its picture decides the number that is displayed. @param {number} frame @param {number} [wide] */
export async function go(frame, wide) {
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

export function place() {
  const { meta, shownFrame } = state;
  const time = shownFrame >= 0 ? meta.times[shownFrame].toFixed(3) : "–";
  get("place").textContent = shownFrame < 0 ? "no picture" : `Frame ${shownFrame} of ${meta.frames - 1} · ${time} s${state.isAccepted(shownFrame) ? " · accepted" : ""}`;
  slider.setAttribute("aria-valuetext", `frame ${state.frame}`);
  get("accept").textContent = state.isAccepted(state.frame) ? "Accepted ✓" : "Accept frame";
  table.draw();
  timeline.draw();
}

export async function play() {
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
