"""The page of a comparison: one file that opens offline, without a script."""

from typing import Any

from tagsmith.report import assets
from tagsmith.report.templates import environment
from tagsmith.report.wording import FIGURES

MOST_ROWS = 500
"""Changed documents of a kind that the page shows; all stand in comparison.json."""

KINDS = {"lost": "Right before, wrong now", "gained": "Wrong before, right now", "still_wrong": "Wrong in another way"}


def comparison_page(found: dict[str, Any]) -> str:
    """The page as HTML of what `stage.comparison_of` has found; the same content gives the same bytes."""
    classes = sorted(found["classes"].items(), key=lambda item: item[1]["f1"]["difference"])
    documents = {kind: [line for line in found["changed"] if line["change"] == kind] for kind in KINDS}
    most = max([abs(row["f1"]["difference"]) for _, row in classes] + [0.01])
    return environment().get_template("comparison.html.j2").render(
        found=found, classes=classes, documents=documents, kinds=KINDS, figures=FIGURES, most=most, most_rows=MOST_ROWS,
        policy=assets.content_policy(), style=(assets.STATIC / "style.css").read_text(encoding="utf-8"),
    )  # fmt: skip
