"""What a person reads on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from tagsmith.errors import counted


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


def _shares(row: Mapping[str, float]) -> tuple[str, str, str]:
    return f"{row['precision']:.4f}", f"{row['recall']:.4f}", f"{row['f1']:.4f}"
