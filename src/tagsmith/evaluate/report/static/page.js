// The page of a run: fills its tables and charts, and keeps the themes of page and charts the same.
const tables = tabulate(["class-table", "pair-table", "gain-table"]);

// The wrong documents.
const { classes, rows, limit } = read("document-rows");
const names = (ids) => (ids.length ? ids.map((id) => classes[id]).join(", ") : "no class");
const without = (some, others) => some.filter((id) => !others.includes(id));
for (const row of rows) {
  row.missed = without(row.tagged, row.predicted);
  row.invented = without(row.predicted, row.tagged);
}

// Offsets count code points, as Python does.
function marked(row, most = Infinity) {
  const letters = Array.from(row.text);
  const end = Math.min(letters.length, most);
  const strongest = Math.max(...(row.marks ?? []).map(([, , weight]) => weight));
  const parts = make("span", { className: "text" });
  let at = 0;
  for (const [from, to, weight] of row.marks ?? []) {
    if (from < at || from >= end || weight <= 0) continue;
    parts.append(letters.slice(at, from).join(""));
    const mark = make("mark", { title: `without it, the score falls by ${weight}` }, letters.slice(from, Math.min(to, end)).join(""));
    mark.style.setProperty("--weight", weight / strongest);
    parts.append(mark);
    at = Math.min(to, end);
  }
  parts.append(letters.slice(at, end).join("") + (end < letters.length ? "…" : ""));
  return parts;
}

function opened(row) {
  const scores = row.scores.map(([id, score]) => {
    const kind = [row.tagged.includes(id) && "tagged", row.predicted.includes(id) && "predicted"].filter(Boolean).join(", ");
    const bar = make("span", { className: "meter" });
    bar.style.setProperty("--share", score);
    return make("tr", {}, make("th", { scope: "row" }, ...broken(classes[id])), make("td", {}, kind),
      make("td", { className: "number" }, score.toFixed(3)), make("td", {}, bar));
  });
  const facts = [row.id, row.to_person && "goes to a person", row.explained !== undefined && `marked words speak for ${classes[row.explained]}`,
    row.out_of_scope !== undefined && `out of scope: ${row.out_of_scope}${limit ? ` (above ${limit.toPrecision(3)} it belongs to no class)` : ""}`,
    row.more && `${row.more} more characters in predictions.jsonl`];
  return make("div", { className: "opened" }, make("p", {}, marked(row)),
    make("table", { className: "small" }, make("caption", {}, "Scores"), make("tbody", {}, ...scores)),
    make("p", { className: "about" }, facts.filter(Boolean).join(" · ")));
}

function documentCell(row) {
  return make("div", { className: "document" }, opener(row.id), make("div", {}, marked(row, 220),
    make("p", { className: "narrow about" }, `${names(row.tagged)} predicted as ${names(row.predicted)} (${row.confidence.toFixed(2)})`)));
}

let look = () => {};
if (byId("document-table")) {
  const table = new DataTable(byId("document-table"), {
    ...ofRows, data: rows,
    columns: [
      { render: column(documentCell, (row) => `${row.text} ${row.id}`), orderable: false },
      { render: cell((row) => names(row.tagged)), className: "class" },
      { render: cell((row) => names(row.predicted)), className: "class" },
      { render: column((row) => make("span", {}, row.confidence.toFixed(3)), (row) => row.confidence), className: "number", type: "num" },
    ],
  });
  openRows(table, opened);

  const choices = { missed: byId("missed"), invented: byId("invented") };
  for (const [kind, select] of Object.entries(choices)) {
    const found = new Map();
    for (const row of rows) for (const id of row[kind].length ? row[kind] : [-1]) found.set(id, (found.get(id) ?? 0) + 1);
    const ids = [...found.keys()].sort((a, b) => (a < 0 ? 1 : b < 0 ? -1 : a - b));
    select.append(...ids.map((id) => new Option(`${id < 0 ? "none" : classes[id]} (${found.get(id)})`, id)));
  }
  const fits = (select, ids) => select.value === "" || (select.value === "-1" ? !ids.length : ids.includes(Number(select.value)));
  table.search.fixed("pair", (_, row) => fits(choices.missed, row.missed) && fits(choices.invented, row.invented));
  const filters = byId("filters");
  filters.addEventListener("change", () => table.draw());
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(() => table.search("").draw()));
  look = (missed, invented) => {
    choices.missed.value = missed;
    choices.invented.value = invented;
    table.search("").draw();
    byId("documents-title").scrollIntoView();
    byId("documents-title").focus({ preventScroll: true });
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.look");
    if (button) look(button.dataset.missed, button.dataset.invented);
  });
}

namePaging();

// Charts: each is drawn when it comes near the viewport; plotly is unpacked for the first one.
const themes = read("themes");
const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = (printing = false) => themes[dark.matches && !printing ? "dark" : "light"];
let unpacked;
const unpack = () => (unpacked ??= (async () => {
  const bytes = Uint8Array.from(atob(byId("plotly").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  document.head.append(make("script", { textContent: await new Response(stream).text() }));
  return globalThis.Plotly;
})());
async function draw(place) {
  if (place.dataset.drawn) return;
  place.dataset.drawn = "begun";
  const plotly = await unpack();
  const { data, layout } = read(`${place.id}-figure`);
  await plotly.newPlot(place, data, { ...layout, template: theme() }, { responsive: true, displayModeBar: false, doubleClick: "reset" });
  // A click on a cell of the matrix filters the documents; without a pointer, the table of pairs does.
  place.on("plotly_click", ({ points: [{ customdata }] }) => {
    if (customdata?.length === 7 && customdata[5] !== customdata[6]) {
      look(...customdata.slice(5).map((id) => (id < classes.length ? id : -1)));
    }
  });
  place.dataset.drawn = "true";
}
const places = [...document.querySelectorAll(".chart")];
for (const place of places) {
  place.style.minHeight = `${place.dataset.height}px`;
  if (place.dataset.width) place.style.minWidth = `${place.dataset.width}px`;
  if (place.dataset.most) place.style.maxWidth = `${place.dataset.most}px`;
}
const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) draw(target);
}, { rootMargin: "300px" });
places.forEach((place) => near.observe(place));
// The other charts are drawn when the browser is idle, so that a print has them.
const idle = () => new Promise((go) => (globalThis.requestIdleCallback ?? setTimeout)(go));
addEventListener("load", async () => {
  for (const place of places) {
    await idle();
    if (place.checkVisibility()) await draw(place);
  }
});
const retheme = (printing) => places.filter((place) => place.dataset.drawn === "true").forEach((place) => globalThis.Plotly.relayout(place, { template: theme(printing) }));
dark.addEventListener("change", () => retheme(false));
whilePrinting((printing) => {
  retheme(printing);
  tables.forEach((table) => table.page.len(printing ? -1 : 25).draw(false));
});
ready();
