// Near-copies of the document: shown on demand, and tagged together with it while they are in view.

import { alone, ask, at, made, page } from "./wire.js";

export function showAlike() {
  const shown = page.current;
  showCount(shown ? shown.alike : 0);
  close();
  if (!shown || !shown.alike) return;
  // Some may have been tagged since the document was fetched.
  ask("alike", { name: shown.id }).then(({ documents }) => {
    shown.alike = documents.length;
    if (page.current === shown) showCount(shown.alike);
  }).catch(() => {});
}

function showCount(count) {
  at("to-alike").hidden = !count;
  at("to-alike").replaceChildren(`${count} ${count === 1 ? "document is" : "documents are"} nearly the same: tag all alike `, made("kbd", "A"));
}

function close() {
  at("copies").hidden = true;
  at("to-alike").setAttribute("aria-expanded", "false");
  at("copy-list").replaceChildren();
}

export const toggleAlike = () => alone(async () => {
  if (!page.current || !page.current.alike) return;
  if (!at("copies").hidden) return close();
  const { documents } = await ask("alike", { name: page.current.id });
  at("copy-list").replaceChildren(...documents.map((one) => {
    const box = document.createElement("input"), label = made("label"), text = made("span", one.text), line = made("li");
    box.type = "checkbox";
    box.checked = true;
    box.value = one.id;
    text.dir = "auto";
    label.append(box, text);
    line.append(label);
    return line;
  }));
  at("copies").hidden = false;
  at("to-alike").setAttribute("aria-expanded", "true");
  at("document").focus({ preventScroll: true });
});

// The documents that are tagged together with the one in view.
export const chosenAlike = () => Array.from(document.querySelectorAll("#copies:not([hidden]) input:checked"), (box) => box.value);
