// Write the tags, and train on them.

import { alone, ask, at, say } from "./wire.js";

export const open = () => at("export").focus();

export const write = () => alone(async () => {
  const answer = await ask("export");
  at("files").textContent = `${answer.tags} documents with a tag: ${answer.files.join(", ")}`;
  at("command").textContent = answer.command;
  at("written").hidden = false;
  say("The tags are written.");
});
