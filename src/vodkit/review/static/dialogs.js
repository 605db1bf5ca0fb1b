// @ts-check
// Dialogs: some content, and buttons of which one is pressed.

import { get, stage } from "./parts.js";

/** @param {HTMLDialogElement} dialog @param {string} title @param {(string | HTMLElement)[]} content @param {[string, () => void][]} choices */
export function fill(dialog, title, content, choices) {
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

/** Ask for one value. @param {string} title @param {string} label @param {HTMLElement} field @param {[string, () => void][]} choices */
export function question(title, label, field, choices) {
  const dialog = /** @type {HTMLDialogElement} */ (get("form"));
  const wrap = document.createElement("label");
  wrap.textContent = `${label} `;
  wrap.append(field);
  fill(dialog, title, [wrap], [...choices, ["Cancel", () => {}]]);
  dialog.showModal();
  field.focus();
}
