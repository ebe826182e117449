"""Tables and summaries as text."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagsmith.core.errors import counted
from tagsmith.core.files import json_array, read_json
from tagsmith.decision.thresholds import not_promised
from tagsmith.evaluate.report.wording import figure


def per_class_table(evaluation: Mapping[str, Any]) -> Table:
    """The figures of an `evaluation.json` as a table, with a row per class and a row per average."""
    kind = "exact match" if "confusion_matrices" in evaluation else "accuracy"
    title = (
        f"{evaluation['split']}: {counted(evaluation['documents'], 'document')}, {kind} {evaluation['accuracy']:.4f}, "
        f"log loss {evaluation['log_loss']:.4f}"
    )
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("class", overflow="fold")
    for name in ("precision", "recall", "F1", "support", "TP", "FP", "FN"):
        table.add_column(name, justify="right")
    for name, row in evaluation["classes"].items():
        counts = (row["support"], row["true_positives"], row["false_positives"], row["false_negatives"])
        table.add_row(Text(name), *_shares(row), *(f"{count:,}" for count in counts))
    table.add_section()
    for average in ("micro", "macro", "weighted"):
        table.add_row(average, *_shares(evaluation[average]), "", "", "", "")
    return table


def per_class_text(evaluation: Mapping[str, Any]) -> str:
    """The same table as plain text."""
    text = io.StringIO()
    Console(file=text, width=120).print(per_class_table(evaluation))
    return text.getvalue()


def calibrated_text(about: Mapping[str, Any]) -> str:
    """How a decision rule was chosen, in one line."""
    found = about["held_out"]
    kind = "validation documents" if about["from"] == "validation" else "training documents by cross-validation"
    return f"calibrated on {about['documents']:,} {kind}: {_errors(found)}"


def newer_decision_text(rule: Mapping[str, Any], classes: Sequence[str], multi_label: bool) -> list[str]:
    """A decision rule that was chosen after an evaluation, in sentences.

    Args:
        rule: the content of `decision.json`.
    """
    about = rule.get("about", {})
    how = f", {calibrated_text(about)}" if about.get("held_out") else ""
    sentences = [f"The run has a decision rule that the figures of this page do not know{how}."]
    if missed := about.get("not_promised"):
        sentences.append(not_promised(missed))
    elif rule.get("abstain_below") is not None:
        target = f" (target precision of the others: {about['target']:.1%})" if about.get("target") else ""
        sentences.append(f"Documents with a score below {rule['abstain_below']:.3f} go to a person{target}.")
    if multi_label:
        chosen = dict(zip(classes, rule["thresholds"], strict=True))
        sentences.append(f"Its thresholds: {figure(chosen)}.")
    return [*sentences, "scripts/evaluate.py evaluates it and writes this page again."]


def decision_text(evaluation: Mapping[str, Any]) -> str:
    """Calibration, operating point, sets and scope of an evaluation, one line each."""
    if (scores := evaluation.get("scores")) is None:
        return ""
    if not scores["calibrated"]:
        error = f"expected calibration error {scores['ece_before']:.4f}"
        return f"scores: not calibrated, {error}; scripts/calibrate.py calibrates them"
    lines = [f"scores: calibrated, {_errors(scores)}"]
    if (point := evaluation["operating_point"]) is not None:
        if point["precision"] is None:
            wanted = f"{point['target_precision']:.1%}"
            lines.append(
                f"operating point: every document goes to a person, as no threshold is known to reach {wanted} "
                f"precision"
            )
        else:
            lines.append(
                f"operating point: handles {point['coverage']:.1%} of documents alone with {point['precision']:.1%} "
                f"precision (target {point['target_precision']:.1%}), the rest go to a person"
            )
    elif missed := evaluation.get("not_promised"):
        lines.append(f"operating point: none. {not_promised(missed)}")
    if (sets := evaluation["conformal"]) is not None:
        lines.append(
            f"sets: {sets['mean_set_size']:.2f} classes on average, {sets['coverage_found']:.1%} contain all right "
            f"ones (target {sets['coverage_wanted']:.1%})"
        )
    if (scope := evaluation["out_of_scope"]) is not None:
        line = f"out of scope: {scope['false_alarm_rate_found']:.1%} false alarms "
        line += f"(target {scope['false_alarm_rate_wanted']:.1%})"
        if scope["detection_rate"] is not None:
            line += f", {scope['detection_rate']:.1%} of texts of no class detected, AUROC {scope['auroc']:.3f}"
        lines.append(line)
    return "\n".join(lines)


def _errors(found: Mapping[str, Any]) -> str:
    return (
        f"expected calibration error {found['ece_before']:.4f} -> {found['ece_after']:.4f}, "
        f"log loss {found['log_loss_before']:.4f} -> {found['log_loss_after']:.4f}"
    )


def guidance_text(path: Path, most: int = 5) -> str:
    """The first lines of a `guidance.json` with their remedies, as plain text."""
    lines = read_json(path, json_array, "guidance", "evaluate the run again")
    shown: list[str] = []
    for i, line in enumerate(lines[:most]):
        shown.append(f"{line['severity']}: {line['title']}")
        if line["remedy"] not in [before["remedy"] for before in lines[:i]]:  # Lines of one kind may share it.
            shown.append(f"    {line['remedy']}")
    more = len(lines) - most
    rest = f"and {more} more, with reasons and examples" if more > 0 else "reasons and examples"
    return "\n".join(["what to do next:", *shown, f"{rest}: {path}"])


def confusion_csv(evaluation: Mapping[str, Any]) -> str:
    """The confusion matrix as CSV: [true][predicted], or (multi-label) a row of four counts per class."""
    if (tables := evaluation.get("confusion_matrices")) is not None:
        header = ["class", "true negatives", "false positives", "false negatives", "true positives"]
        rows = [[name, *negative, *positive] for name, (negative, positive) in tables.items()]
    else:
        header = ["true \\ predicted", *evaluation["classes"]]
        rows = [[name, *row] for name, row in zip(evaluation["classes"], evaluation["confusion_matrix"], strict=True)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _shares(row: Mapping[str, float]) -> tuple[str, str, str]:
    return f"{row['precision']:.4f}", f"{row['recall']:.4f}", f"{row['f1']:.4f}"
