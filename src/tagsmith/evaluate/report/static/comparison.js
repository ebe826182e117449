// The page of a comparison.
const { classes, names: runs, kinds, rows } = read("document-rows");
const tables = tabulate(["class-table"]);
const named = (ids) => (ids.length ? ids.map((id) => classes[id]).join(", ") : "no class");

function opened(row) {
  const scores = row.scores.map(([id, ...both]) => {
    const kind = [row.tagged.includes(id) && "tagged", ...row.predicted.map((ids, run) => ids.includes(id) && `predicted by ${runs[run]}`)];
    const cells = both.map((score) => {
      const bar = make("span", { className: "meter" });
      bar.style.setProperty("--share", score);
      return make("td", {}, score.toFixed(3), bar);
    });
    return make("tr", {}, make("th", { scope: "row" }, ...broken(classes[id])), ...cells, make("td", { className: "wraps" }, kind.filter(Boolean).join(", ")));
  });
  const heads = ["Class", ...runs, ""].map((text) => (text ? make("th", { scope: "col" }, ...broken(text)) : make("td")));
  const scroll = make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: `Scores of ${row.id}` },
    make("table", { className: "small" }, make("caption", {}, "Scores"), make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...scores)));
  const facts = [row.id, kinds[row.kind], row.more && `${row.more} more characters in comparison.json`];
  return make("div", { className: "opened" }, make("p", {}, make("span", { className: "text" }, row.text)), scroll,
    make("p", { className: "about" }, facts.filter(Boolean).join(" · ")));
}

function documentCell(row) {
  const letters = Array.from(row.text);
  const text = make("span", { className: "text" }, letters.length > 220 ? `${letters.slice(0, 220).join("")}…` : row.text);
  const summary = `${kinds[row.kind]}; tagged ${named(row.tagged)}; ${runs[0]}: ${named(row.predicted[0])}; ${runs[1]}: ${named(row.predicted[1])}`;
  return make("div", { className: "document" }, opener(row.id), make("div", {}, text, make("p", { className: "narrow about" }, summary)));
}

if (byId("document-table")) {
  const table = new DataTable(byId("document-table"), {
    ...ofRows, data: rows,
    columns: [
      { render: column(documentCell, (row) => `${row.text} ${row.id}`), orderable: false },
      { render: cell((row) => named(row.tagged)), className: "class" },
      { render: cell((row) => named(row.predicted[0])), className: "class" },
      { render: cell((row) => named(row.predicted[1])), className: "class" },
      { render: cell((row) => kinds[row.kind]), className: "class" },
      { render: column((row) => make("span", {}, row.moved.toFixed(3)), (row) => row.moved), className: "number", type: "num" },
    ],
  });
  openRows(table, opened);

  const ofRow = (row) => new Set([...row.tagged, ...row.predicted.flat()]);
  const found = new Map();
  for (const row of rows) for (const id of ofRow(row)) found.set(id, (found.get(id) ?? 0) + 1);
  byId("class").append(...[...found.keys()].sort((a, b) => a - b).map((id) => new Option(`${classes[id]} (${found.get(id)})`, id)));
  table.search.fixed("chosen", (_, row) => (byId("kind").value === "" || row.kind === byId("kind").value)
    && (byId("class").value === "" || ofRow(row).has(Number(byId("class").value))));
  const filters = byId("filters");
  filters.addEventListener("change", () => table.draw());
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(() => table.search("").draw()));
}

namePaging();
whilePrinting((printing) => tables.forEach((table) => table.page.len(printing ? -1 : 25).draw(false)));
ready();
