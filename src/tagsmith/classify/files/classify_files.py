"""Classify a file or a folder in bounded memory; a row that cannot be classified becomes a line with an error.

Rows are read and sorted by length in chunks that do not depend on interruptions, because the last digits of the scores
of a document may depend on the other documents in its batch.
"""

import hashlib
import json
import logging
import pickle
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from tagsmith.classify.classifier import Classifier
from tagsmith.classify.engine import Engine
from tagsmith.classify.files.inputs import Input, Row, open_input
from tagsmith.classify.files.journal import Journal, StandardOutput
from tagsmith.classify.files.tables import require_parquet, write_table
from tagsmith.classify.files.workers import Work, cores_each, in_processes, lines
from tagsmith.config.settings import ClassifyRun
from tagsmith.config.settings.fields import names
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
from tagsmith.rows.open import open_table
from tagsmith.rows.table import Reading

log = logging.getLogger("tagsmith")

VERIFIED_ROWS = 32
"""Rows of a complete output that are classified again."""

TOLERANCE = 1e-3
"""Allowed difference of the scores of a document, which may depend on the other documents in its batch."""

SHOWN = 5
"""Errors that are shown if no row can be classified."""


@dataclass
class Counts:
    """Numbers of written rows."""

    classified: int = 0
    errors: int = 0

    @property
    def rows(self) -> int:
        return self.classified + self.errors


def classify_files(settings: ClassifyRun) -> Counts:
    """Write one line of JSON for each input row, in the order of the input.

    A line has `row` (the number of the line on which the row ends) or `file`, the `id` of the row if it has one, and
    `label` (single-label) or `labels`, `to_person`, `set` and `out_of_scope` if the bundle supports them, and `scores`;
    or `error`.

    Raises:
        InputMissing: the input or the bundle is missing.
        SettingsError: the output exists or cannot be written, or the input has an unknown format.
        TryAgainLater: the disk is full, another process writes the output, or one of several processes was killed.
        Interrupted: SIGTERM or SIGINT was received; `resume=true` resumes.
        DataError: the bundle is damaged, no row can be classified, or the partial output of an interrupted command was
            changed or belongs to other rows.
    """
    output, to_stdout = Path(settings.output), settings.output == "-"
    named = names(settings.input)
    if output.suffix.lower() == ".parquet":
        require_parquet(output)
    if not output.parent.is_dir():
        raise InputMissing(f"output={output}: the folder {output.parent} does not exist.")
    if not to_stdout and (output.is_dir() or output.resolve() in {Path(name).resolve() for name in named}):
        raise SettingsError(f"output={output}: expected the name of a new file, found the input or a folder.")
    if output.exists() and not settings.overwrite and not settings.resume:
        raise SettingsError(f"output={output}: already exists; overwrite=true replaces it.")
    threads = cores_each(settings.processes)
    classifier = Classifier.load(
        settings.bundle,
        threads=threads,
        out_of_scope=settings.out_of_scope,
        providers=settings.providers,
        engine=settings.engine.value,
        precision=settings.precision.value,
        public_key=settings.public_key,
    )
    log.info(f"engine: {classifier.engine}")
    bundle, computed = classifier.bundle_sha256, classifier.engine
    fields = names(settings.text_field or list(classifier.text_fields))
    # With several processes, loading it here only verified the bundle.
    work = Work(classifier if settings.processes == 1 else pickle.dumps(classifier), settings.batch_tokens)
    del classifier
    source_rows = open_input(named, fields, Reading(settings.delimiter, settings.encoding), keep=settings.keep)
    convert = None if output.suffix.lower() == ".jsonl" else write_table
    try:
        with StandardOutput() if to_stdout else Journal(output, convert) as journal:
            counts = _classify(replace(settings, text_field=fields), journal, bundle, computed, work, source_rows)
        for note in source_rows.notes:
            log.warning(note)
        return counts
    except KeyboardInterrupt:
        raise Interrupted(f"to resume, run the same command with output={output} resume=true.") from None
    except OSError as error:
        if error.errno in NO_ROOM:
            raise TryAgainLater(f"output={output}: {error.strerror}; free disk space, then use resume=true.") from error
        raise SettingsError(f"output={output}: cannot be written: {error.strerror}.") from error


def _classify(
    settings: ClassifyRun, journal: Journal, bundle: str | None, computed: Engine, work: Work, source: Input
) -> Counts:
    conditions = {
        "bundle": bundle,
        "text_field": ", ".join(names(settings.text_field or [])),
        "delimiter": settings.delimiter,
        "encoding": settings.encoding,
        "out_of_scope": settings.out_of_scope,
        "batch_documents": settings.batch_documents,
        "batch_tokens": settings.batch_tokens,
    } | ({"keep": settings.keep} if settings.keep else {})
    if computed != Engine(reason=computed.reason):  # Not written by earlier versions.
        conditions |= {"engine": computed.name, "precision": computed.precision}
    counts, rows_digest, place = Counts(), hashlib.sha256(), 0
    if settings.resume and journal.interrupted:
        journal.resume(conditions)
        counts = Counts(journal.state["classified"], journal.state["errors"])
        if journal.done:
            journal.finish(journal.state, conditions)
            return counts
        for row in islice(source.rows, counts.rows):
            rows_digest.update(_row_bytes(row))
            place = row.place
        if rows_digest.hexdigest() != journal.state["rows_sha256"]:
            raise DataError(
                f"input={settings.input}: the first {counted(counts.rows, 'row')} differ from those classified before "
                "the interruption; overwrite=true starts again."
            )
    elif settings.resume and journal.path.exists():
        if journal.path.suffix.lower() != ".jsonl":
            return _count_complete(journal.path, source.rows)
        return _verify_complete(journal.path, source.rows, work)
    elif journal.interrupted and not settings.overwrite:
        raise SettingsError(
            f"output={journal.path}: there is partial output of an interrupted command; resume=true resumes from it, "
            "overwrite=true starts again."
        )
    else:
        journal.begin()
    committed = time.monotonic()

    def state() -> dict[str, Any]:
        return {**asdict(counts), "rows_sha256": rows_digest.hexdigest()}

    chunks = iter(lambda: list(islice(source.rows, settings.batch_documents)), [])
    # Closed, so that an interruption during a write does not wait for the processes.
    with (
        meter("classifying", source.places, "rows", done=place) as progress,
        closing(in_processes(work, chunks, settings.processes)) as results,
    ):
        for rows, result in results:
            journal.append(result.content)
            counts.classified += result.classified
            counts.errors += result.errors
            for row in rows:
                rows_digest.update(_row_bytes(row))
            # Not after an incomplete chunk, which is the last one: if the input grows, its boundary would change.
            if time.monotonic() - committed >= settings.checkpoint_seconds and len(rows) == settings.batch_documents:
                journal.commit(state(), conditions)
                committed = time.monotonic()
            progress.advance(rows[-1].place - place)
            place = rows[-1].place
    if not counts.rows:
        journal.discard()
        raise DataError(f"input={settings.input}: there are no rows.")
    if not counts.classified:
        errors = _first_errors(journal)
        journal.discard()
        raise DataError(
            listing(f"input={settings.input}: none of {counted(counts.rows, 'row')} can be classified.", errors)
        )
    journal.finish(state(), conditions)
    return counts


def _row_bytes(row: Row) -> bytes:
    """The content of a row, for a digest of all rows."""
    return json.dumps([row.key, row.text, row.error], default=str).encode() + b"\n"


def _first_errors(journal: Journal) -> list[str]:
    """The errors of the first rows, each once, with its rows."""
    places: dict[str, list[str]] = {}
    for line in map(json.loads, journal.head(SHOWN)):
        place = [line["file"]] if "file" in line else []
        place += [f"row {line['row']}"] if "row" in line else []
        places.setdefault(line["error"], []).append(" ".join(place))
    return [f"{', '.join(rows)}: {error}" for error, rows in places.items()]


def _verify_complete(output: Path, rows: Iterator[Row], work: Work) -> Counts:
    """Count the rows of the complete output of an earlier command.

    Raises:
        SettingsError: the lines do not match the rows, or the predictions of the first rows differ from those now.
    """
    counts, first = Counts(), list[tuple[Row, dict[str, Any]]]()
    with output.open(encoding="utf-8") as file:
        for line, row in zip_longest(file, rows):
            found = _parsed(line) if line is not None else {}
            fields = None if row is None else {**row.key, "error": row.error} if row.error is not None else row.key
            key = json.loads(json.dumps(fields, default=str))
            # A row that can be classified must have its key and no error, any other row its error.
            if (
                key is None
                or any(found.get(name) != key[name] for name in key)
                or ("error" in found) > ("error" in key)
            ):
                raise SettingsError(
                    f"resume=true: output={output} exists and belongs to another input; overwrite=true replaces it."
                )
            counts.errors += "error" in found
            counts.classified += "error" not in found
            if row is not None and "error" not in found and len(first) < VERIFIED_ROWS:
                first.append((row, found))
    classifier = work.classifier if isinstance(work.classifier, Classifier) else pickle.loads(work.classifier)
    now = lines(classifier, [row for row, _ in first], work.batch_tokens).content.splitlines()
    for (row, found), line in zip(first, map(json.loads, now), strict=True):
        old, new = found.get("scores", {}), line["scores"]
        if (
            found.keys() != line.keys()
            or old.keys() != new.keys()
            or any(abs(old[c] - new[c]) > TOLERANCE for c in new)
        ):
            where = ", ".join(f"{name} {value}" for name, value in row.key.items())
            raise SettingsError(
                f"resume=true: output={output} exists, but this bundle with these settings predicts something else for "
                f"{where}; overwrite=true replaces it."
            )
    log.warning(f"output={output} is already complete; nothing was classified")
    return counts


def _count_complete(output: Path, rows: Iterator[Row]) -> Counts:
    """Count the rows of the complete table of an earlier command.

    Raises:
        SettingsError: it does not have a row for each row of the input.
    """
    counts = Counts()
    table = open_table(output, Reading()).rows()
    for (_, found), row in zip_longest(table, rows, fillvalue=(0, None)):
        key = {name: row.key[name] for name in ("row", "file") if name in row.key} if isinstance(row, Row) else {}
        if not isinstance(found, dict) or not key or any(str(found.get(name)) != str(key[name]) for name in key):
            raise SettingsError(
                f"resume=true: output={output} exists and belongs to another input; overwrite=true replaces it."
            )
        counts.errors += bool(found.get("error"))
        counts.classified += not found.get("error")
    log.warning(f"output={output} is already complete; nothing was classified")
    return counts


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
