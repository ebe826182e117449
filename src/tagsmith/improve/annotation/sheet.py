"""A table for a spreadsheet: a row a document, and an empty column for the tag."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from tagsmith.core.files import whole_file
from tagsmith.core.rows import BadRow, delimited
from tagsmith.improve.annotation.answers import Answer, said
from tagsmith.improve.annotation.queue import Question

COLUMNS = ("id", "text", "suggested", "score", "why", "tag", "annotator")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to a spreadsheet, which a document may not be."""


def separator(classes: Sequence[str]) -> str:
    """What stands between several classes of a document: the first of ; | / and others that no class holds."""
    return next(mark for mark in (";", "|", "/", "~", "\n") if not any(mark in name for name in classes))


def write(path: Path, questions: Sequence[Question], classes: Sequence[str]) -> None:
    """Write the table, in UTF-8 with the mark by which a spreadsheet knows it."""
    mark = separator(classes)
    with whole_file(path) as file:
        file.write("\ufeff")
        table = csv.writer(file, lineterminator="\r\n")
        table.writerow(COLUMNS)
        for one in questions:
            suggested = f"{mark} ".join(one.suggested or ())
            table.writerow([*map(_cell, (one.id, one.text, suggested)), f"{one.score:.4f}", _cell(one.why), "", ""])


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def answers(path: Path, classes: Sequence[str], multi_label: bool) -> Iterator[Answer | str]:
    """What stands in the column `tag`: classes, or `ignore` or (multi-label) `none`, where no class has that name.

    Empty: not tagged yet.
    """
    rows = delimited(path, ",")
    _, header = next(rows)
    names = set() if isinstance(header, BadRow) else set(header)
    if not {"id", "text", "tag"} <= names:
        there = ", ".join(sorted(names)) or "none"
        yield f"{path}: expected the columns id, text and tag, divided by commas, found {there}"
        return
    mark = separator(classes)
    for row, record in rows:
        if isinstance(record, BadRow):
            yield f"{path}:{row}: {record.what}"
        elif tag := record["tag"].strip():
            given = [name.strip() for name in tag.split(mark)] if multi_label else [tag]
            place, found = f"{path}:{row}", said([name for name in given if name], classes, multi_label)
            if isinstance(found, str):
                yield f"{place}: {found}"
                continue
            identity, text = _text(record["id"]), _text(record["text"])
            yield Answer(identity or None, text, *found, record.get("annotator", ""), place)


def _text(cell: str) -> str:
    """What `_cell` was given."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(FORMULA) else cell
