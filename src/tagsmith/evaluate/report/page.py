"""The page of a run: one file that opens offline, made from the files of its evaluation."""

from typing import Any

import numpy as np

from tagsmith.core.files import whole_file
from tagsmith.core.run import RunFolder
from tagsmith.decision.thresholds import not_promised
from tagsmith.evaluate.report import assets, charts
from tagsmith.evaluate.report.chart import TEMPLATES, Chart
from tagsmith.evaluate.report.class_table import class_rows
from tagsmith.evaluate.report.confusion import missed_and_invented, pairs
from tagsmith.evaluate.report.inputs import RunFiles, read_run
from tagsmith.evaluate.report.matrix import Confusions, matrices
from tagsmith.evaluate.report.tables import newer_decision_text
from tagsmith.evaluate.report.templates import environment
from tagsmith.evaluate.report.wording import against, headline
from tagsmith.evaluate.report.wrong_documents import MOST_ROWS, wrong_documents

MOST_PAIRS = 50
MOST_EXAMPLES = 200
SEVERITIES = {"problem": "Problem", "advice": "Advice", "note": "Note"}


def write_page(run: RunFolder) -> None:
    """Write `report.html` into the run, from its other files only.

    Raises:
        InputMissing: no run, or it was never evaluated.
        DataError: a file of the run is damaged.
    """
    text = page(read_run(run))
    with whole_file(run.page) as file:
        file.write(text)


def page(files: RunFiles) -> str:
    """The page as HTML; deterministic."""
    templates = environment()
    templates.globals |= {"against": against, "severities": SEVERITIES}
    return templates.get_template("page.html.j2").render(_context(files))


def _context(files: RunFiles) -> dict[str, Any]:
    evaluation, analysis, names = files.evaluation, files.analysis, files.classes
    errors = missed_and_invented(files.predictions, names)
    support = np.array([row["support"] for row in evaluation["classes"].values()])
    right = np.array([row["true_positives"] for row in evaluation["classes"].values()])
    found = pairs(errors)
    wrong = sum(set(line["labels"]) != set(line["predicted"]) for line in files.predictions)
    scripts = {"tables": assets.tables_script(), "page": assets.page_script("page.js")}
    plotly = assets.packed_plotly()
    drawn = _charts(files)
    return {
        "name": files.name,
        "files": files,
        "evaluation": evaluation,
        "analysis": analysis,
        "multi_label": files.schema.multi_label,
        "headline": headline(evaluation, analysis),
        "intervals": analysis.get("intervals", {}),
        "classes": class_rows(evaluation, analysis, errors),
        "most_support": max([*support, *_train_support(analysis), 1]),
        "matrices": matrices(
            Confusions(names, files.schema.multi_label, errors, right, support, evaluation["documents"])
        ),
        "pairs": [(pair, None if pair.true is None else int(support[pair.true])) for pair in found[:MOST_PAIRS]],
        "more_pairs": max(0, len(found) - MOST_PAIRS),
        "names": names,
        "charts": drawn,
        "guidance": [line for line in files.guidance if not (files.decision and line["kind"] == "not_calibrated")],
        "newer_decision": newer_decision_text(files.decision, names, files.schema.multi_label)
        if files.decision
        else [],
        "absent_reasons": {name: _absent(files, *place) for name, place in _PLACES.items()},
        "most_examples": MOST_EXAMPLES,
        "documents": wrong_documents(files.predictions, names, analysis.get("explanations")),
        "wrong": wrong,
        "most_rows": MOST_ROWS,
        "scripts": scripts,
        "plotly": plotly,
        "themes": TEMPLATES,
        "policy": assets.content_policy(plotly.hash, *(one.hash for one in scripts.values())),
        "style": assets.style(),
        "figure_json": lambda chart: assets.escaped_json(chart.figure.to_json(remove_uids=True)),
    }


def _train_support(analysis: dict[str, Any]) -> list[int]:
    return [counts.get("train", 0) for counts in analysis.get("data", {}).get("classes", {}).values()]


def _charts(files: RunFiles) -> dict[str, Chart | None]:
    evaluation, analysis = files.evaluation, files.analysis
    data = analysis.get("data") or {}
    drawn: dict[str, Chart | None] = {"training": charts.training(files.training)}
    if evaluation.get("scores"):
        drawn["reliability"] = charts.reliability(evaluation["scores"], files.schema.multi_label)
    if evaluation.get("coverage"):
        drawn["coverage"] = charts.coverage(
            evaluation["coverage"],
            evaluation.get("operating_point"),
            evaluation["documents"],
            not_promised(missed) if (missed := evaluation.get("not_promised")) else "",
        )
    if (analysis.get("learning_curve") or {}).get("points"):
        drawn["learning_curve"] = charts.learning_curve(analysis["learning_curve"])
    if data:
        drawn["distribution"] = charts.distribution(data["classes"], data["documents"])
        drawn["lengths"] = charts.lengths(data["tokens"])
    return drawn


_PLACES = {
    "intervals": ("analysis.json", "intervals"),
    "learning_curve": ("analysis.json", "learning_curve"),
    "data": ("analysis.json", "data"),
    "near_duplicates": ("analysis.json", "near_duplicates"),
    "explanations": ("analysis.json", "explanations"),
    "scores": ("evaluation.json", "scores"),
    "coverage": ("evaluation.json", "coverage"),
    "guidance": ("guidance.json", ""),
    "training": ("metrics.jsonl", ""),
}
"""The file, and the key in it, that a section needs."""


def _absent(files: RunFiles, file: str, key: str) -> str | None:
    """Why a section is missing, with the command that creates it; None: it is not missing."""
    if file in files.missing:
        return files.missing[file]
    content = {"analysis.json": files.analysis, "evaluation.json": files.evaluation}.get(file)
    if content is None or content.get(key):
        return None
    command = f"scripts/evaluate.py run=... split={files.evaluation['split']}"
    if key in content:
        return f"This run has none: {key} is empty in {file}."
    return f"{file} has no {key}, as an earlier version wrote it. {command} writes it again."
