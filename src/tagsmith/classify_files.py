"""Classify a file or a folder, row by row, in bounded memory: what cannot be classified becomes a row with an error."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tagsmith.classify import Classifier, Prediction
from tagsmith.errors import NO_ROOM, InputMissing, SettingsError, TryAgainLater
from tagsmith.files import whole_file
from tagsmith.progress import meter
from tagsmith.settings import ClassifyRun
from tagsmith.untagged import Untagged, untagged_rows


@dataclass
class Counts:
    """Rows written."""

    classified: int = 0
    errors: int = 0


def classify_files(settings: ClassifyRun) -> Counts:
    """Write one JSON line for each input row, in the order of the input.

    A line has `row` (the number of the line on which the row ends) or `file`, the row's `id` where it has one, and
    `label` (single-label) or `labels`, `to_person`, `set` and `out_of_scope` where the bundle knows them, and `scores`;
    or `error`.

    Raises:
        InputMissing: no input or no bundle.
        SettingsError: the output exists or cannot be written, or the input is of an unknown kind.
        TryAgainLater: the disk is full.
        DataError: the bundle is not whole.
    """
    source, output = Path(settings.input), Path(settings.output)
    if not source.exists():
        raise InputMissing(f"input={source}: does not exist (looked for it from {Path.cwd()}).")
    if not output.parent.is_dir():
        raise InputMissing(f"output={output}: the folder {output.parent} does not exist.")
    if output.is_dir() or output.resolve() == source.resolve():
        raise SettingsError(f"output={output}: expected a file of its own, found the input or a folder.")
    if output.exists() and not settings.overwrite:
        raise SettingsError(f"output={output}: exists; overwrite=true replaces it.")
    rows = _rows(source, settings)
    classifier = Classifier.load(settings.bundle, out_of_scope=settings.out_of_scope)
    counts = Counts()
    try:
        with whole_file(output) as file, meter("classifying", None, "rows") as progress:
            while chunk := list(islice(rows, settings.batch_documents)):
                for line in _classify(classifier, chunk):
                    counts.errors += "error" in line
                    counts.classified += "error" not in line
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
                progress.advance(len(chunk))
    except OSError as error:
        kind = TryAgainLater if error.errno in NO_ROOM else SettingsError
        raise kind(f"output={output}: cannot be written: {error.strerror}.") from error
    return counts


def _classify(classifier: Classifier, rows: list[Untagged]) -> Iterator[dict[str, Any]]:
    scores, decisions = classifier.decide([row.text for row in rows])
    predictions = classifier.predictions(scores, decisions)
    for i, row in enumerate(rows):
        if row.error is not None:
            yield {**row.key, "error": row.error}
        else:
            named = {name: round(float(s), 6) for name, s in zip(classifier.classes, scores[i], strict=True)}
            yield {**row.key, **_decided(predictions[i]), "scores": named}


def _decided(prediction: Prediction) -> dict[str, Any]:
    """What a line says of a prediction; nothing of what the bundle does not know."""
    single = prediction.label is not None
    line: dict[str, Any] = {"label": prediction.label} if single else {"labels": list(prediction.labels)}
    line["to_person"] = prediction.to_person
    if prediction.set is not None:
        line["set"] = list(prediction.set)
    if prediction.out_of_scope is not None:
        line["out_of_scope"] = round(prediction.out_of_scope, 6)
    return line


def _rows(source: Path, settings: ClassifyRun) -> Iterator[Untagged]:
    return untagged_rows(source, "input", settings.text_field, settings.delimiter, settings.encoding)
