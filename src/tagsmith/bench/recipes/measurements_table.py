"""The measurements of training as a table for the terminal."""

import statistics
from collections.abc import Callable, Sequence

from rich.table import Table
from rich.text import Text

from tagsmith.bench.recipes.bench_recipes import Measurement

COLUMNS: dict[str, tuple[Callable[[Measurement], float | None], str]] = {
    "documents": (lambda row: row.documents, ",.0f"),
    "tokens": (lambda row: row.tokens, ",.0f"),
    "seconds": (lambda row: row.seconds, ",.1f"),
    "tokens/s": (lambda row: row.tokens_per_second, ",.0f"),
    "padding": (lambda row: row.padding_share, ".1%"),
    "MiB": (lambda row: row.peak_memory, ",.0f"),
    "accuracy": (lambda row: row.accuracy, ".4f"),
    "micro F1": (lambda row: row.micro_f1, ".4f"),
    "macro F1": (lambda row: row.macro_f1, ".4f"),
}
SPREAD = ("seconds", "accuracy", "micro F1", "macro F1")
"""Columns that show the standard deviation below the mean of several measurements."""


def table(measurements: Sequence[Measurement]) -> Table:
    """One row per contender and size of the training set: the mean of its measurements, with their deviation below."""
    first = measurements[0]
    title = f"{first.task}, {first.classes:,} classes, {first.test_documents:,} test documents"
    reasons = {f"{row.contender}: skipped: {row.skipped}" for row in measurements if row.skipped}
    caption = Text("\n".join(sorted(reasons))) if reasons else None
    shown = Table(title=title, title_justify="left", title_style="bold", caption=caption, caption_justify="left")
    shown.add_column("per class", justify="right")
    shown.add_column("contender", no_wrap=True)
    for name in COLUMNS:
        shown.add_column(name, justify="right", no_wrap=True)
    groups: dict[int | None, dict[str, list[Measurement]]] = {}
    for row in measurements:
        groups.setdefault(row.per_class, {}).setdefault(row.contender, []).append(row)
    for per_class, contenders in groups.items():
        shown.add_section()
        for contender, rows in contenders.items():
            cells = [_cell(name, rows) for name in COLUMNS]
            shown.add_row("all" if per_class is None else f"{per_class:,}", contender, *cells)
    return shown


def _cell(name: str, rows: Sequence[Measurement]) -> str:
    read, form = COLUMNS[name]
    values = [value for value in map(read, rows) if value is not None]
    if not values:
        return "-"
    mean = format(statistics.fmean(values), form)
    return f"{mean}\n± {statistics.stdev(values):{form}}" if name in SPREAD and len(values) > 1 else mean
