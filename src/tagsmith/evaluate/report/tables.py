"""Tables on the terminal, and the same tables elsewhere."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagsmith.core.errors import counted
from tagsmith.core.files import json_array, read_json


def per_class_table(evaluation: Mapping[str, Any]) -> Table:
    """The figures of an `evaluation.json` as a table, a row a class and a row an average."""
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
    """What a decision rule was made from, in a line; see `calibrate.rule_of`."""
    found = about["held_out"]
    kind = "validation documents" if about["from"] == "validation" else "training documents held out by folds"
    return f"calibrated on {about['documents']:,} {kind}: {_errors(found)}"


def decision_text(evaluation: Mapping[str, Any]) -> str:
    """What scores are worth and how far they reach, a line each."""
    if (scores := evaluation.get("scores")) is None:
        return ""
    if not scores["calibrated"]:
        error = f"expected calibration error {scores['ece_before']:.4f}"
        return f"scores: as the model gives them, {error}; scripts/calibrate.py calibrates them"
    lines = [f"scores: calibrated, {_errors(scores)}"]
    if (point := evaluation["operating_point"]) is not None:
        if point["precision"] is None:
            wanted = f"{point['target_precision']:.1%}"
            lines.append(f"sends every document to a person: no score is known to give {wanted} precision")
        else:
            lines.append(
                f"handles {point['coverage']:.1%} of documents by itself at {point['precision']:.1%} precision "
                f"(wanted: {point['target_precision']:.1%}), sends the rest to a person"
            )
    if (sets := evaluation["conformal"]) is not None:
        lines.append(
            f"sets of {sets['mean_set_size']:.2f} classes hold all right ones in {sets['coverage_found']:.1%} "
            f"(wanted: {sets['coverage_wanted']:.1%})"
        )
    if (scope := evaluation["out_of_scope"]) is not None:
        told = f"out of scope: {scope['false_alarm_rate_found']:.1%} false alarms "
        told += f"(wanted: {scope['false_alarm_rate_wanted']:.1%})"
        if scope["detection_rate"] is not None:
            told += f", {scope['detection_rate']:.1%} of the foreign texts found, AUROC {scope['auroc']:.3f}"
        lines.append(told)
    return "\n".join(lines)


def _errors(found: Mapping[str, Any]) -> str:
    return (
        f"expected calibration error {found['ece_before']:.4f} -> {found['ece_after']:.4f}, "
        f"log loss {found['log_loss_before']:.4f} -> {found['log_loss_after']:.4f}"
    )


def guidance_text(path: Path, most: int = 5) -> str:
    """The first lines of a `guidance.json`, with what to do about each, as plain text."""
    lines = read_json(path, json_array, "guidance", "evaluate the run again")
    told: list[str] = []
    for i, line in enumerate(lines[:most]):
        told.append(f"{line['severity']}: {line['title']}")
        if line["remedy"] not in [before["remedy"] for before in lines[:i]]:  # Of lines of one kind, told once.
            told.append(f"    {line['remedy']}")
    more = max(0, len(lines) - most)
    return "\n".join(
        ["what to do next:", *told, f"{f'and {more} more, ' if more else ''}with reasons and examples: {path}"]
    )


def confusion_csv(evaluation: Mapping[str, Any]) -> str:
    """What was taken for what, as a table: [true][predicted], or (multi-label) a row of four counts a class."""
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
