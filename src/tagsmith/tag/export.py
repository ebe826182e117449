"""The tags of a project as files: for training, a spreadsheet, Label Studio, and a project of Azure."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tagsmith.core.errors import DataError
from tagsmith.core.files import replace_folder, whole_file, write_json, write_lines
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.data.write_azure import labels_file
from tagsmith.improve.annotation import label_studio
from tagsmith.improve.annotation.annotate_run import training_command, training_with
from tagsmith.improve.annotation.sheet import cell, separator
from tagsmith.improve.queue_tables import tag_of
from tagsmith.tag.decisions import ALIKE, Kind, State, StoredDocument
from tagsmith.tag.store import Store

LINES, TABLE, ANSWERS, LABEL_STUDIO, AZURE = "tags.jsonl", "tags.csv", "answers.jsonl", "label_studio", "azure"

COLUMNS = ("id", "text", "tag", "person", "flagged", "note")

Tagged = tuple[StoredDocument, tuple[str, ...] | None, State | None]
"""A document, its tags (None: it has none), and what was decided about it."""


def documents(store: Store) -> Iterator[Tagged]:
    """All documents, in the order of the project.

    The tags are those of the last person who tagged the document, where several people answer those that they agree
    on or that settle them, or else those that it came with.
    """
    states, last = store.snapshot(), 0
    while found := store.documents(last, 1000):
        last = found[-1].number
        for one in found:
            state = states.get(one.id)
            decided = state is not None and state.status is not None
            given = one.given if one.place is None else None  # A suspected tag counts after a person's decision.
            yield one, state.tags if state is not None and decided else given, state


def lines(store: Store, schema: Schema) -> Iterator[dict[str, Any]]:
    """A line for each document with a tag."""
    for one, tags, state in documents(store):
        if tags is not None:
            yield {
                "id": one.id,
                "text": one.text,
                "tag": tag_of(tags, schema.multi_label),
                **({"group": one.group} if one.group is not None else {}),
                **({"person": state.person} if state is not None and state.status is Kind.tag else {}),
                **({"alike": True} if state is not None and state.reason == ALIKE else {}),
                **({"flagged": True} if state is not None and state.flagged else {}),
                **({"note": state.note} if state is not None and state.note else {}),
            }


def answers(store: Store, schema: Schema) -> Iterator[dict[str, Any]]:
    """A line for each answer to a document that several people answered, or one person twice; `tag` None: skipped."""
    for one, _, state in documents(store):
        if state is None or not (state.people or state.seconds):
            continue
        found = [(person, "answer", some.tags, some.helped) for person, some in state.answers.items()]
        found += [(some.person, "second_pass", some.tags, False) for some in state.seconds]
        if state.people and state.settled:
            found.append((state.person, "settled", state.tags, False))
        for person, kind, tags, helped in found:
            tag = None if tags is None else tag_of(tags, schema.multi_label)
            yield {"id": one.id, "person": person, "kind": kind, "tag": tag, "suggestions_shown": helped}


def write_lines_of(path: Path, store: Store, schema: Schema) -> int:
    """Write the lines; returns how many there are.

    Raises:
        DataError: no document has a tag.
    """
    count = sum(1 for _ in lines(store, schema))
    if not count:
        raise DataError("No document has a tag yet.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lines(path, lines(store, schema))
    return count


def write_tags(folder: Path, store: Store, schema: Schema) -> tuple[list[Path], int]:
    """Write the tags of the project in every form; returns the files, and the number of documents with a tag.

    Raises:
        DataError: no document has a tag.
    """
    count = write_lines_of(folder / LINES, store, schema)
    _write_table(folder / TABLE, store, schema)
    replace_folder(folder / LABEL_STUDIO, lambda inside: _write_label_studio(inside, store, schema))
    replace_folder(folder / AZURE, lambda inside: _write_azure(inside, folder.resolve().name, store, schema))
    names = [LINES, TABLE, f"{LABEL_STUDIO}/tasks.json", f"{AZURE}/labels.json"]
    if any(True for _ in answers(store, schema)):
        write_lines(folder / ANSWERS, answers(store, schema))
        names.append(ANSWERS)
    return [folder / name for name in names], count


def _write_table(path: Path, store: Store, schema: Schema) -> None:
    mark = separator(schema.classes)
    with whole_file(path) as file:
        file.write("\ufeff")  # Spreadsheets expect it of UTF-8.
        table = csv.writer(file, lineterminator="\r\n")
        table.writerow(COLUMNS)
        for line in lines(store, schema):
            tag = f"{mark} ".join(line["tag"]) if schema.multi_label else line["tag"]
            flagged = "yes" if line.get("flagged") else ""
            shown = (line["id"], line["text"], tag, line.get("person", ""), flagged, line.get("note", ""))
            table.writerow([*map(cell, shown)])


def _write_label_studio(folder: Path, store: Store, schema: Schema) -> None:
    """A task for each document, tagged or not, and the labelling configuration."""
    found = ((one.id, one.text, tags) for one, tags, _ in documents(store))
    write_json(folder / "tasks.json", label_studio.annotated_tasks(found))
    with whole_file(folder / "config.xml") as file:
        file.write(label_studio.config(schema.classes, schema.multi_label))


def _write_azure(folder: Path, name: str, store: Store, schema: Schema) -> None:
    """A labels file and a text file for each document, tagged or not."""
    listed = []
    for one, tags, _ in documents(store):
        location = f"{one.number}.txt"
        (folder / location).write_text(one.text, encoding="utf-8", newline="")
        listed.append((location, tags))
    write_json(folder / "labels.json", labels_file(listed, schema.classes, schema.task, name))


def next_command(folder: Path, store: Store) -> str:
    """The training on the tags: a new one, or that of the run whose queues were tagged."""
    before = run_of(store)
    new = Path(f"{before.path}_tagged") if before is not None else Path("runs") / folder.resolve().name
    return training_command(training_words(store, folder / LINES, new))


def training_words(store: Store, tags: Path, new: Path) -> list[str]:
    """The settings of a training on a file of tags, which makes the run `new`."""
    if (before := run_of(store)) is not None:
        return training_with(before, tags, new)
    return [f"data.train={tags}", "data.label_field=tag", f"run={new}"]


def run_of(store: Store) -> RunFolder | None:
    """The run whose queues are tagged."""
    name = store.remember("run")
    found = None if name is None else RunFolder(Path(name))
    return found if found is not None and found.settings.is_file() else None
