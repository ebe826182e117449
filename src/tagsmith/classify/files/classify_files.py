"""Classify a file or a folder, row by row, in bounded memory: what cannot be classified becomes a row with an error.

Rows are read and sorted by length in chunks that are the same however often the work is interrupted, as the scores of a
document may differ in their last digits with its company in a batch.
"""

import hashlib
import json
import logging
import pickle
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from tagsmith.classify.classifier import Classifier
from tagsmith.classify.files.inputs import Input, Row, open_input
from tagsmith.classify.files.journal import Journal
from tagsmith.classify.files.workers import Work, cores_each, in_processes, lines
from tagsmith.config.settings import ClassifyRun
from tagsmith.core.errors import (
    NO_ROOM,
    DataError,
    InputMissing,
    Interrupted,
    SettingsError,
    TryAgainLater,
    counted,
    listing,
)
from tagsmith.core.progress import meter

log = logging.getLogger("tagsmith")

LOOKED_AT = 32
"""Rows of a whole output that are classified again."""

ALIKE = 1e-3
"""Difference of two scores of one document, which may differ with its company in a batch."""

SHOWN = 5
"""Errors that are told where no row could be classified."""


@dataclass
class Counts:
    """Rows written."""

    classified: int = 0
    errors: int = 0

    @property
    def rows(self) -> int:
        return self.classified + self.errors


def classify_files(settings: ClassifyRun) -> Counts:
    """Write one JSON line for each input row, in the order of the input.

    A line has `row` (the number of the line on which the row ends) or `file`, the row's `id` where it has one, and
    `label` (single-label) or `labels`, `to_person`, `set` and `out_of_scope` where the bundle knows them, and `scores`;
    or `error`.

    Raises:
        InputMissing: no input or no bundle.
        SettingsError: the output exists or cannot be written, or the input is of an unknown kind.
        TryAgainLater: the disk is full, another process writes the output, or one of several processes was killed.
        Interrupted: SIGTERM or SIGINT has come; `resume=true` goes on.
        DataError: the bundle is not whole, no row can be classified, or what an interrupted command has left is not
            what it wrote or not of these rows.
    """
    source, output = Path(settings.input), Path(settings.output)
    if not source.exists():
        raise InputMissing(f"input={source}: does not exist (looked for it from {Path.cwd()}).")
    if not output.parent.is_dir():
        raise InputMissing(f"output={output}: the folder {output.parent} does not exist.")
    if output.is_dir() or output.resolve() == source.resolve():
        raise SettingsError(f"output={output}: expected a file of its own, found the input or a folder.")
    if output.exists() and not settings.overwrite and not settings.resume:
        raise SettingsError(f"output={output}: exists; overwrite=true replaces it.")
    threads = cores_each(settings.processes)
    classifier = Classifier.load(
        settings.bundle, threads=threads, out_of_scope=settings.out_of_scope, providers=settings.providers,
        public_key=settings.public_key,
    )  # fmt: skip
    bundle = classifier.bundle_sha256
    # Where others classify, the one that was loaded here has done its work: the bundle is whole.
    work = Work(classifier if settings.processes == 1 else pickle.dumps(classifier), settings.batch_tokens)
    del classifier
    given = open_input(source, settings.text_field, settings.delimiter, settings.encoding)
    try:
        with Journal(output) as journal:
            return _classify(settings, journal, bundle, work, given)
    except KeyboardInterrupt:
        raise Interrupted(f"the same command with output={output} resume=true goes on.") from None
    except OSError as error:
        if error.errno in NO_ROOM:
            raise TryAgainLater(
                f"output={output}: {error.strerror}; make room, then go on with resume=true."
            ) from error
        raise SettingsError(f"output={output}: cannot be written: {error.strerror}.") from error


def _classify(settings: ClassifyRun, journal: Journal, bundle: str | None, work: Work, given: Input) -> Counts:
    about = {
        "bundle": bundle,
        "text_field": settings.text_field,
        "delimiter": settings.delimiter,
        "encoding": settings.encoding,
        "out_of_scope": settings.out_of_scope,
        "batch_documents": settings.batch_documents,
        "batch_tokens": settings.batch_tokens,
    }
    counts, seen, place = Counts(), hashlib.sha256(), 0
    if settings.resume and journal.interrupted:
        journal.go_on(about)
        counts = Counts(journal.state["classified"], journal.state["errors"])
        if journal.done:
            journal.finish(journal.state, about)
            return counts
        for row in islice(given.rows, counts.rows):
            seen.update(_mark(row))
            place = row.place
        if seen.hexdigest() != journal.state["rows_sha256"]:
            raise DataError(
                f"input={settings.input}: its first {counted(counts.rows, 'row')} are not those that were classified "
                "before the interruption; overwrite=true begins anew."
            )
    elif settings.resume and journal.path.exists():
        return _of_these_rows(journal.path, given.rows, work)
    elif journal.interrupted and not settings.overwrite:
        raise SettingsError(
            f"output={journal.path}: an interrupted command has left a part of it; resume=true goes on with that, "
            "overwrite=true begins anew."
        )
    else:
        journal.begin()
    committed = time.monotonic()

    def state() -> dict[str, Any]:
        return {**asdict(counts), "rows_sha256": seen.hexdigest()}

    chunks = iter(lambda: list(islice(given.rows, settings.batch_documents)), [])
    # Closed: who is interrupted while it writes does not wait for the processes either.
    with (
        meter("classifying", given.places, "rows", done=place) as progress,
        closing(in_processes(work, chunks, settings.processes)) as done,
    ):
        for rows, made in done:
            journal.append(made.content)
            counts.classified += made.classified
            counts.errors += made.errors
            for row in rows:
                seen.update(_mark(row))
            # A chunk that is not full is the last one, unless the input grows: then it would be cut elsewhere.
            if time.monotonic() - committed >= settings.checkpoint_seconds and len(rows) == settings.batch_documents:
                journal.commit(state(), about)
                committed = time.monotonic()
            progress.advance(rows[-1].place - place)
            place = rows[-1].place
    if not counts.rows:
        journal.discard()
        raise DataError(f"input={settings.input}: holds no row.")
    if not counts.classified:
        found = _first_errors(journal)
        journal.discard()
        raise DataError(
            listing(f"input={settings.input}: none of {counted(counts.rows, 'row')} can be classified.", found)
        )
    journal.finish(state(), about)
    return counts


def _mark(row: Row) -> bytes:
    """What tells a row from another one in its place."""
    return json.dumps([row.key, row.text, row.error], default=str).encode() + b"\n"


def _first_errors(journal: Journal) -> list[str]:
    lines = [json.loads(line) for line in journal.head(SHOWN)]
    return [f"{line.get('file') or 'row ' + str(line.get('row'))}: {line['error']}" for line in lines]


def _of_these_rows(output: Path, rows: Iterator[Row], work: Work) -> Counts:
    """Count a whole output, which a command left that ended well.

    Raises:
        SettingsError: it has not a line for each of these rows, or its first lines do not say what would be said now.
    """
    counts, first = Counts(), list[tuple[Row, dict[str, Any]]]()
    with output.open(encoding="utf-8") as file:
        for line, row in zip_longest(file, rows):
            found = _parsed(line) if line is not None else {}
            told = None if row is None else {**row.key, "error": row.error} if row.error is not None else row.key
            key = json.loads(json.dumps(told, default=str))
            # Of a row that was classified, its key and no error; of another one, the error that it has now.
            if (
                key is None
                or any(found.get(name) != key[name] for name in key)
                or ("error" in found) > ("error" in key)
            ):
                raise SettingsError(
                    f"resume=true: output={output} exists, and is not of this input; overwrite=true replaces it."
                )
            counts.errors += "error" in found
            counts.classified += "error" not in found
            if row is not None and "error" not in found and len(first) < LOOKED_AT:
                first.append((row, found))
    classifier = work.classifier if isinstance(work.classifier, Classifier) else pickle.loads(work.classifier)
    now = lines(classifier, [row for row, _ in first], work.batch_tokens).content.splitlines()
    for (row, found), line in zip(first, map(json.loads, now), strict=True):
        was, said = found.get("scores", {}), line["scores"]
        if found.keys() != line.keys() or was.keys() != said.keys() or any(abs(was[c] - said[c]) > ALIKE for c in said):
            where = ", ".join(f"{name} {value}" for name, value in row.key.items())
            raise SettingsError(
                f"resume=true: output={output} exists, and says other things of {where} than this bundle with these "
                "settings; overwrite=true replaces it."
            )
    log.warning(f"output={output} was whole before: nothing is classified")
    return counts


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
