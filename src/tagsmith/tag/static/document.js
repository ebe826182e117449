// The document to tag: fetched ahead, decided by keys, shown with its classes.

import { brief } from "./stop.js";
import { chosenAlike, showAlike } from "./alike.js";
import { fetchLooked, showModes } from "./modes.js";
import { Refused, alone, ask, at, made, page, save, say } from "./wire.js";

const AHEAD = 3; // Documents that are fetched before they are shown.
let fetching = null;

async function fetchAhead() {
  if (page.looking) {
    const looking = page.looking, found = await fetchLooked(AHEAD - page.ahead.length);
    if (page.looking === looking) page.ahead.push(...found);
    return;
  }
  const shown = [...(page.current ? [page.current] : []), ...page.ahead].map((one) => one.id);
  const answer = await ask("next", { count: AHEAD, without: shown });
  const known = new Set([...(page.current ? [page.current.id] : []), ...page.ahead.map((one) => one.id)]);
  page.ahead.push(...answer.documents.filter((one) => !known.has(one.id)));
  showProgress(answer);
}

function refill() {
  if (!fetching && page.ahead.length < AHEAD) fetching = fetchAhead().finally(() => { fetching = null; });
  return fetching;
}

export async function showNext() {
  if (page.ahead.length === 0) {
    page.current = null;
    await refill();
    if (page.ahead.length === 0 && page.looking) {
      page.looking = null;
      at("mode").value = "new";
      say("These were all; what is new follows.");
    }
    if (page.ahead.length === 0) await refill();
  }
  page.current = page.ahead.shift() || null;
  show();
  if (page.current) Promise.resolve(refill()).catch(() => {});
}

export const open = () => at("document").focus({ preventScroll: true });

// Decisions

async function decide(kind, tags, note = "") {
  const suggested = page.current.suggestions.filter((one) => !page.project.multi_label || one.take).map((one) => one.name);
  const source = page.current.suggestions.length ? page.current.suggestions[0].source : null;
  const body = { document: page.current.id, kind, tags, note, suggestion: suggested, reason: page.current.reason };
  body.source = source;
  body.classes = page.project.classes_version;
  if (kind === "tag") body.alike = chosenAlike();
  try {
    const answer = await save("decisions", body);
    const together = new Set(body.alike);
    page.ahead = page.ahead.filter((one) => !together.has(one.id));
    showProgress(answer);
    return { collision: answer.collision, together: together.size };
  } catch (error) {
    if (error instanceof Refused) await classesChanged(); // By somebody else, perhaps.
    throw error;
  }
}

export const decideAndGoOn = (kind, tags = []) => alone(async () => {
  if (!page.current) return;
  if (kind === "skip" && page.looking && page.current.tags) return showNext(); // Its tag stays.
  const { collision, together } = await decide(kind, tags);
  page.ahead = page.ahead.filter((one) => one.id !== page.current.id);
  await showNext();
  if (together) say(`Tagged ${together + 1} documents alike; undo takes all of them back.`);
  if (collision) {
    const [one, other] = collision.classes;
    say(`You changed your mind between ${one} and ${other} ${collision.times} times: a guideline may help, or one class for both (Classes).`);
  }
});

export function accept() {
  if (!page.current) return;
  if (page.project.multi_label) {
    if (page.marked.size === 0) return say("Mark the classes, or press - for none of them.", true);
    decideAndGoOn("tag", page.project.classes.map((one) => one.name).filter((name) => page.marked.has(name)));
  } else if (page.looking && page.current.tags) {
    decideAndGoOn("tag", page.current.tags); // The tag is right.
  } else if (page.current.suggestions.length === 0) {
    say("There is no suggestion to accept: choose a class.", true);
  } else {
    decideAndGoOn("tag", [page.current.suggestions[0].name]);
  }
}

export function choose(name) {
  if (!page.current || page.busy) return;
  if (!page.project.multi_label) return decideAndGoOn("tag", [name]);
  if (!page.marked.delete(name)) page.marked.add(name);
  showMarked();
}

export const undo = () => alone(async () => {
  const answer = await save("undo", {});
  showProgress(answer);
  if (!answer.document) return say("There is nothing left to undo.");
  const same = page.current && page.current.id === answer.document.id;
  if (page.current && !same) page.ahead.unshift(page.current);
  page.ahead = page.ahead.filter((one) => one.id !== answer.document.id);
  page.current = answer.document;
  show();
  say(`Taken back: ${answer.kind} ${answer.taken_back.join(", ")}`);
});

export const flag = () => alone(async () => {
  if (!page.current) return;
  await decide("flag", []);
  page.current.flagged = !page.current.flagged;
  showAbout();
});

export const saveNote = () => alone(async () => {
  const text = at("note-text").value.trim();
  at("noting").close();
  if (!page.current || text === page.current.note) return;
  await decide("note", [], text);
  page.current.note = text;
  showAbout();
});

// What is shown

export function showProgress(answer) {
  const { documents, tagged, skipped, given, left, flagged, disputed, tags_an_hour: pace } = answer.progress;
  const parts = [`${tagged} tagged`, `${left} left of ${documents}`];
  if (given) parts.push(`${given} tagged before`);
  if (skipped) parts.push(`${skipped} skipped`);
  if (flagged) parts.push(`${flagged} flagged`);
  if (disputed) parts.push(`${disputed} to settle`);
  if (pace) parts.push(`${Math.round(pace)} tags an hour`);
  parts.push(...brief(answer.outlook));
  if (answer.accepted) parts.push(answer.accepted);
  if (answer.status) parts.push(answer.status);
  at("progress").textContent = parts.join(" · ");
  at("bar").max = Math.max(1, documents);
  at("bar").value = documents - left;
  if (answer.classes_version !== page.project.classes_version) classesChanged().catch(() => {});
}

// The classes, and the suggestions of the documents that were fetched ahead, as they are now.
export async function classesChanged() {
  const found = await ask("project");
  if (found.classes_version === page.project.classes_version) return;
  setProject(found);
  if (page.looking) page.looking.left.unshift(...page.ahead.map((one) => one.id));
  page.ahead = [];
  if (!page.current) return showNext();
  const now = await ask("document", { name: page.current.id });
  if (page.current.id !== now.id) return;
  page.current = { ...now, reason: page.current.reason };
  showDocument();
  Promise.resolve(refill()).catch(() => {});
}

export function setProject(found) {
  page.project = found;
  at("of-class").replaceChildren(...found.classes.map((one) => new Option(one.name, one.name)));
  at("finding").hidden = found.classes.length <= 10;
  showModes();
  at("no-classes").hidden = found.classes.length > 0;
  at("none").hidden = !found.multi_label || found.classes.length === 0;
}

export function show() {
  showDocument();
  open();
}

function showDocument() {
  at("filter").value = "";
  if (page.current) {
    at("text").textContent = page.current.text;
    at("text").scrollTop = 0;
    const suggested = page.current.suggestions.filter((one) => one.take).map((one) => one.name);
    page.marked = new Set(page.project.multi_label ? page.current.tags || page.current.again?.kept || suggested : []);
  } else {
    at("text").textContent = "";
    say("No documents are left. Write the tags, or look through the decisions.");
  }
  for (const id of ["choices", "text"]) at(id).hidden = !page.current;
  showAbout();
  showAlike();
  showSuggestions();
  showClasses();
}

function showAbout() {
  const parts = page.current ? [page.current.id, page.current.reason.replaceAll("_", " ")] : ["No documents are left."];
  if (page.looking && page.current) parts.push(`${page.looking.left.length + page.ahead.length} more`);
  if (page.current && page.current.tags) parts.push(`tagged ${page.current.tags.join(", ") || "with no class"}`);
  if (page.current && page.current.again) {
    const { had, choices } = page.current.again;
    parts.push(`was ${had.join(", ")}${choices.length ? `, now ${choices.join(" or ")}` : ""}`);
  }
  if (page.current && page.current.status === "skip") parts.push("skipped");
  if (page.current && page.current.flagged) parts.push("flagged");
  at("about").textContent = parts.filter(Boolean).join(" · ");
  at("note").textContent = page.current && page.current.note ? `Note: ${page.current.note}` : "";
  at("note").hidden = !at("note").textContent;
  at("flag").setAttribute("aria-pressed", String(Boolean(page.current && page.current.flagged)));
}

function classButton(name, key, score) {
  const button = made("button");
  button.type = "button";
  button.dataset.name = name;
  if (key) button.append(made("kbd", key));
  button.append(made("span", name, "class"));
  if (score !== undefined && score !== null) button.append(made("span", score.toFixed(2), "score"));
  if (page.project.multi_label) button.setAttribute("aria-pressed", String(page.marked.has(name)));
  button.addEventListener("click", () => choose(name));
  const item = made("li");
  item.append(button);
  return item;
}

// The classes that digits choose: with more than ten classes the suggestions, if there are any.
export function byDigit() {
  const found = page.current ? page.current.suggestions : [];
  return page.project.classes.length > 10 && found.length ? found : page.project.classes;
}

function showSuggestions() {
  const found = page.current ? page.current.suggestions : [];
  const digits = byDigit() === found;
  const key = (place) => (place === 0 && !page.project.multi_label ? "Enter" : digits ? String(place + 1) : "");
  at("suggestions").replaceChildren(...found.map((one, place) => {
    const item = classButton(one.name, key(place), one.score);
    if (one.source === "llm" && one.take) item.firstChild.append(made("span", "language model", "score"));
    return item;
  }));
  at("suggestions").hidden = found.length === 0;
}

export const folded = (text) => text.toLowerCase().normalize("NFD").replace(/[\u0300-\u036f]/g, "");

// How well a class fits what was typed, 0 best; null: not at all. Letters may be left out.
function fit(name, typed) {
  const place = name.indexOf(typed);
  if (place >= 0) return place === 0 ? 0 : /\w/.test(name[place - 1]) ? 2 : 1;
  let last = -1;
  for (const letter of typed) {
    last = name.indexOf(letter, last + 1);
    if (last < 0) return null;
  }
  return 3;
}

export function matching() {
  const typed = folded(at("filter").value.trim());
  const suggested = page.current && typed ? page.current.suggestions.map((one) => one.name) : [];
  const order = ({ name, place }) => (suggested.includes(name) ? suggested.indexOf(name) - suggested.length : place);
  const found = page.project.classes.map((one, place) => ({ ...one, place, fit: fit(folded(one.name), typed) }));
  return found.filter((one) => one.fit !== null).sort((a, b) => a.fit - b.fit || order(a) - order(b));
}

export function showClasses() {
  const typed = at("filter").value.trim() !== "";
  const digit = (place) => (place < 10 && byDigit() === page.project.classes ? String((place + 1) % 10) : "");
  at("classes").replaceChildren(...matching().map((one, order) => {
    const item = classButton(one.name, typed ? (order === 0 ? "Enter" : "") : digit(one.place));
    if (typed && order === 0) item.className = "first";
    return item;
  }));
}

function showMarked() {
  for (const button of document.querySelectorAll("#classes button, #suggestions button")) {
    button.setAttribute("aria-pressed", String(page.marked.has(button.dataset.name)));
  }
}

// Guidelines

export async function showGuideline() {
  const name = at("of-class").value;
  const { guideline } = page.project.classes.find((one) => one.name === name);
  at("guideline-text").textContent = guideline || "There is no guideline; classes={NAME: TEXT} gives one.";
  at("examples").replaceChildren();
  try {
    const { texts } = await ask("examples", { name });
    if (at("of-class").value !== name) return;
    at("examples").replaceChildren(...texts.map((text) => made("li", text)));
    at("examples-title").hidden = texts.length === 0;
  } catch (error) {
    say(error.message, true);
  }
}

export function openGuideline() {
  const best = at("finding").hidden || !at("filter").value ? page.current && page.current.suggestions[0] : matching()[0];
  if (best) at("of-class").value = best.name;
  at("guideline").showModal();
  showGuideline();
}

export function openNote() {
  if (!page.current || page.busy) return;
  at("note-text").value = page.current.note;
  at("noting").showModal();
}
