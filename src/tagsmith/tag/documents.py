"""The documents and classes of a project: from a pool and settings, or from the queues of a run."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tagsmith.classify.files.inputs import Row, open_input
from tagsmith.config.settings import TagRun
from tagsmith.config.settings.fields import names
from tagsmith.core.errors import DataError, InputMissing, SettingsError, counted, listing
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, Task, natural_order, normal_name
from tagsmith.core.text import text_problem
from tagsmith.data.class_names import NameReader
from tagsmith.data.documents import Source
from tagsmith.data.labels import read_column
from tagsmith.improve.queue_tables import NEXT, SUSPECTED
from tagsmith.rows.fields import has_field
from tagsmith.rows.files import files_of
from tagsmith.rows.json_rows import json_lines
from tagsmith.rows.open import open_table
from tagsmith.rows.table import BadRow, Reading
from tagsmith.tag.classes import History
from tagsmith.tag.decisions import StoredDocument
from tagsmith.tag.sources import read_other
from tagsmith.tag.store import Store

log = logging.getLogger("tagsmith")

LABEL_FIELDS = ("label", "labels")
"""Fields in which training looks for the class of a document; the first one that a file has is read."""


def fill(store: Store, settings: TagRun) -> Schema:
    """Add to the project what the settings name; returns its classes.

    Raises:
        InputMissing, DataError: the pool or the queues cannot be read, or have no usable documents.
        SettingsError: there are no classes, or the task is another one than that of the project.
    """
    if settings.run is not None:
        run = RunFolder(Path(settings.run))
        run.require()
        wanted, guidelines, documents = Schema.load(run.schema), dict[str, str](), _queues(run)
        store.remember("run", str(run.path))
    else:
        documents, named, task = _pool(settings)
        guidelines = _declared(settings, named)
        wanted = Schema(tuple(guidelines), settings.task or task)
    schema = _united(store, wanted, guidelines, settings)
    documents = [_renamed(one, store.history) for one in documents]
    problems = _problems(documents, schema)
    if problems:
        raise DataError(listing("The tags that these documents have cannot be used:", problems))
    counts = store.add(documents)
    if documents:
        log.info(f"project={settings.project}: {counted(counts['new'], 'document')} added, {counts['known']:,} known")
    if counts["renamed"]:
        log.warning(f"replaced {counted(counts['renamed'], 'id')} that another text has")
    if not store.documents(most=1):
        raise SettingsError(f"project={settings.project}: holds no documents; set pool= or run=.")
    return schema


def _declared(settings: TagRun, found: Sequence[str]) -> dict[str, str]:
    """The classes of the settings with their guidelines, and those that the pool's tags have."""
    given = settings.classes
    declared = dict(given) if isinstance(given, dict) else dict.fromkeys(given or (), "")
    return {normal_name(name): text.strip() for name, text in declared.items()} | {
        name: "" for name in found if given is None
    }


def _united(store: Store, wanted: Schema, guidelines: dict[str, str], settings: TagRun) -> Schema:
    """The classes of the project and then the new ones, which it has from now on.

    A class that the project had under this name before people changed it is not new, and neither is a guideline that
    people have replaced: a command may be repeated.
    """
    task = wanted.task
    if (known := store.schema()) is not None:
        task = known[0].task
        if (settings.task or settings.run) and wanted.task is not task:
            raise SettingsError(f"task: expected {task.value}, that of the project, found {wanted.task.value}.")
    new = [name for name in wanted.classes if name not in store.history.known]
    store.set_schema(Schema((*store.history.guidelines, *new), task), store.history.new_texts(guidelines))
    return store.history.schema


def _renamed(document: StoredDocument, history: History) -> StoredDocument:
    """A document by the names that classes have now; without tags, where these do not follow from old names."""
    given = document.given
    if given is not None and any(name in history.known - history.guidelines.keys() for name in given):
        given, again = history.since(given, 0)
        given = None if again is not None else given
    suggested = history.suggestion(document.suggested, 0) if document.suggested else {}
    return replace(document, given=given, suggested=suggested)


def _pool(settings: TagRun) -> tuple[list[StoredDocument], list[str], Task]:
    """The documents of the pool, the classes of the tags that they have, in natural order, and the task."""
    if settings.pool is None:
        return [], [], Task.single_label
    if (source := read_other(settings)) is not None:
        return _of_source(settings, source)
    how = Reading(settings.delimiter, settings.encoding)
    label = _label_field(settings, how)
    given = open_input(
        [settings.pool], names(settings.text_field or "text"), how, "pool", [label] if label is not None else []
    )
    rows, problems = list[tuple[str, Row]](), list[str]()
    for row in given.rows:
        file = row.key.get("file", Path(settings.pool).name)
        place = f"{file}:{row.key['row']}" if "row" in row.key else file
        if row.error is not None:
            problems.append(f"{place}: {row.error}")
        else:
            rows.append((place, row))
    for note in given.notes:
        log.warning(note)
    cells = [row.key.get(label) if label is not None else None for _, row in rows]
    column = read_column(cells, NameReader(), list(settings.classes) if settings.classes else None)
    problems += [f"{rows[position][0]}: {what}" for position, what in column.problems.items()]
    if not rows:
        raise DataError(listing(f"pool={settings.pool}: holds no usable documents.", problems))
    if problems:
        log.warning(listing(f"pool: left out {counted(len(problems), 'row')}:", problems))
    bad = column.problems.keys()
    documents = []
    for i, ((place, row), cell, labels) in enumerate(zip(rows, cells, column.labels, strict=True)):
        tagged = cell not in (None, "") and (bool(labels) or settings.task is Task.multi_label)
        if i not in bad:
            identity = str(row.key.get("id", "")).strip() or place
            documents.append(StoredDocument(identity, row.text, row.group, tuple(labels) if tagged else None))
    return documents, natural_order(name for one in documents for name in one.given or ()), Task.single_label


def _of_source(settings: TagRun, source: Source) -> tuple[list[StoredDocument], list[str], Task]:
    """The documents of a reader of `data`; those without labels are to be tagged."""
    for note in source.notes:
        log.info(note)
    problems = list(map(str, source.problems))
    documents = []
    for one in source.documents:
        if (what := text_problem(one.text, "text")) is not None:
            problems.append(f"{one.file}:{one.row}: {what}")
        else:
            identity = one.id or f"{Path(one.file).name}:{one.row}"
            documents.append(StoredDocument(identity, one.text, one.group, tuple(one.labels) or None))
    if not documents:
        raise DataError(listing(f"pool={settings.pool}: holds no usable documents.", problems))
    if problems:
        log.warning(listing(f"pool: left out {counted(len(problems), 'document')}:", problems))
    found = natural_order(name for one in documents for name in one.given or ())
    return documents, list(dict.fromkeys((*(source.classes or ()), *found))), source.task or Task.single_label


def _label_field(settings: TagRun, how: Reading) -> str | None:
    """The field of the tags that documents have already; None where there is none."""
    if settings.label_field is not None or settings.pool is None or Path(settings.pool).is_dir():
        return settings.label_field
    files, _ = files_of([settings.pool], "pool")
    columns = [open_table(file, how).columns for file in files]
    # Rows of JSON have no columns: each is looked at by itself.
    usable = [name for name in LABEL_FIELDS if all(one is None or has_field(one, name) for one in columns)]
    return usable[0] if usable else None


def _problems(documents: Sequence[StoredDocument], schema: Schema) -> list[str]:
    known = set(schema.classes)
    found = [
        f"{one.id}: unknown class {name!r}; name it in classes= too"
        for one in documents
        for name in one.given or ()
        if name not in known
    ]
    if not schema.multi_label:
        several = [one for one in documents if one.given is not None and len(one.given) != 1]
        found += [f"{one.id}: expected one class, found {', '.join(one.given or ())}" for one in several]
    return found


def _queues(run: RunFolder) -> list[StoredDocument]:
    """The documents of a run's queues in their order: suspected tags, then what to tag next, each until it is tagged.

    Raises:
        InputMissing: the run has no queues.
        DataError: lines are unusable; all of them are listed.
    """
    paths = [path for name in (SUSPECTED, NEXT) if (path := run.improve / name).is_file()]
    if not paths:
        raise InputMissing(f"run={run.path}: has no queues; run scripts/improve.py run={run.path} pool=... first.")
    found: list[StoredDocument] = []
    problems: list[str] = []
    for path in paths:
        for number, record in json_lines(path):
            if isinstance(record, BadRow):
                problems.append(f"{path}:{number}: {record.what}")
            elif not isinstance(record.get("text"), str) or not isinstance(record.get("id"), str):
                problems.append(f"{path}:{number}: expected id and text, found {', '.join(record) or 'none'}")
            elif record.get("suspected", True) and record.get("tag") is None:
                given = record.get("labels")
                found.append(
                    StoredDocument(
                        record["id"],
                        record["text"],
                        record.get("group"),
                        None if given is None else tuple(given),
                        len(found) + 1,
                        _suggestion(record),
                    )
                )
    if problems:
        raise DataError(listing("These lines of queues are unusable:", problems))
    return found


def _suggestion(record: dict[str, Any]) -> dict[str, Any]:
    suggested = record.get("suggested")
    several = [] if suggested is None else suggested if isinstance(suggested, list) else [str(suggested)]
    reason = "suspected" if "suspected" in record else str(record.get("reason") or "")
    return {"suggested": several, "scores": record.get("scores") or {}, "reason": reason}
