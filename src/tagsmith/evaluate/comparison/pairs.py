"""The documents that two runs were both evaluated on, in the classes that both have."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tagsmith.config.settings import Retagged
from tagsmith.core.errors import DataError, SettingsError, listing
from tagsmith.core.run import RunFolder
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.evaluate.analysis.predictions import Predictions, as_predictions
from tagsmith.evaluate.report.inputs import RunFiles, read_run

Indicators = NDArray[np.int8]
Floats = NDArray[np.float32]
Number = TypeVar("Number", np.int8, np.float32)

MOST_LINES = 20


@dataclass(frozen=True)
class Side:
    """The answers of one run.

    Attributes:
        predicted: int8 [documents, classes].
        scores: float32 [documents, classes].
        handled: bool [documents], whether they do not go to a person; None: the run does not decide that.
        alone: how many documents only this run was evaluated on.
    """

    run: RunFolder
    files: RunFiles
    predicted: Indicators
    scores: Floats
    handled: NDArray[np.bool_] | None
    alone: int


@dataclass(frozen=True)
class OtherTags:
    """A document with different tags in the two runs; tags are given in the common classes."""

    id: str
    text: str
    first: list[str]
    second: list[str]


@dataclass(frozen=True)
class Pair:
    """Documents with the answers of two runs.

    Attributes:
        truth: int8 [documents, classes], by the tags of the second run.
        retagged: documents with different tags in the first run, whether they are left out or not.
        other_classes: how many are left out because only one of the runs has their class.
        other_text: ids with different texts in the two runs.
    """

    classes: tuple[str, ...]
    multi_label: bool
    split: str
    ids: list[str]
    texts: list[str]
    truth: Indicators
    first: Side
    second: Side
    retagged: list[OtherTags]
    other_classes: int
    other_text: int

    def names(self, row: NDArray[np.int8]) -> list[str]:
        """The names of the classes in a row, int8 [classes]."""
        return [self.classes[i] for i in np.flatnonzero(row)]


def read_runs(runs: Sequence[RunFolder]) -> list[RunFiles]:
    """Read runs that are to be compared.

    Raises:
        InputMissing: a run does not exist, or was not evaluated.
        SettingsError: a run is named twice.
        DataError: a file is damaged.
    """
    places = Counter(run.path.resolve() for run in runs)
    if twice := [str(path) for path, count in places.items() if count > 1]:
        raise SettingsError(f"runs: expected different runs, found {', '.join(twice)} twice.")
    return [read_run(run) for run in runs]


def pair_of(
    runs: tuple[RunFolder, RunFolder],
    files: tuple[RunFiles, RunFiles],
    changes: SchemaChanges | None = None,
    retagged: Retagged = Retagged.later_run,
) -> Pair:
    """Align the evaluations of two runs.

    Documents are the same if both id and text are. Both runs are judged by the tags of the second.

    Args:
        changes: how the classes of the first run became those of the second; both are then mapped to common classes.
        retagged: whether documents with different tags in the two runs are judged.

    Raises:
        SettingsError: the runs' tasks, splits or classes differ, or they share no document.
        DataError: predictions are damaged.
    """
    schemas = [one.schema for one in files]
    _require_same("task", [schema.task.value for schema in schemas], runs, "their figures cannot be compared")
    remedy = "scripts/evaluate.py run=... split=... evaluates another split"
    _require_same("split", [one.evaluation["split"] for one in files], runs, remedy)
    mappings = _class_mappings(schemas[0].classes, schemas[1].classes, changes)
    classes = tuple(dict.fromkeys(mappings[0].values()))
    found = [_predictions(one, run) for one, run in zip(files, runs, strict=True)]
    rows = _same(*found)
    ids = [{row["id"] for row in one.rows} for one in found]
    if not rows:
        texts = len(set(found[0].texts) & set(found[1].texts))
        raise SettingsError(
            f"runs: {runs[0].path} and {runs[1].path} were evaluated on no common document (same id and text): they "
            f"share {len(ids[0] & ids[1]):,} ids with different texts and {texts:,} texts with different ids; "
            "data.split_from=RUN holds out the documents of an earlier run again, and an `id` field makes ids "
            "permanent."
        )
    at = [np.asarray(column) for column in zip(*rows, strict=True)]
    truths = [
        mapped(one.truth[place], schema.classes, mapping, classes, sums=False)
        for one, place, schema, mapping in zip(found, at, schemas, mappings, strict=True)
    ]
    # A document of a class that the other run does not have cannot be compared.
    comparable = np.full(len(rows), schemas[1].multi_label) | (truths[1] == 1).any(axis=1)
    if not comparable.any():
        raise SettingsError("runs: all common documents have classes that only one of the runs has.")
    differ = comparable & (truths[0] != truths[1]).any(axis=1)
    kept = comparable & ~differ if retagged is Retagged.left_out else comparable
    if not kept.any():
        raise SettingsError(
            "retagged=left_out: all common documents have different tags in the two runs; retagged=later_run judges "
            "both by the tags of the second."
        )
    sides = [
        Side(
            run=run,
            files=one,
            predicted=mapped(here.predicted[place], schema.classes, mapping, classes, sums=False)[kept],
            scores=mapped(here.scores[place], schema.classes, mapping, classes, sums=not schema.multi_label)[kept],
            handled=_handled(here, place[kept]),
            alone=len(here) - len(rows),
        )
        for run, one, here, place, schema, mapping in zip(runs, files, found, at, schemas, mappings, strict=True)
    ]
    lines = [found[1].rows[i] for i in at[1]]
    chosen = [line for line, keep in zip(lines, kept, strict=True) if keep]
    named = [[[classes[k] for k in np.flatnonzero(truth[i])] for truth in truths] for i in np.flatnonzero(differ)]
    return Pair(
        classes=classes,
        multi_label=schemas[1].multi_label,
        split=files[1].evaluation["split"],
        ids=[line["id"] for line in chosen],
        texts=[line["text"] for line in chosen],
        truth=truths[1][kept],
        first=sides[0],
        second=sides[1],
        retagged=[
            OtherTags(lines[i]["id"], lines[i]["text"], *both)
            for i, both in zip(np.flatnonzero(differ), named, strict=True)
        ],
        other_classes=int((~comparable).sum()),
        other_text=len((ids[0] & ids[1]) - {line["id"] for line in lines}),
    )


def _require_same(what: str, found: Sequence[str], runs: tuple[RunFolder, RunFolder], remedy: str) -> None:
    if len(set(found)) > 1:
        each = " and ".join(f"{one} in {run.path}" for one, run in zip(found, runs, strict=True))
        raise SettingsError(f"runs: expected the same {what}, found {each}; {remedy}.")


def _predictions(files: RunFiles, run: RunFolder) -> Predictions:
    found = as_predictions(files.predictions, files.schema, run.predictions)
    outside = ~((found.scores >= 0) & (found.scores <= 1)).all(axis=1)  # Also true for NaN.
    problems = [f"line {i + 1}: expected scores from 0 to 1" for i in np.flatnonzero(outside)]
    if not files.schema.multi_label:
        several = (found.truth.sum(axis=1) != 1) | (found.predicted.sum(axis=1) != 1)
        problems += [f"line {i + 1}: expected one tag and one predicted class" for i in np.flatnonzero(several)]
    ids = Counter(row["id"] for row in found.rows)
    problems += [f"id {name}: expected once, found {count} times" for name, count in ids.items() if count > 1]
    if problems:
        remedy = f"scripts/evaluate.py run={run.path} writes it again"
        title = f"{run.predictions}: expected the predictions of a run; {remedy}:"
        raise DataError(listing(title, problems, MOST_LINES))
    return found


def _handled(found: Predictions, at: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    to_person = [found.rows[i].get("to_person") for i in at]
    return ~np.array(to_person, dtype=np.bool_) if all(isinstance(one, bool) for one in to_person) else None


def _class_mappings(
    old: tuple[str, ...], new: tuple[str, ...], changes: SchemaChanges | None
) -> tuple[dict[str, str], dict[str, str]]:
    """The common class of each class of the two runs."""
    if changes is None:
        alone = {"first": set(old) - set(new), "second": set(new) - set(old)}
        differences = [f"only in the {name}: {', '.join(sorted(found))}" for name, found in alone.items() if found]
        if differences:
            raise SettingsError(
                f"runs: expected the same classes, found {'; '.join(differences)}; schema_changes=FILE describes "
                f"changes."
            )
        return {name: name for name in old}, {name: name for name in new}
    mappings = changes.common(old)
    if set(mappings[1]) | set(changes.add) != set(new):
        expected, found = set(mappings[1]) | set(changes.add), set(new)
        raise SettingsError(
            "schema_changes: does not lead from the classes of the first run to those of the second; missing in the "
            f"second: {', '.join(sorted(expected - found)) or 'none'}; only in the second: "
            f"{', '.join(sorted(found - expected)) or 'none'}."
        )
    return mappings


def _same(first: Predictions, second: Predictions) -> list[tuple[int, int]]:
    """Positions of the documents that are in both."""
    places = {(row["id"], row["text"]): i for i, row in enumerate(first.rows)}
    keys = ((row["id"], row["text"]) for row in second.rows)
    return [(places[key], i) for i, key in enumerate(keys) if key in places]


def mapped(
    values: NDArray[Number], classes: Sequence[str], mapping: Mapping[str, str], common: Sequence[str], sums: bool
) -> NDArray[Number]:
    """Columns [documents, classes] in the common classes; of merged columns the sum or the maximum."""
    mapped: NDArray[Number] = np.zeros((len(values), len(common)), dtype=values.dtype)
    for i, name in enumerate(classes):
        if name in mapping:
            column = mapped[:, common.index(mapping[name])]
            column[:] = column + values[:, i] if sums else np.maximum(column, values[:, i])
    return mapped
