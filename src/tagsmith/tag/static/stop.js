// How good the suggestions are on a random sample, what more tags are likely to bring, and who has tagged how much.

import { ask, at, made, say } from "./wire.js";

export const percent = (share) => `${Math.round(100 * share)}%`;
const range = ([low, high]) => `${percent(low)} to ${percent(high)}`;
const points = (share) => `${share < 0 ? "" : "+"}${(100 * share).toFixed(1)}`;

// For the line that is always in view.
export function brief(outlook) {
  if (!outlook) return [];
  const parts = [`accuracy ${percent(outlook.accuracy.value)} (${range(outlook.accuracy.interval)})`];
  if (outlook.macro_f1) parts.push(`macro F1 ${percent(outlook.macro_f1.value)} (${range(outlook.macro_f1.interval)})`);
  if (outlook.gain) parts.push(`${outlook.gain.documents} more tags: ${points(outlook.gain.macro_f1)} points`);
  if (outlook.enough) parts.push("more tags bring less than chance");
  return parts;
}

// A table; a cell that is a number, or begins with a sign, is aligned to the right.
export function table(title, heads, rows) {
  const whole = made("table");
  whole.append(made("caption", title));
  const numeric = heads.map((_, i) => rows.length > 0 && rows.every((row) => /^([-+]?[\d.,]+%?|-|)$/.test(String(row[i]))));
  const line = (kind, cells) => {
    const row = made("tr");
    row.append(...cells.map((cell, i) => {
      const one = made(kind === "th" || i === 0 ? "th" : "td", String(cell), numeric[i] ? "number" : "");
      if (one.tagName === "TH") one.scope = kind === "th" ? "col" : "row";
      return one;
    }));
    return row;
  };
  const head = made("thead");
  head.append(line("th", heads));
  const body = made("tbody");
  body.append(...rows.map((row) => line("td", row)));
  whole.append(head, body);
  const around = made("div", "", "scroll");
  around.tabIndex = 0;
  around.setAttribute("role", "region");
  around.setAttribute("aria-label", title);
  around.append(whole);
  return around;
}

export async function open() {
  at("stop-title").focus();
  try {
    const { status } = await ask("status");
    const sentences = status ? status.sentences : ["After the first tags, figures appear here; they follow in the background."];
    at("outlook").replaceChildren(...sentences.map((one) => made("li", one)));
    at("stop-tables").replaceChildren(...(status ? tables(status) : []));
  } catch (error) {
    say(error.message, true);
  }
}

function tables(status) {
  const people = Object.entries(status.people).map(([name, one]) => [name, one.tags, one.tags_an_hour ? Math.round(one.tags_an_hour) : "-"]);
  const gain = (one) => (one.gain ? one.gain.gain : -Infinity);
  const classes = Object.entries(status.classes).sort(([, a], [, b]) => gain(b) - gain(a));
  const more = status.gain ? `${status.gain.documents} more tags bring, points of F1` : "more tags bring";
  return [
    table("People", ["person", "tags", "tags an hour"], people),
    table("Classes", ["class", "tags", "in the random sample", "F1 there", "95% interval", more, "95% interval"], classes.map(([name, one]) => [
      name, one.tags, one.audit ? one.audit.documents : 0, one.audit ? percent(one.audit.f1) : "-",
      one.audit && one.audit.interval ? range(one.audit.interval) : "-", one.gain ? points(one.gain.gain) : "-",
      one.gain ? `${points(one.gain.low)} to ${points(one.gain.high)}` : "-",
    ])),
  ];
}
