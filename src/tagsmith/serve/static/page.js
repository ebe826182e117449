"use strict";

// All content from the service is inserted as text, never as markup.
const at = (id) => document.getElementById(id);

async function request(path, body) {
  const headers = {};
  if (at("key").value) headers["Authorization"] = "Bearer " + at("key").value;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.status === 401) throw new Error("Enter an API key of this service above.");
  const content = await response.json();
  if (!response.ok) throw new Error(content.error);
  return content;
}

function options(select, names, chosen) {
  select.replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
}

async function listDeployments() {
  try {
    const found = await request("/deployments");
    options(at("project"), [found.project], found.project);
    options(at("deployment"), found.deployments.map((one) => one.name), found.default);
    at("status").textContent = "";
  } catch (error) {
    at("status").textContent = error.message;
  }
}

function show(answer) {
  const one = answer.documents[0];
  const chosen = "labels" in one ? one.labels : one.label === null ? [] : [one.label];
  const why = one.foreign ? "unlike all training documents" : "too uncertain";
  at("decision").textContent = one.to_person ? `Left for a person to decide: ${why}` : chosen.join(", ") || "No class";
  const unread = one.unread ? `, of which ${one.unread} were not read` : "";
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
  at("status").textContent = "…";
  at("answer").hidden = true;
  try {
    show(await request("/classify", { texts: [at("text").value], deployment: at("deployment").value || null }));
    at("status").textContent = "";
  } catch (error) {
    at("status").textContent = error.message;
  }
});
at("key").addEventListener("change", listDeployments);
listDeployments();
