// Code of all pages, placed before the code of each page.
const { default: DataTable } = globalThis.tables;
const byId = (id) => document.getElementById(id);
const read = (id) => JSON.parse(byId(id).textContent);
const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

// Tables in the page: headers that sort, a search field if there are many rows.
const words = { search: "Search", emptyTable: "None.", zeroRecords: "No row matches.", lengthMenu: "Rows _MENU_",
  info: "_START_ to _END_ of _TOTAL_", infoEmpty: "None", infoFiltered: "(of _MAX_)" };
const pages = [25, 50, 100, { label: "all", value: -1 }];
const tabulate = (ids) => ids.filter(byId).map((id) => {
  const { length } = byId(id).tBodies[0].rows;
  const many = length > 30;
  return new DataTable(byId(id), { order: [], autoWidth: false, language: words, searching: length > 8, paging: many,
    info: many, lengthMenu: pages, pageLength: 25, layout: { topStart: length > 8 ? "search" : null, topEnd: many ? "pageLength" : null,
      bottomStart: many ? "info" : null, bottomEnd: many ? "paging" : null } });
});

// A table of documents: texts are inserted as text nodes only. Long names may break after each of their words.
const broken = (text) => text.split(/(?<=[_/.:-])/).flatMap((part) => [part, make("wbr")]);
const column = (show, text) => (_, type, row) => (type === "display" ? show(row) : text(row));
const cell = (pick) => column((row) => make("span", {}, ...broken(pick(row))), pick);
const ofRows = { deferRender: true, order: [], autoWidth: false, language: words, pageLength: 25, lengthMenu: [10, 25, 100],
  layout: { topStart: "search", topEnd: "pageLength", bottomStart: "info", bottomEnd: "paging" } };
function opener(id) {
  const button = make("button", { type: "button", className: "open" }, make("span", { className: "hidden" }, `Open ${id}`));
  button.setAttribute("aria-expanded", "false");
  return button;
}
function openRows(table, opened) {
  byId("document-table").addEventListener("click", (event) => {
    const button = event.target.closest("button.open");
    if (!button) return;
    const row = table.row(button.closest("tr"));
    const shown = row.child.isShown();
    if (shown) row.child.hide();
    else row.child(opened(row.data())).show();
    button.setAttribute("aria-expanded", String(!shown));
  });
}
function namePaging() {
  for (const paging of document.querySelectorAll(".dt-paging nav")) {
    const { caption } = paging.closest(".dt-container").querySelector("table");
    paging.setAttribute("aria-label", `Pages of: ${caption.textContent}`);
  }
}
function whilePrinting(act) {
  for (const moment of ["beforeprint", "afterprint"]) addEventListener(moment, () => act(moment === "beforeprint"));
}
const ready = () => { document.documentElement.dataset.ready = String(Math.round(performance.now())); };
