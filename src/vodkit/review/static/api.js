// @ts-check
// Talking to the server: sign-in, pictures, actions that are re-sent until they are saved, events.

const UNSENT = "vodkit-unsent";

/** An answer that is not 2xx. */
export class Refused extends Error {
  /** @param {number} status @param {any} body */
  constructor(status, body) {
    super(body?.error ?? `status ${status}`);
    this.status = status;
    this.body = body;
  }
}

/** @param {string} path @param {any} [body] @returns {Promise<any>} */
export async function ask(path, body) {
  const options = body === undefined
    ? {}
    : { method: "POST", headers: { "Content-Type": "application/json", "X-Vodkit": "1" }, body: JSON.stringify(body) };
  const response = await fetch(path, { ...options, credentials: "same-origin" });
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, content);
  return content;
}

/** Exchange the token in the address (after #) for a cookie, and remove it from the address. */
export async function signIn() {
  const words = new URLSearchParams(location.hash.slice(1));
  const token = words.get("token");
  if (token) {
    words.delete("token");
    history.replaceState(null, "", `${location.pathname}#${words}`);
    await ask("/api/login", { token });
  }
  return words;
}

/**
 * A frame, with the index that is inside the picture.
 * @param {number} video @param {number} frame @param {number} width
 * @param {AbortSignal} [signal]
 * @returns {Promise<{frame: number, bitmap: ImageBitmap}>}
 */
export async function picture(video, frame, width, signal) {
  const response = await fetch(`/api/videos/${video}/frames/${frame}?width=${width}`, { signal });
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
  const bytes = new Uint8Array(await response.arrayBuffer());
  const length = (bytes[4] << 8) + bytes[5] - 2;
  const comment = new TextDecoder().decode(bytes.subarray(6, 6 + length));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  return { frame: Number(comment.replace("frame=", "")), bitmap };
}

/** Actions in order, each re-sent with its id until the server has saved it. */
export class Outbox {
  /** @param {(state: string, reason?: string) => void} report @param {(answer: any) => void} saved @param {(request: any, refusal: Refused) => void} refused */
  constructor(report, saved, refused) {
    this.report = report;
    this.saved = saved;
    this.refused = refused;
    /** @type {any[]} */
    this.waiting = JSON.parse(sessionStorage.getItem(UNSENT) ?? "[]");
    this.busy = false;
    /** @type {(() => void)[]} */
    this.idle = [];
    if (this.waiting.length) this.send();
  }

  /** @param {any} action @param {Record<string, number> | undefined} known @param {any} [extra] */
  post(action, known, extra = {}) {
    this.waiting.push({ id: crypto.randomUUID(), action, known, ...extra });
    this.store();
    return this.send();
  }

  store() {
    sessionStorage.setItem(UNSENT, JSON.stringify(this.waiting));
  }

  async send() {
    if (this.busy) return;
    this.busy = true;
    while (this.waiting.length) {
      const request = this.waiting[0];
      this.report("saving");
      try {
        const answer = await ask("/api/actions", request);
        this.waiting.shift();
        this.store();
        this.saved(answer);
        if (!this.waiting.length) this.report("saved");
      } catch (error) {
        if (error instanceof Refused && [409, 413, 422].includes(error.status)) {
          this.waiting.shift();
          this.store();
          this.report(this.waiting.length ? "saving" : "saved");
          this.refused(request, error);
        } else {
          this.report("unsaved", error instanceof Refused ? error.message : "the server does not answer");
          await new Promise((done) => setTimeout(done, 1500));
        }
      }
    }
    this.busy = false;
  }
}

/** @param {number} after @param {(message: any) => void} heard @param {(open: boolean) => void} state */
export function listen(after, heard, state) {
  const events = new EventSource(`/api/events?after=${after}`);
  events.onmessage = (event) => heard(JSON.parse(event.data));
  events.onopen = () => state(true);
  events.onerror = () => state(false);
  return events;
}
