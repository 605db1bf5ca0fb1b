// @ts-check
// Keys: one hand on the left of the keyboard, the other on the mouse. All can be changed.

/** @type {Record<string, {key: string, does: string}>} */
export const COMMANDS = {
  back: { key: "d", does: "Previous frame" },
  forward: { key: "f", does: "Next frame" },
  back10: { key: "D", does: "10 frames back" },
  forward10: { key: "F", does: "10 frames on" },
  previousKey: { key: "a", does: "Previous key of the selected track" },
  nextKey: { key: "g", does: "Next key of the selected track" },
  middle: { key: "r", does: "Middle between the keys around" },
  play: { key: " ", does: "Play or pause" },
  previousDoubt: { key: "q", does: "Previous in the queue" },
  nextDoubt: { key: "e", does: "Next in the queue" },
  accept: { key: "w", does: "Accept this frame: all its labels are right" },
  acceptTo: { key: "W", does: "Accept from the last accepted frame up to here" },
  unaccept: { key: "R", does: "Withdraw the acceptance of this frame" },
  next: { key: "y", does: "Select the next box of the frame" },
  draw: { key: "n", does: "Draw a new box (Enter: in the middle)" },
  extreme: { key: "t", does: "New box by its four extreme points" },
  key: { key: "v", does: "Make the shown box a key" },
  unkey: { key: "b", does: "Remove the key of this frame" },
  hidden: { key: "h", does: "Hidden: once at the first frame, once at the last" },
  gap: { key: "H", does: "Outside: once at the first frame, once at the last" },
  visible: { key: "V", does: "Visible again: remove the span under this frame" },
  begin: { key: "A", does: "The track begins here" },
  end: { key: "G", does: "The track ends here" },
  split: { key: "x", does: "Split the track here" },
  give: { key: "C", does: "From here on it is part of the track clicked next" },
  join: { key: "c", does: "Join with the track clicked next" },
  joinAll: { key: "k", does: "List pieces that may be one object, to join all right pairs at once" },
  swap: { key: "s", does: "Swap from here on with the track clicked next" },
  remove: { key: "Delete", does: "Delete the track" },
  removeWeaker: { key: "X", does: "Delete the track and all with a lower score" },
  trim: { key: "T", does: "Cut the ends of all tracks at the edge of the picture, or outside a drawn area" },
  spread: { key: "u", does: "How far corrections extend: near by, 0.3 s, all of the track" },
  follow: { key: "m", does: "Follow the object with the detector" },
  lock: { key: "l", does: "Keep the selected box in the middle" },
  fit: { key: "0", does: "Show the whole picture" },
  undo: { key: "z", does: "Undo" },
  redo: { key: "Z", does: "Redo" },
  help: { key: "?", does: "This list" },
};
const STORED = "vodkit-keys"; // a cookie, which other ports see too: the port changes with every start

function stored() {
  const found = document.cookie.split("; ").find((c) => c.startsWith(`${STORED}=`));
  return found ? JSON.parse(decodeURIComponent(found.slice(STORED.length + 1))) : {};
}

/** Keys by command: the defaults with the person's own. @returns {Record<string, string>} */
export function keymap() {
  /** @type {Record<string, string>} */
  const own = stored();
  return Object.fromEntries(Object.entries(COMMANDS).map(([name, c]) => [name, own[name] ?? c.key]));
}

/** Store own keys from JSON text; an error names what is wrong. @param {string} text */
export function remap(text) {
  const own = JSON.parse(text || "{}");
  for (const [name, key] of Object.entries(own)) {
    if (!(name in COMMANDS)) throw new Error(`unknown command "${name}"`);
    if (typeof key !== "string" || !key) throw new Error(`"${name}": a key is expected`);
  }
  const all = Object.values({ ...Object.fromEntries(Object.entries(COMMANDS).map(([n, c]) => [n, c.key])), ...own });
  const twice = all.find((key, i) => all.indexOf(key) !== i);
  if (twice !== undefined) throw new Error(`key "${twice}" is used twice`);
  document.cookie = `${STORED}=${encodeURIComponent(JSON.stringify(own))}; SameSite=Strict; Max-Age=31536000; Path=/`;
}

/** @param {KeyboardEvent} event @returns {string | null} the command, a class "1".."9", or null */
export function commandOf(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey) {
    return event.key.toLowerCase() === "z" && !event.altKey ? (event.shiftKey ? "redo" : "undo") : null;
  }
  if (target.matches("input:not([type=range]), select, textarea")) return null;
  if ([" ", "Enter"].includes(event.key) && target.matches("button, summary, a")) return null;
  if (/^[1-9]$/.test(event.key)) return event.key;
  const found = Object.entries(keymap()).find(([, key]) => key === event.key);
  return found ? found[0] : null;
}

/** A key as people write it. @param {string} key */
export function nameOf(key) {
  if (key === " ") return "Space";
  return key.length === 1 && key !== key.toLowerCase() ? `Shift+${key}` : key.length === 1 ? key.toUpperCase() : key;
}
