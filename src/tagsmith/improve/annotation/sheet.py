"""A table for a spreadsheet: one row per document, with an empty column for the tag."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from tagsmith.core.files import whole_file
from tagsmith.data.exports.answers import Answer, Kind, interpreted
from tagsmith.improve.annotation.questions import Question
from tagsmith.rows.delimited import delimited
from tagsmith.rows.table import BadRow, Reading

COLUMNS = ("id", "text", "suggested", "score", "why", "tag", "annotator")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet executes a cell that begins with one of these as a formula."""


def separator(classes: Sequence[str]) -> str:
    """The separator of several classes: the first of ; | / ~ and line end that no class name contains."""
    return next(mark for mark in (";", "|", "/", "~", "\n") if not any(mark in name for name in classes))


def write(path: Path, questions: Sequence[Question], classes: Sequence[str]) -> None:
    """Write the table, in UTF-8 with the byte-order mark that spreadsheets expect."""
    mark = separator(classes)
    with whole_file(path) as file:
        file.write("\ufeff")
        table = csv.writer(file, lineterminator="\r\n")
        table.writerow(COLUMNS)
        for one in questions:
            suggested = f"{mark} ".join(one.suggested or ())
            table.writerow([*map(cell, (one.id, one.text, suggested)), f"{one.score:.4f}", cell(one.why), "", ""])


def cell(text: str) -> str:
    """The text, in a form that a spreadsheet does not execute."""
    return f"'{text}" if text.startswith(FORMULA) else text


def answers(path: Path, classes: Sequence[str], multi_label: bool) -> Iterator[Answer | str]:
    """The answers in the column `tag`: classes, or `ignore` or (multi-label) `none`; empty cells are not answered."""
    table = delimited(path, Reading())
    columns = set(table.columns or ())
    if not {"id", "text", "tag"} <= columns:
        listed = ", ".join(sorted(columns)) or "none"
        yield f"{path}: expected the columns id, text and tag, found {listed}"
        return
    mark = separator(classes)
    for row, record in table.rows():
        if isinstance(record, BadRow):
            yield f"{path}:{row}: {record.what}"
        elif tag := record["tag"].strip():
            given = [name.strip() for name in tag.split(mark)] if multi_label else [tag]
            names, identity, text = list(filter(None, given)), _text(record["id"]), _text(record["text"])
            by = record.get("annotator", "")
            answer = Answer(identity or None, text, Kind.tag, tuple(names), by, f"{path}:{row}")
            yield interpreted(answer, classes, multi_label)


def _text(shown: str) -> str:
    """The text that `cell` was called with."""
    return shown[1:] if shown[:1] == "'" and shown[1:].startswith(FORMULA) else shown
