// @ts-check
// What to look at next, and why; how many of the seen ones were wrong.

export class Queue extends HTMLElement {
  constructor() {
    super();
    /** @type {import("./state.js").State} */ this.state = /** @type {any} */ (null);
  }

  draw() {
    const { state } = this;
    this.hidden = !state.queue.length && !this.estimate;
    const heading = document.createElement("h2");
    heading.textContent = `Queue (${state.queue.length})`;
    const list = document.createElement("ol");
    const from = Math.max(0, Math.min(state.queueAt - 3, state.queue.length - 40));
    state.queue.slice(from, from + 40).forEach((item, i) => {
      const at = from + i;
      const entry = document.createElement("li");
      const button = document.createElement("button");
      button.textContent = `${item.first === item.last ? `frame ${item.first}` : `frames ${item.first}–${item.last}`}: ${item.why}`;
      if (at === state.queueAt) button.setAttribute("aria-current", "true");
      if (item.seen) button.classList.add("seen");
      button.addEventListener("click", () => this.dispatchEvent(new CustomEvent("go", { detail: { at } })));
      entry.append(button);
      entry.value = at + 1;
      list.append(entry);
    });
    const verdict = document.createElement("p");
    verdict.textContent = this.estimate ?? "";
    this.replaceChildren(heading, verdict, list);
    list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} words */
  set verdict(words) {
    this.estimate = words;
    this.draw();
  }
}

customElements.define("vk-queue", Queue);
