"""The page of a comparison: one file that opens offline, in the style of a run's page."""

from typing import Any

from tagsmith.evaluate.comparison.changes import KINDS
from tagsmith.evaluate.comparison.table import left_out, title
from tagsmith.evaluate.report import assets
from tagsmith.evaluate.report.templates import environment
from tagsmith.evaluate.report.wrong_documents import MOST_ROWS, longest_text

MOST_RETAGGED = 200


def comparison_page(found: dict[str, Any]) -> str:
    """The page as HTML, from the result of `compare_runs.comparison_of`; deterministic."""
    return environment().get_template("comparison.html.j2").render(page_values(found))


def page_values(found: dict[str, Any]) -> dict[str, Any]:
    """What the template of the page shows.

    A page that extends it may have `more_sections` (id, title), and not be `of_runs`: then the first is no run.
    """
    scripts = {"tables": assets.tables_script(), "page": assets.page_script("comparison.js")}
    return {
        "found": found,
        "more_sections": [],
        "of_runs": True,
        "names": [run["name"] for run in found["runs"].values()],
        "title_of": lambda name: title(name, found["multi_label"]),
        "left_out": left_out(found),
        "kinds": KINDS,
        "counts": {kind: sum(line["change"] == kind for line in found["changed"]) for kind in KINDS},
        "widest": _widest(found),
        "rows": _document_rows(found),
        "most_rows": MOST_ROWS,
        "most_retagged": MOST_RETAGGED,
        "scripts": scripts,
        "policy": assets.content_policy(*(one.hash for one in scripts.values())),
        "style": assets.style(),
    }


def _widest(found: dict[str, Any]) -> dict[str, float]:
    """The largest absolute end of a difference or its interval, of figures and of classes: the scale of their bars."""
    shares = [one for name, one in found["figures"].items() if name != "log_loss"]
    shares += (found["operating_point"] or {}).values()
    of_classes = [one[figure] for one in found["classes"].values() for figure in ("precision", "recall", "f1")]
    losses = [one for name, one in found["figures"].items() if name == "log_loss"]
    return {"figures": _reach(shares), "log_loss": _reach(losses), "classes": _reach(of_classes)}


def _reach(figures: list[dict[str, Any]]) -> float:
    known = [one for one in figures if one["difference"] is not None]
    edges = [edge for one in known for edge in (one["difference"], *(one["interval"] or ()))]
    return max(map(abs, edges), default=0.0) or 1.0


def _document_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows for the script of the page, with ids for classes; texts are cut if together they are too long for a page."""
    ids = {name: i for i, name in enumerate(found["classes"])}
    shown = found["changed"][:MOST_ROWS]
    longest = longest_text([len(line["text"]) for line in shown])
    rows = []
    for line in shown:
        row = {
            "id": line["id"],
            "text": line["text"][:longest],
            "kind": line["change"],
            "tagged": [ids[name] for name in line["labels"]],
            "predicted": [[ids[name] for name in line[place]] for place in ("first", "second")],
            "scores": [[ids[name], *both] for name, both in line["scores"].items()],
            "moved": line["moved"],
        }
        if len(line["text"]) > longest:
            row["more"] = len(line["text"]) - longest
        rows.append(row)
    return rows
