// The classes: add, rename, describe, merge, split, delete; every change can be taken back. Tags follow on the server.

import { classesChanged, showProgress } from "./document.js";
import { alone, ask, at, made, page, save, say } from "./wire.js";

let chosen = null; // The class that the dialog changes.

export async function open() {
  at("schema-title").focus();
  try {
    showClasses(await ask("classes"));
  } catch (error) {
    say(error.message, true);
  }
}

function showClasses(found) {
  showProgress(found);
  at("to-tag-again").hidden = !found.again;
  at("to-tag-again").textContent = `${found.again} documents are to be tagged again; they are shown first.`;
  at("all-classes").replaceChildren(...found.classes.map((one) => {
    const about = [made("span", one.name, "class"), made("span", one.guideline, "about"), made("span", `${one.documents}`, "score")];
    return item(about, () => openClass(one));
  }));
  at("colliding").hidden = found.collisions.length === 0;
  at("collisions").replaceChildren(...found.collisions.map((one) => item([made("span", why(one), "class")], () => {
    openClass(found.classes.find((other) => other.name === one.classes[0]), one.classes[1]);
  })));
  at("class-changes").replaceChildren(...found.changes.map((one) => {
    const line = made("li");
    const when = new Date(one.at * 1000).toLocaleString();
    line.append(made("span", `${one.number}. ${one.what}`, "class"), made("span", [one.person, when].filter(Boolean).join(", "), "about"));
    if (one.held) {
      const back = made("button", "Take back");
      back.type = "button";
      back.setAttribute("aria-label", `Take back change ${one.number}`);
      back.addEventListener("click", () => alone(() => changed("restore_classes", { number: one.number })));
      line.append(back);
    }
    return line;
  }));
}

function item(parts, work) {
  const button = made("button");
  button.type = "button";
  button.append(...parts);
  button.addEventListener("click", work);
  const line = made("li");
  line.append(button);
  return line;
}

const times = (count) => (count === 1 ? "once" : `${count} times`);

function why(one) {
  const reasons = [];
  if (one.changed) reasons.push(`minds changed between them ${times(one.changed)}`);
  if (one.missed) reasons.push(`the suggestion was the other one ${times(one.missed)}`);
  if (one.similar) reasons.push("their names are nearly the same");
  return `${one.classes.join(" and ")}: ${reasons.join("; ")}`;
}

// Dialogs

export function openAdd() {
  at("add-form").reset();
  at("adding").showModal();
}

function openClass(one, other = "") {
  chosen = one;
  const others = page.project.classes.map((two) => two.name).filter((name) => name !== one.name);
  at("changing-title").textContent = one.name;
  at("class-name").value = at("merged-name").value = one.name;
  at("class-guideline").value = one.guideline;
  at("merge-with").replaceChildren(...others.map((name) => new Option(name, name)));
  if (other) at("merge-with").value = other;
  at("merge-form").hidden = others.length === 0;
  at("parts").value = `${one.name}\n`;
  const again = page.project.multi_label ? "lose it" : "are tagged again";
  at("delete-note").textContent = one.documents ? `Its documents (${one.documents}) ${again}.` : "No document has it.";
  at("changing-problem").textContent = "";
  at("changing").showModal();
}

async function changed(request, body) {
  showProgress(await save(request, body));
  await classesChanged();
  if (!at("schema").hidden) await open();
}

const change = (changes, problem) => alone(async () => {
  try {
    if (Object.keys(changes).length) await changed("change_classes", { changes });
    at("changing").close();
    at("adding").close();
  } catch (error) {
    if (!problem) throw error;
    problem.textContent = error.message;
  }
});

function submits(form, changes) {
  at(form).addEventListener("submit", (event) => {
    event.preventDefault();
    change(changes(), at("changing-problem"));
  });
}

export function begin() {
  at("add-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = at("new-name").value.trim(), text = at("new-guideline").value.trim();
    at("adding").close();
    change({ add: [name], ...(text ? { describe: { [name]: text } } : {}) });
  });
  submits("edit-form", () => {
    const name = at("class-name").value.trim(), text = at("class-guideline").value.trim();
    const rename = name === chosen.name ? {} : { rename: { [chosen.name]: name } };
    return { ...rename, ...(text === chosen.guideline ? {} : { describe: { [name]: text } }) };
  });
  submits("merge-form", () => ({ merge: { [at("merged-name").value.trim()]: [chosen.name, at("merge-with").value] } }));
  submits("split-form", () => ({
    split: { [chosen.name]: at("parts").value.split("\n").map((name) => name.trim()).filter(Boolean) },
  }));
  submits("delete-form", () => ({ delete: [chosen.name] }));
  at("add-class").addEventListener("click", openAdd);
  at("to-add").addEventListener("click", openAdd);
}
