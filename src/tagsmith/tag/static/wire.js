// What every part of the page uses: the requests, the state, elements. Texts, classes and notes are inserted as text,
// never as markup.

export const at = (id) => document.getElementById(id);
export const token = decodeURIComponent(location.hash.slice(1));

// project: the answer to the first request. current: the document that is shown. ahead: the next ones. marked: the
// classes that Enter saves (multi-label). busy: a decision is on its way.
export const page = { project: null, current: null, ahead: [], looking: null, marked: new Set(), busy: false };

export function made(kind, text = "", kind_of = "") {
  const element = document.createElement(kind);
  element.textContent = text;
  if (kind_of) element.className = kind_of;
  return element;
}

export function say(text, problem = false) {
  at("message").textContent = text;
  at("message").classList.toggle("problem", problem);
}

// Requests

export class Refused extends Error {}

export async function ask(name, body = {}) {
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
export async function save(name, body) {
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
export async function alone(work) {
  if (page.busy) return;
  page.busy = true;
  try {
    await work();
  } catch (error) {
    say(error.message, true);
  } finally {
    page.busy = false;
  }
}
