// Keys, clicks, and the first request.

import {
  accept, byDigit, choose, decideAndGoOn, flag, matching, open, openGuideline, openNote, saveNote, setProject,
  showClasses, showGuideline, showNext, undo,
} from "./document.js";
import { toggleAlike } from "./alike.js";
import { chooseMode, lookThrough } from "./modes.js";
import { begin as beginClasses, openAdd } from "./classes.js";
import { showList } from "./list.js";
import { resumeTraining, stopTraining, train, write } from "./training.js";
import { KEYS, isShown, openView } from "./views.js";
import { Refused, alone, ask, at, page, say } from "./wire.js";

const tabOf = (name) => document.querySelector(`nav [data-view="${name}"]`);

const ACTIONS = {
  Enter: accept, " ": () => decideAndGoOn("skip"), Backspace: undo, f: flag, n: openNote, h: openGuideline,
  "/": () => at("filter").focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat || !page.project) return;
  if (document.querySelector("dialog[open]")) return;
  if (!isShown("tagging") && event.key === "Escape") return openView("tagging");
  if (event.target.closest("input, textarea, select")) return;
  if (event.key in KEYS && !tabOf(KEYS[event.key]).hidden) {
    event.preventDefault();
    return openView(KEYS[event.key]);
  }
  if (event.key === "+" && (isShown("tagging") || isShown("schema"))) {
    event.preventDefault();
    return openAdd();
  }
  if (!isShown("tagging")) return;
  if (event.key === "A") return toggleAlike();
  if (event.key === "M") return at("mode").focus();
  if (event.target.closest("button") && (event.key === "Enter" || event.key === " ")) return;
  const many = page.project.classes.length > 10;
  if (/^[0-9]$/.test(event.key)) {
    const one = byDigit()[(Number(event.key) + 9) % 10];
    if (one) choose(one.name);
  } else if (event.key === "-" && page.project.multi_label) {
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
for (const id of ["noting", "guideline", "adding"]) at(id).addEventListener("close", () => isShown("tagging") && open());
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
const CLICKS = {
  accept, none: () => decideAndGoOn("tag", []), skip: () => decideAndGoOn("skip"), undo, flag, "to-note": openNote,
  "to-guideline": openGuideline, "to-alike": toggleAlike, look: lookThrough,
  export: write, train, "resume-training": resumeTraining, "stop-training": stopTraining,
  more: () => showList(at("decisions").children.length),
};
for (const [id, work] of Object.entries(CLICKS)) at(id).addEventListener("click", work);
for (const tab of document.querySelectorAll("nav [data-view]")) {
  tab.addEventListener("click", () => openView(tab.dataset.view));
}
at("of-class").addEventListener("change", showGuideline);
let choosing = 0;
at("mode").addEventListener("change", () => {
  clearTimeout(choosing); // Arrow keys pass through other choices.
  choosing = setTimeout(chooseMode, 400);
});
at("mode").addEventListener("keydown", (event) => event.key === "Escape" && open());
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
    setProject(found);
    openView("tagging");
    await alone(showNext);
  } catch (error) {
    say(error instanceof Refused ? error.message : "The page cannot reach its command; is it still running?", true);
  }
}

beginClasses();
begin();
