// The list of decisions: searched, and opened to decide again.

import { show } from "./document.js";
import { openView } from "./views.js";
import { alone, ask, at, made, page, say } from "./wire.js";

let asked = 0;

export async function showList(offset = 0) {
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
  const said = { tag: "", given: "before: ", skip: "skipped", settle: "to settle", open: "not tagged" }[one.status];
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

export function open() {
  at("search").focus();
  showList();
}

export const edit = (id) => alone(async () => {
  const wanted = await ask("document", { name: id });
  if (page.current && page.current.id !== id) page.ahead.unshift(page.current);
  page.ahead = page.ahead.filter((one) => one.id !== id);
  page.current = wanted;
  openView("tagging");
  show();
});
