"""The documents that two runs have both been evaluated on, in classes that both know."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tagsmith.analysis.predictions import Predictions, read_predictions
from tagsmith.errors import DataError, InputMissing, SettingsError
from tagsmith.run import RunFolder
from tagsmith.schema import Schema
from tagsmith.schema_changes import SchemaChanges

Indicators = NDArray[np.int8]
Floats = NDArray[np.float32]
Number = TypeVar("Number", np.int8, np.float32)


@dataclass(frozen=True)
class Side:
    """What one of the runs says of the documents.

    Attributes:
        predicted: int8 [documents, classes].
        scores: float32 [documents, classes].
        alone: documents that only this run was evaluated on.
    """

    name: str
    predicted: Indicators
    scores: Floats
    alone: int


@dataclass(frozen=True)
class Pair:
    """Documents with what two runs say of them.

    Attributes:
        truth: int8 [documents, classes], as the second run has the tags.
        retagged: documents whose tags the first run has otherwise.
        untold: documents left out, being of a class that only one of the runs knows.
    """

    classes: tuple[str, ...]
    multi_label: bool
    split: str
    ids: list[str]
    texts: list[str]
    truth: Indicators
    first: Side
    second: Side
    retagged: int
    untold: int


def read_pair(first: RunFolder, second: RunFolder, changes: SchemaChanges | None = None) -> Pair:
    """Read what the evaluations of two runs left.

    Documents are the same where id and text are. Both are judged by the tags of the second run.

    Args:
        changes: what has become of the first run's classes in the second; both are then told in what they share.

    Raises:
        InputMissing: a run is not there, or was not evaluated.
        SettingsError: the runs are one, or their tasks, splits or classes differ, or they share no document.
        DataError: a file is damaged.
    """
    if first.path.resolve() == second.path.resolve():
        raise SettingsError(f"runs: expected two different runs, found {first.path} twice.")
    schemas = [Schema.load(run.schema) for run in (first, second)]
    splits = [_split(run) for run in (first, second)]
    if schemas[0].task is not schemas[1].task:
        raise SettingsError(f"runs: expected one task, found {schemas[0].task.value} and {schemas[1].task.value}.")
    if splits[0] != splits[1]:
        raise SettingsError(
            f"runs: expected evaluations of one split, found {splits[0]} and {splits[1]}; "
            "scripts/evaluate.py run=... split=... evaluates another."
        )
    ways = _ways(schemas[0].classes, schemas[1].classes, changes)
    classes = tuple(dict.fromkeys(ways[0].values()))
    predictions = [
        read_predictions(run.predictions, schema) for run, schema in zip((first, second), schemas, strict=True)
    ]
    rows = _same(*predictions)
    if not rows:
        raise SettingsError(
            f"runs: {first.path} and {second.path} were evaluated on no common document (by id and text); "
            "data.split_from=RUN holds out the documents of an earlier run again."
        )
    at = [np.asarray(column) for column in zip(*rows, strict=True)]
    truths = [
        _told(found.truth[place], schema.classes, way, classes, sums=False)
        for found, place, schema, way in zip(predictions, at, schemas, ways, strict=True)
    ]
    # A document of a class that the other run cannot know is no question that both were asked.
    kept = np.ones(len(rows), dtype=np.bool_) if schemas[1].multi_label else truths[1].any(axis=1)
    if not kept.any():
        raise SettingsError("runs: all common documents are of classes that only one of the runs knows.")
    sides = [
        Side(
            str(run.path),
            _told(found.predicted[place], schema.classes, way, classes, sums=False)[kept],
            _told(found.scores[place], schema.classes, way, classes, sums=not schema.multi_label)[kept],
            len(found) - len(rows),
        )
        for run, found, place, schema, way in zip((first, second), predictions, at, schemas, ways, strict=True)
    ]
    chosen = [predictions[1].rows[i] for i in at[1][kept]]
    return Pair(
        classes, schemas[1].multi_label, splits[1], [row["id"] for row in chosen], [row["text"] for row in chosen],
        truths[1][kept], sides[0], sides[1], int((truths[0] != truths[1])[kept].any(axis=1).sum()), int((~kept).sum()),
    )  # fmt: skip


def _split(run: RunFolder) -> str:
    run.require()
    if gone := [str(path) for path in (run.evaluation, run.predictions) if not path.is_file()]:
        raise InputMissing(f"expected {' and '.join(gone)}; scripts/evaluate.py run={run.path} writes them.")
    try:
        return str(json.loads(run.evaluation.read_text(encoding="utf-8"))["split"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{run.evaluation}: cannot be read: {error!r}; evaluate the run again.") from error


def _ways(
    old: tuple[str, ...], new: tuple[str, ...], changes: SchemaChanges | None
) -> tuple[dict[str, str], dict[str, str]]:
    """To which common class each class of the two runs belongs."""
    if changes is None:
        alone = {"first": set(old) - set(new), "second": set(new) - set(old)}
        told = [f"in the {name} alone: {', '.join(sorted(found))}" for name, found in alone.items() if found]
        if told:
            raise SettingsError(
                f"runs: expected the same classes, found {'; '.join(told)}; schema_changes=FILE says what changed."
            )
        return {name: name for name in old}, {name: name for name in new}
    ways = changes.common(old)
    if set(ways[1]) | set(changes.add) != set(new):
        expected, found = set(ways[1]) | set(changes.add), set(new)
        raise SettingsError(
            "schema_changes: from the classes of the first run it does not come to those of the second: "
            f"missing there {', '.join(sorted(expected - found)) or 'none'}, more there "
            f"{', '.join(sorted(found - expected)) or 'none'}."
        )
    return ways


def _same(first: Predictions, second: Predictions) -> list[tuple[int, int]]:
    """Positions of the documents that stand in both."""
    places = {(row["id"], row["text"]): i for i, row in enumerate(first.rows)}
    keys = ((row["id"], row["text"]) for row in second.rows)
    return [(places[key], i) for i, key in enumerate(keys) if key in places]


def _told(
    values: NDArray[Number], classes: Sequence[str], way: Mapping[str, str], common: Sequence[str], sums: bool
) -> NDArray[Number]:
    """Columns [documents, classes] in the common classes: those of one class joined by their sum, or their maximum."""
    told: NDArray[Number] = np.zeros((len(values), len(common)), dtype=values.dtype)
    for i, name in enumerate(classes):
        if name in way:
            column = told[:, common.index(way[name])]
            column[:] = column + values[:, i] if sums else np.maximum(column, values[:, i])
    return told
