// One view at a time: a section of page.html, and a module that exports open(), which is called when it is shown.

import * as schema from "./classes.js";
import * as tagging from "./document.js";
import * as list from "./list.js";
import * as people from "./people.js";
import * as stop from "./stop.js";
import * as training from "./training.js";
import { at } from "./wire.js";

const VIEWS = { tagging, list, schema, people, stop, training };

// Capital letters, as small ones begin the name of a class.
export const KEYS = { l: "list", C: "schema", P: "people", S: "stop", T: "training" };

let shown = "";

export const isShown = (name) => shown === name;

export function openView(name) {
  shown = name;
  for (const other of Object.keys(VIEWS)) at(other).hidden = other !== name;
  for (const tab of document.querySelectorAll("nav [data-view]")) {
    if (tab.dataset.view === name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  VIEWS[name].open();
}
