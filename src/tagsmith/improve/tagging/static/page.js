"use strict";

// Texts, classes and notes are inserted as text, never as markup.
const at = (id) => document.getElementById(id);
const token = decodeURIComponent(location.hash.slice(1));
const AHEAD = 3; // Documents that are fetched before they are shown.

let project = null;
let current = null; // The document that is shown.
let ahead = []; // The next ones.
let marked = new Set(); // The classes that Enter saves (multi-label).
let busy = false;
let fetching = null;

function made(kind, text = "", kind_of = "") {
  const element = document.createElement(kind);
  element.textContent = text;
  if (kind_of) element.className = kind_of;
  return element;
}

function say(text, problem = false) {
  at("message").textContent = text;
  at("message").classList.toggle("problem", problem);
}

// Requests

class Refused extends Error {}

async function ask(name, body = {}) {
  const response = await fetch("/api/" + name, {
    method: "POST",
    headers: { Authorization: "Bearer " + token, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const content = await response.json();
  if (!response.ok) throw new Refused(content.error);
  return content;
}

// Until the server has it on its disk. Sent again with the same key, a decision counts once.
async function save(name, body) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  body.key = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  for (;;) {
    try {
      const answer = await ask(name, body);
      say("");
      return answer;
    } catch (error) {
      if (error instanceof Refused) throw error;
      say("Not saved yet: no connection. Trying again.", true);
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

// One request at a time; keys are ignored until it is answered.
async function alone(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
  } catch (error) {
    say(error.message, true);
  } finally {
    busy = false;
  }
}

async function fetchAhead() {
  const shown = [...(current ? [current] : []), ...ahead].map((one) => one.id);
  const answer = await ask("next", { count: AHEAD, without: shown });
  const known = new Set([...(current ? [current.id] : []), ...ahead.map((one) => one.id)]);
  ahead.push(...answer.documents.filter((one) => !known.has(one.id)));
  showProgress(answer);
}

function refill() {
  if (!fetching && ahead.length < AHEAD) fetching = fetchAhead().finally(() => { fetching = null; });
  return fetching;
}

async function showNext() {
  if (ahead.length === 0) {
    current = null;
    await refill();
    if (ahead.length === 0) await refill();
  }
  current = ahead.shift() || null;
  show();
  if (current) Promise.resolve(refill()).catch(() => {});
}

// Decisions

async function decide(kind, tags, note = "") {
  const suggested = current.suggestions.filter((one) => !project.multi_label || one.take).map((one) => one.name);
  const body = { document: current.id, kind, tags, note, suggestion: suggested, reason: current.reason };
  showProgress(await save("decisions", body));
}

const decideAndGoOn = (kind, tags = []) => alone(async () => {
  if (!current) return;
  await decide(kind, tags);
  ahead = ahead.filter((one) => one.id !== current.id);
  await showNext();
});

function accept() {
  if (!current) return;
  if (project.multi_label) {
    if (marked.size === 0) return say("Mark the classes, or press - for none of them.", true);
    decideAndGoOn("tag", project.classes.map((one) => one.name).filter((name) => marked.has(name)));
  } else if (current.suggestions.length === 0) {
    say("There is no suggestion to accept: choose a class.", true);
  } else {
    decideAndGoOn("tag", [current.suggestions[0].name]);
  }
}

function choose(name) {
  if (!current || busy) return;
  if (!project.multi_label) return decideAndGoOn("tag", [name]);
  if (!marked.delete(name)) marked.add(name);
  showMarked();
}

const undo = () => alone(async () => {
  const answer = await save("undo", {});
  showProgress(answer);
  if (!answer.document) return say("There is nothing left to undo.");
  const same = current && current.id === answer.document.id;
  if (current && !same) ahead.unshift(current);
  ahead = ahead.filter((one) => one.id !== answer.document.id);
  current = answer.document;
  show();
  say(`Taken back: ${answer.kind} ${answer.taken_back.join(", ")}`);
});

const flag = () => alone(async () => {
  if (!current) return;
  await decide("flag", []);
  current.flagged = !current.flagged;
  showAbout();
});

const saveNote = () => alone(async () => {
  const text = at("note-text").value.trim();
  at("noting").close();
  if (!current || text === current.note) return;
  await decide("note", [], text);
  current.note = text;
  showAbout();
});

const write = () => alone(async () => {
  const answer = await ask("export");
  at("files").textContent = `${answer.tags} documents with a tag: ${answer.files.join(", ")}`;
  at("command").textContent = answer.command;
  at("written").hidden = false;
  at("written").scrollIntoView();
  say("The tags are written.");
});

// What is shown

function showProgress(answer) {
  const { documents, tagged, skipped, given, left, flagged, tags_an_hour: pace } = answer.progress;
  const parts = [`${tagged} tagged`, `${left} left of ${documents}`];
  if (given) parts.push(`${given} tagged before`);
  if (skipped) parts.push(`${skipped} skipped`);
  if (flagged) parts.push(`${flagged} flagged`);
  if (pace) parts.push(`${Math.round(pace)} tags an hour`);
  if (answer.status) parts.push(answer.status);
  at("progress").textContent = parts.join(" · ");
  at("bar").max = Math.max(1, documents);
  at("bar").value = documents - left;
}

function show() {
  at("filter").value = "";
  if (current) {
    at("text").textContent = current.text;
    at("text").scrollTop = 0;
    const suggested = current.suggestions.filter((one) => one.take).map((one) => one.name);
    marked = new Set(project.multi_label ? current.tags || suggested : []);
  } else {
    at("text").textContent = "";
    say("No documents are left. Write the tags, or look through the decisions.");
  }
  for (const id of ["choices", "text"]) at(id).hidden = !current;
  showAbout();
  showSuggestions();
  showClasses();
  at("document").focus({ preventScroll: true });
}

function showAbout() {
  const parts = current ? [current.id, current.reason.replaceAll("_", " ")] : ["No documents are left."];
  if (current && current.tags) parts.push(`tagged ${current.tags.join(", ") || "with no class"}`);
  if (current && current.status === "skip") parts.push("skipped");
  if (current && current.flagged) parts.push("flagged");
  at("about").textContent = parts.filter(Boolean).join(" · ");
  at("note").textContent = current && current.note ? `Note: ${current.note}` : "";
  at("note").hidden = !at("note").textContent;
  at("flag").setAttribute("aria-pressed", String(Boolean(current && current.flagged)));
}

function classButton(name, key, score) {
  const button = made("button");
  button.type = "button";
  button.dataset.name = name;
  if (key) button.append(made("kbd", key));
  button.append(made("span", name, "class"));
  if (score !== undefined && score !== null) button.append(made("span", score.toFixed(2), "score"));
  if (project.multi_label) button.setAttribute("aria-pressed", String(marked.has(name)));
  button.addEventListener("click", () => choose(name));
  const item = made("li");
  item.append(button);
  return item;
}

function showSuggestions() {
  const found = current ? current.suggestions : [];
  const enter = (place) => (place === 0 && !project.multi_label ? "Enter" : "");
  at("suggestions").replaceChildren(...found.map((one, place) => classButton(one.name, enter(place), one.score)));
  at("suggestions").hidden = found.length === 0;
}

const folded = (text) => text.toLowerCase().normalize("NFD").replace(/[\u0300-\u036f]/g, "");

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

function matching() {
  const typed = folded(at("filter").value.trim());
  const found = project.classes.map((one, place) => ({ ...one, place, fit: fit(folded(one.name), typed) }));
  return found.filter((one) => one.fit !== null).sort((a, b) => a.fit - b.fit || a.place - b.place);
}

function showClasses() {
  const typed = at("filter").value.trim() !== "";
  const digit = (place) => (place < 10 ? String((place + 1) % 10) : "");
  at("classes").replaceChildren(...matching().map((one, order) => {
    const item = classButton(one.name, typed ? (order === 0 ? "Enter" : "") : digit(one.place));
    if (typed && order === 0) item.className = "first";
    return item;
  }));
}

function showMarked() {
  for (const button of document.querySelectorAll("#classes button, #suggestions button")) {
    button.setAttribute("aria-pressed", String(marked.has(button.dataset.name)));
  }
}

// Guidelines

async function showGuideline() {
  const name = at("of-class").value;
  const { guideline } = project.classes.find((one) => one.name === name);
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

function openGuideline() {
  const best = at("finding").hidden || !at("filter").value ? current && current.suggestions[0] : matching()[0];
  if (best) at("of-class").value = best.name;
  at("guideline").showModal();
  showGuideline();
}

function openNote() {
  if (!current || busy) return;
  at("note-text").value = current.note;
  at("noting").showModal();
}

// The list of decisions

let asked = 0;

async function showList(offset = 0) {
  const number = ++asked;
  try {
    const found = await ask("list", { search: at("search").value, which: at("which").value, offset });
    if (number !== asked) return; // A later request is on its way.
    if (offset === 0) at("decisions").replaceChildren();
    at("decisions").append(...found.documents.map(listItem));
    const shown = at("decisions").children.length;
    at("found").textContent = found.total === 1 ? "1 document" : `${found.total} documents`;
    at("more").hidden = shown >= found.total;
  } catch (error) {
    say(error.message, true);
  }
}

function listItem(one) {
  const said = { tag: "", given: "before: ", skip: "skipped", open: "not tagged" }[one.status];
  const tags = one.tags ? one.tags.join(", ") || "no class" : "";
  const parts = [said + tags, one.flagged ? "flagged" : "", one.note ? "note" : "", one.person];
  const button = made("button");
  button.type = "button";
  button.append(made("span", parts.filter(Boolean).join(" · "), "about"), made("span", one.beginning, "class"));
  button.addEventListener("click", () => edit(one.id));
  const item = made("li");
  item.append(button);
  return item;
}

function toggleList(open) {
  at("list").hidden = !open;
  at("tagging").hidden = open;
  at("to-list").setAttribute("aria-expanded", String(open));
  if (!open) return at("document").focus();
  at("search").focus();
  showList();
}

const edit = (id) => alone(async () => {
  const wanted = await ask("document", { name: id });
  if (current && current.id !== id) ahead.unshift(current);
  ahead = ahead.filter((one) => one.id !== id);
  current = wanted;
  toggleList(false);
  show();
});

// Keys

const ACTIONS = {
  Enter: accept, " ": () => decideAndGoOn("skip"), Backspace: undo, f: flag, n: openNote, h: openGuideline,
  l: () => toggleList(true), "/": () => at("filter").focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat || !project) return;
  if (document.querySelector("dialog[open]")) return;
  if (!at("list").hidden) {
    if (event.key === "Escape") toggleList(false);
    return;
  }
  if (event.target.closest("input, textarea, select")) return;
  if (event.target.closest("button") && (event.key === "Enter" || event.key === " ")) return;
  const many = project.classes.length > 10;
  if (/^[0-9]$/.test(event.key)) {
    const one = project.classes[(Number(event.key) + 9) % 10];
    if (one) choose(one.name);
  } else if (event.key === "-" && project.multi_label) {
    decideAndGoOn("tag", []);
  } else if (event.key in ACTIONS && (event.key !== "/" || many)) {
    ACTIONS[event.key]();
  } else if (many && /^\p{L}$/u.test(event.key)) {
    at("filter").focus(); // The letter then arrives there.
    return;
  } else {
    return;
  }
  event.preventDefault();
});

at("filter").addEventListener("input", showClasses);
at("filter").addEventListener("keydown", (event) => {
  if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
  event.preventDefault();
  const first = event.key === "Enter" && at("filter").value.trim() && matching()[0];
  at("filter").value = "";
  showClasses();
  at("document").focus();
  if (first) choose(first.name);
});
at("note-form").addEventListener("submit", (event) => { event.preventDefault(); saveNote(); });
at("note-text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) saveNote();
});
for (const id of ["noting", "guideline"]) at(id).addEventListener("close", () => at("document").focus());
const CLICKS = {
  accept, none: () => decideAndGoOn("tag", []), skip: () => decideAndGoOn("skip"), undo, flag, "to-note": openNote,
  "to-guideline": openGuideline, "to-list": () => toggleList(at("list").hidden), "close-list": () => toggleList(false),
  export: write, more: () => showList(at("decisions").children.length), "close-note": () => at("noting").close(),
  "close-guideline": () => at("guideline").close(),
};
for (const [id, work] of Object.entries(CLICKS)) at(id).addEventListener("click", work);
at("of-class").addEventListener("change", showGuideline);
at("which").addEventListener("change", () => showList());
let waiting = 0;
at("search").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(showList, 200);
});
// Another address in the same window is another person.
addEventListener("hashchange", () => location.reload());

async function begin() {
  try {
    const found = await ask("project");
    at("name").textContent = `${found.name} · ${found.person}`;
    document.title = `${found.name}: tagging`;
    at("of-class").replaceChildren(...found.classes.map((one) => new Option(one.name, one.name)));
    at("finding").hidden = found.classes.length <= 10;
    at("none").hidden = !found.multi_label;
    at("tagging").hidden = false;
    project = found;
    await alone(showNext);
  } catch (error) {
    say(error instanceof Refused ? error.message : "The page cannot reach its command; is it still running?", true);
  }
}

begin();
