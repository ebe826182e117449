"""The names of the queues, and their first lines as tables for the terminal."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from tagsmith.core.errors import counted

SUSPECTED, NEXT, SUGGESTED = "suspected_tags.jsonl", "tag_next.jsonl", "suggested_tags.jsonl"

Line = dict[str, Any]


def tag_of(classes: Sequence[str], multi_label: bool) -> Any:
    """Classes in the form of `tag` and `suggested`: a list (multi-label), or one name."""
    return list(classes) if multi_label else classes[0]


def queue_table(title: str, lines: Sequence[Line], columns: Sequence[str], most: int = 10) -> Table:
    """The first lines of a queue, one row each, with the beginning of the text."""
    table = Table(title=title, title_justify="left", title_style="bold", min_width=min(len(title), 100))
    for name in (*columns, "text"):
        table.add_column(name, overflow="ellipsis" if name == "text" else "fold", no_wrap=name == "text")
    for line in lines[:most]:
        table.add_row(*(Text(_shown(line[name])) for name in columns), Text(" ".join(line["text"].split())[:60]))
    return table


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def tables(summary: dict[str, Any], queues: dict[str, list[Line]]) -> list[Table]:
    """A table per queue: its first lines, with figures of the summary as title."""
    shown = []
    if SUSPECTED in queues:
        gain = summary["gain"]
        about = f"{counted(summary['suspected']['documents'], 'document')} with suspected tags"
        if gain["macro_f1"] is not None and summary["suspected"]["documents"]:
            low, high = f"{gain['low']:+.4f}", f"{gain['high']:+.4f}"
            about += f"; correcting them is expected to change macro F1 by {gain['macro_f1']:+.4f} ({low} to {high})"
        lines = [line for line in queues[SUSPECTED] if line["suspected"]]
        shown.append(queue_table(about, lines, ("score", "id", "labels", "suggested")))
    if NEXT in queues:
        reasons = ", ".join(f"{count:,} {name}" for name, count in summary["tag_next"]["reasons"].items())
        about = f"{counted(summary['tag_next']['documents'], 'document')} to tag next: {reasons or 'none'}"
        shown.append(queue_table(about, queues[NEXT], ("score", "id", "reason", "suggested")))
    if SUGGESTED in queues:
        about = f"{counted(summary['suggested']['documents'], 'suggestion')} for the other documents"
        shown.append(queue_table(about, queues[SUGGESTED], ("score", "id", "suggested")))
    return shown
