// @ts-check
// The live page: one film a source, its counters, and the newest events of all. Only text nodes.

const SHOWN = 200;
const LOOK_MS = 1000;

/** @param {string} path @param {RequestInit} [options] */
async function ask(path, options = {}) {
  const response = await fetch(path, { credentials: "same-origin", ...options });
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(content.error ?? `status ${response.status}`);
  return content;
}

/** @param {string} name @param {string} [text] */
function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** @param {string} text */
function report(text) {
  /** @type {HTMLElement} */ (document.getElementById("state")).textContent = text;
}

/** Exchange the token in the address (after #) for a cookie, and remove it from the address. */
async function signIn() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  history.replaceState(null, "", location.pathname);
  const headers = { "Content-Type": "application/json", "X-Vodkit": "1" };
  await ask("/api/login", { method: "POST", headers, body: JSON.stringify({ token }) });
}

const COUNTERS = {
  frames: "frames", objects: "objects", latency: "latency", dropped: "dropped",
  reconnects: "reconnects", events: "events", silent: "last frame",
};

/** @param {any} source @param {number} number */
function card(source, number) {
  const made = element("article");
  made.append(element("h2", source.source));
  const film = /** @type {HTMLImageElement} */ (element("img"));
  film.alt = `live picture of ${source.source}`;
  film.src = `/live/${number}.mjpg`;
  film.addEventListener("error", () => setTimeout(() => { film.src = `/live/${number}.mjpg?${Date.now()}`; }, 2000));
  made.append(film);
  const list = element("dl");
  for (const [name, words] of Object.entries({ up: "state", ...COUNTERS })) {
    const row = element("div");
    const value = element("dd");
    value.dataset.name = name;
    row.append(element("dt", words), value);
    list.append(row);
  }
  made.append(list);
  return made;
}

/** @param {HTMLElement} made @param {any} source */
function update(made, source) {
  const values = {
    up: source.up ? "up" : "no frames",
    frames: source.frames, objects: source.objects, dropped: source.dropped,
    reconnects: source.reconnects, events: source.events,
    latency: source.latency_s === null ? "" : `${Math.round(1000 * source.latency_s)} ms`,
    silent: `${source.silent_s.toFixed(1)} s ago`,
  };
  for (const place of made.querySelectorAll("dd")) {
    place.textContent = String(values[place.dataset.name ?? ""]);
    if (place.dataset.name === "up") place.className = source.up ? "up" : "down";
  }
}

async function watchSources() {
  const main = /** @type {HTMLElement} */ (document.getElementById("sources"));
  for (;;) {
    try {
      const { sources } = await ask("/api/sources");
      if (main.children.length !== sources.length) main.replaceChildren(...sources.map(card));
      sources.forEach((source, number) => update(/** @type {HTMLElement} */ (main.children[number]), source));
      const down = sources.filter((source) => !source.up).length;
      report(down ? `${down} of ${sources.length} sources give no frames` : `${sources.length} live`);
    } catch (error) {
      report(`no answer: ${error.message}`);
    }
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
}

/** @param {any} event */
function words(event) {
  const where = event.zones.length ? ` in ${event.zones.join(", ")}` : "";
  if (event.type === "changed") return event.changes.join(", ") + where;
  if (event.type === "crossed") return `crossed ${event.line} ${event.direction}`;
  return event.type + where;
}

function watchEvents() {
  const list = /** @type {HTMLElement} */ (document.getElementById("events"));
  const stream = new EventSource("/api/events");
  const show = (/** @type {MessageEvent} */ message) => {
    const event = JSON.parse(message.data);
    const line = element("li");
    line.append(element("b", words(event)), element("span", `${event.class} ${event.id}`));
    line.append(element("span", event.source), element("span", event.utc ?? `${event.time_s.toFixed(2)} s`));
    list.prepend(line);
    while (list.children.length > SHOWN) list.lastElementChild?.remove();
  };
  for (const type of ["began", "changed", "crossed", "ended"]) stream.addEventListener(type, show);
}

try {
  await signIn();
  watchEvents();
  await watchSources();
} catch (error) {
  report(`not signed in: ${error.message}`);
}
