// Write the tags, and train on them.

import { alone, ask, at, made, say } from "./wire.js";

const EVERY = 1000; // Milliseconds between two looks at a training that runs.
const STEPS = ["training", "report", "bundle"];
const SAID = {
  running: (now) => `Step ${now.command} of ${STEPS.length}, ${STEPS[now.command - 1]}: running`,
  stopping: () => "Stopping: what is done so far is being saved",
  stopped: (now) => `Stopped in step ${now.command} of ${STEPS.length}, ${STEPS[now.command - 1]}`,
  failed: (now) => `Failed in step ${now.command} of ${STEPS.length}, ${STEPS[now.command - 1]}; the reason is printed last`,
  finished: () => "Finished",
};
let timer = 0;
let before = "";

export function open() {
  at("train").focus();
  look();
}

export const train = () => change("train", { resume: false });
export const resumeTraining = () => change("train", { resume: true });
export const stopTraining = () => change("stop_training", {});

const change = (name, body) => alone(async () => showTraining(await ask(name, body)));

async function look() {
  try {
    showTraining(await ask("training"));
  } catch (error) {
    say(error.message, true);
    timer = setTimeout(look, EVERY);
  }
}

function showTraining(now) {
  clearTimeout(timer);
  const busy = now.state === "running" || now.state === "stopping";
  if (busy && !at("training").hidden) timer = setTimeout(look, EVERY);
  at("train").disabled = busy;
  at("resume-training").hidden = now.state !== "stopped" && now.state !== "failed";
  at("stop-training").hidden = now.state !== "running";
  at("trained").hidden = now.state === "none";
  if (now.state === "none") return;
  const said = SAID[now.state](now);
  if (before && said !== before) say(said); // For screen readers, once; not the counts of every second.
  before = said;
  at("training-said").textContent = [`${now.documents} documents with a tag`, said, ...rate(now)].join(" · ");
  at("training-bar").hidden = !now.progress;
  if (now.progress) at("training-bar").value = now.progress.done / now.progress.total;
  const pairs = [...Object.entries(figures(now)), ...Object.entries(now.found)];
  at("training-found").replaceChildren(...pairs.flatMap(([name, value]) => [made("dt", name), made("dd", value)]));
  at("training-commands").textContent = now.commands.join("\n");
  at("training-lines").textContent = now.lines.join("\n");
}

function rate({ progress }) {
  if (!progress) return [];
  const left = progress.seconds_left;
  const parts = [`${progress.what}: ${progress.done} of ${progress.total} ${progress.unit}`, progress.rate];
  if (left !== null) parts.push(left < 90 ? `${left} s left` : `${Math.round(left / 60)} min left`);
  return parts;
}

function figures({ figures: found }) {
  if (!found) return {};
  const share = (value) => value.toFixed(3);
  return {
    accuracy: `${share(found.accuracy)} on ${found.documents} test documents`,
    "macro F1": share(found.macro_f1),
  };
}

export const write = () => alone(async () => {
  const answer = await ask("export");
  at("files").textContent = `${answer.tags} documents with a tag: ${answer.files.join(", ")}`;
  at("command").textContent = answer.command;
  at("written").hidden = false;
  say("The tags are written.");
});
