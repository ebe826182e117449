"""The tags of a project as files: JSON Lines that training and `data.tagged` read, and a table."""

import csv
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tagsmith.core.errors import DataError
from tagsmith.core.files import whole_file, write_lines
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.improve.annotation.annotate_run import training_with
from tagsmith.improve.annotation.sheet import cell, separator
from tagsmith.improve.queue_tables import tag_of
from tagsmith.tag.decisions import Kind
from tagsmith.tag.store import Store

LINES, TABLE = "tags.jsonl", "tags.csv"

COLUMNS = ("id", "text", "tag", "person", "flagged", "note")


def lines(store: Store, schema: Schema) -> Iterator[dict[str, Any]]:
    """A line for each document with a tag, in the order of the project.

    The tag is that of the last person who tagged the document, or else the one that it came with.
    """
    states, last = store.snapshot(), 0
    while documents := store.documents(last, 1000):
        last = documents[-1].number
        for one in documents:
            state = states.get(one.id)
            decided = state is not None and state.status is not None
            given = one.given if one.place is None else None  # A suspected tag counts after a person's decision.
            tags = state.tags if state is not None and decided else given
            if tags is None:
                continue
            yield {
                "id": one.id,
                "text": one.text,
                "tag": tag_of(tags, schema.multi_label),
                **({"group": one.group} if one.group is not None else {}),
                **({"person": state.person} if state is not None and state.status is Kind.tag else {}),
                **({"flagged": True} if state is not None and state.flagged else {}),
                **({"note": state.note} if state is not None and state.note else {}),
            }


def write_tags(folder: Path, store: Store, schema: Schema) -> tuple[list[Path], int]:
    """Write `tags.jsonl` and `tags.csv` of the project; returns them, and the number of documents with a tag.

    Raises:
        DataError: no document has a tag.
    """
    count = sum(1 for _ in lines(store, schema))
    if not count:
        raise DataError(f"project={folder}: no document has a tag yet.")
    paths = [folder / LINES, folder / TABLE]
    write_lines(paths[0], lines(store, schema))
    mark = separator(schema.classes)
    with whole_file(paths[1]) as file:
        file.write("\ufeff")  # Spreadsheets expect it of UTF-8.
        table = csv.writer(file, lineterminator="\r\n")
        table.writerow(COLUMNS)
        for line in lines(store, schema):
            tag = f"{mark} ".join(line["tag"]) if schema.multi_label else line["tag"]
            flagged = "yes" if line.get("flagged") else ""
            shown = (line["id"], line["text"], tag, line.get("person", ""), flagged, line.get("note", ""))
            table.writerow([*map(cell, shown)])
    return paths, count


def next_command(folder: Path, store: Store) -> str:
    """The training on the tags: a new one, or that of the run whose queues were tagged."""
    path = folder / LINES
    if (run := store.remember("run")) is not None and RunFolder(Path(run)).settings.is_file():
        return training_with(RunFolder(Path(run)), path)
    words = [f"data.train={path}", "data.label_field=tag", f"run=runs/{folder.resolve().name}"]
    return shlex.join(["python", "scripts/train.py", *words])
