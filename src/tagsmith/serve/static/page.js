"use strict";

// Everything that comes from the service is put in as text, never as markup.
const at = (id) => document.getElementById(id);

async function ask(path, body) {
  const headers = {};
  if (at("key").value) headers["Authorization"] = "Bearer " + at("key").value;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.status === 401) throw new Error("Enter a key of this service above.");
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

function options(select, names, chosen) {
  select.replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
}

async function list() {
  try {
    const known = await ask("/deployments");
    options(at("project"), [known.project], known.project);
    options(at("deployment"), known.deployments.map((one) => one.name), known.default);
    at("told").textContent = "";
  } catch (error) {
    at("told").textContent = error.message;
  }
}

function show(answer) {
  const one = answer.documents[0];
  const chosen = "labels" in one ? one.labels : one.label === null ? [] : [one.label];
  const why = one.foreign ? "unlike all training documents" : "too uncertain";
  at("decision").textContent = one.to_person ? `Left to a person: ${why}` : chosen.join(", ") || "No class";
  const unread = one.unread ? `; ${one.unread} of them were not read` : "";
  at("about").textContent = `${answer.deployment}, version ${answer.version}; ${one.tokens} tokens${unread}`;
  const rows = Object.entries(one.scores).sort((a, b) => b[1] - a[1]).map(([name, score]) => {
    const row = document.createElement("tr");
    row.className = chosen.includes(name) ? "chosen" : "";
    const bar = document.createElement("meter");
    bar.value = score;
    bar.setAttribute("aria-label", name);
    for (const content of [name, score.toFixed(4), bar]) {
      const cell = document.createElement("td");
      cell.append(content);
      row.append(cell);
    }
    return row;
  });
  at("scores").replaceChildren(...rows);
  at("answer").hidden = false;
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("told").textContent = "…";
  at("answer").hidden = true;
  try {
    show(await ask("/classify", { texts: [at("text").value], deployment: at("deployment").value || null }));
    at("told").textContent = "";
  } catch (error) {
    at("told").textContent = error.message;
  }
});
at("key").addEventListener("change", list);
list();
