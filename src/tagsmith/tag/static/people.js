// Answers that differ, one document at a time, and how well people agree.

import { showProgress } from "./document.js";
import { edit } from "./list.js";
import { percent, table } from "./stop.js";
import { alone, ask, at, made, page, save, say } from "./wire.js";

let current = null; // The document to settle.
let passed = 0; // How many are left for later.

export async function open() {
  passed = 0;
  at("people-title").focus();
  try {
    await showDisputed();
    showAgreement(await ask("agreement"));
  } catch (error) {
    say(error.message, true);
  }
}

async function showDisputed() {
  let { total, documents } = await ask("disputed", { offset: passed });
  if (documents.length === 0 && passed > 0) {
    passed = 0;
    ({ total, documents } = await ask("disputed", { offset: 0 }));
  }
  current = documents[0] || null;
  at("to-settle").textContent = total === 0 ? "No answers differ." : total === 1 ? "The answers to 1 document differ." : `The answers to ${total} documents differ.`;
  at("disputed").hidden = !current;
  if (!current) return;
  at("disputed-text").textContent = current.text;
  at("disputed-note").textContent = current.note;
  at("disputed-note").hidden = !current.note;
  at("answers").replaceChildren(...distinct().map(([, tags, people], place) => {
    const button = made("button");
    button.type = "button";
    button.append(made("kbd", place < 9 ? String(place + 1) : ""), made("span", named(tags), "class"), made("span", people.join(", "), "about"));
    button.addEventListener("click", () => settle(tags));
    const item = made("li");
    item.append(button);
    return item;
  }));
  const classes = new Set(current.answers.flatMap((one) => one.tags || []));
  at("answered-guidelines").replaceChildren(...page.project.classes.filter((one) => classes.has(one.name) && one.guideline).flatMap(
    (one) => [made("dt", one.name), made("dd", one.guideline)],
  ));
}

const named = (tags) => tags.join(", ") || "no class";

// The different answers, each with its people; a skip is none.
function distinct() {
  const found = new Map();
  for (const { person, tags } of current.answers) {
    if (!tags) continue;
    const key = JSON.stringify([...tags].sort());
    if (!found.has(key)) found.set(key, [key, tags, []]);
    found.get(key)[2].push(person);
  }
  return [...found.values()];
}

const settle = (tags) => alone(async () => {
  const { id } = current;
  showProgress(await save("decisions", { document: id, kind: "tag", tags, reason: "chosen", classes: page.project.classes_version }));
  say(`Settled: ${named(tags)}`);
  await showDisputed();
});

const takeBack = () => alone(async () => {
  const answer = await save("undo", {});
  showProgress(answer);
  say(answer.document ? `Taken back: ${answer.kind} ${answer.taken_back.join(", ")}` : "There is nothing left to undo.");
  passed = 0;
  await showDisputed();
});

const later = () => alone(async () => {
  passed += 1;
  await showDisputed();
});

at("settle-other").addEventListener("click", () => current && edit(current.id));
at("settle-later").addEventListener("click", later);
at("settle-undo").addEventListener("click", takeBack);
document.addEventListener("keydown", (event) => {
  if (at("people").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("button") && event.key === " ") return;
  const chosen = current && /^[1-9]$/.test(event.key) && distinct()[Number(event.key) - 1];
  if (chosen) settle(chosen[1]);
  else if (event.key === " " && current) later();
  else if (event.key === "Backspace") takeBack();
  else return;
  event.preventDefault();
});

// Agreement

function showAgreement(found) {
  const rows = [
    ["all answers", found.between_people], ["suggestions shown", found.with_suggestions],
    ["suggestions hidden", found.without_suggestions],
    ...Object.entries(found.with_themselves).map(([person, one]) => [`${person}, tagged twice`, one]),
  ].filter(([, one]) => one);
  at("no-agreement").hidden = rows.length > 0;
  const parts = [];
  if (rows.length) {
    const shown = rows.map(([name, one]) => [name, one.documents, percent(one.agreed), one.method.replace("_", " "), ...figures(one)]);
    parts.push(table("By kind of answers", ["of", "documents", "all the same", "figure", "value", "95% interval"], shown));
  }
  if (found.between_people) {
    const classes = Object.entries(found.between_people.classes).sort(([, a], [, b]) => (a.value ?? 1) - (b.value ?? 1));
    parts.push(table("By class", ["class", "documents", "value", "95% interval"], classes.map(([name, one]) => [name, one.documents, ...figures(one)])));
  }
  at("agreement").replaceChildren(...parts);
}

const figures = (one) => (one.value === null ? ["-", "all answers are the same"] : [one.value.toFixed(2), `${one.low.toFixed(2)} to ${one.high.toFixed(2)}`]);
