// What is looked through instead of new documents: suspected tags, one class, disagreements, a search.

import { showNext } from "./document.js";
import { openView } from "./views.js";
import { alone, ask, at, page, say } from "./wire.js";

export function showModes() {
  const chosen = at("mode").value;
  const options = [["new", "what is new"], ["suspected", "suspected tags"], ["disagreements", "disagreements"], ["search", "a search"]];
  const classes = document.createElement("optgroup");
  classes.label = "one class";
  classes.append(...page.project.classes.map((one) => new Option(one.name, "class " + one.name)));
  at("mode").replaceChildren(...options.map(([value, text]) => new Option(text, value)), classes);
  at("mode").value = chosen || "new";
  if (!at("mode").value) at("mode").value = "new";
}

export const chooseMode = () => alone(async () => {
  const value = at("mode").value;
  if (value === "search") {
    at("mode").value = page.looking ? page.looking.value : "new";
    openView("list");
    return say("Type what to look for, then look through all documents with it.");
  }
  if (value === "new") return leave("");
  const [mode, name] = value.startsWith("class ") ? ["class", value.slice(6)] : [value, ""];
  if (mode === "suspected") say("Comparing the tags with what regressions without them suggest.");
  await look(mode, name, value);
});

export const lookThrough = () => alone(async () => {
  const name = at("search").value.trim();
  if (!name) return say("Type what to look for first.", true);
  openView("tagging");
  await look("search", name, "search");
});

async function look(mode, name, value) {
  const found = await ask("look", { mode, name });
  if (found.documents.length === 0) return leave("There are no such documents; what is new follows.");
  page.looking = { value, left: found.documents, total: found.documents.length };
  page.ahead = [];
  at("mode").value = value;
  say("");
  await showNext();
}

async function leave(text) {
  page.looking = null;
  page.ahead = [];
  at("mode").value = "new";
  await showNext();
  say(text);
}

// The next documents of what is looked through; none where it is at its end.
export async function fetchLooked(most) {
  const documents = [], { left } = page.looking;
  while (documents.length < most && left.length) {
    documents.push(await ask("document", { name: left.shift() }));
  }
  return documents;
}
