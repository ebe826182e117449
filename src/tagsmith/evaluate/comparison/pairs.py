"""The documents that two runs have both been evaluated on, in classes that both know."""

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
    """What one of the runs says of the documents.

    Attributes:
        predicted: int8 [documents, classes].
        scores: float32 [documents, classes].
        handled: bool [documents], what it does not send to a person; None: it says nothing of it.
        alone: documents that only this run was evaluated on.
    """

    run: RunFolder
    files: RunFiles
    predicted: Indicators
    scores: Floats
    handled: NDArray[np.bool_] | None
    alone: int


@dataclass(frozen=True)
class OtherTags:
    """A document that is tagged otherwise in the two runs; tags in the classes that both share."""

    id: str
    text: str
    first: list[str]
    second: list[str]


@dataclass(frozen=True)
class Pair:
    """Documents with what two runs say of them.

    Attributes:
        truth: int8 [documents, classes], as the second run has the tags.
        retagged: documents whose tags the first run has otherwise, judged or left out.
        untold: how many are left out, being of a class that only one of the runs knows.
        other_text: ids that stand for one text in the first run and for another in the second.
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
    untold: int
    other_text: int

    def names(self, row: NDArray[np.int8]) -> list[str]:
        """The classes of a row int8 [classes]."""
        return [self.classes[i] for i in np.flatnonzero(row)]


def read_runs(runs: Sequence[RunFolder]) -> list[RunFiles]:
    """Read runs that are to be compared.

    Raises:
        InputMissing: a run is not there, or was not evaluated.
        SettingsError: a run is named twice.
        DataError: a file is damaged.
    """
    places = Counter(run.path.resolve() for run in runs)
    if twice := [str(path) for path, count in places.items() if count > 1]:
        raise SettingsError(f"runs: expected different runs, found twice: {', '.join(twice)}.")
    return [read_run(run) for run in runs]


def pair_of(
    runs: tuple[RunFolder, RunFolder],
    files: tuple[RunFiles, RunFiles],
    changes: SchemaChanges | None = None,
    retagged: Retagged = Retagged.later_run,
) -> Pair:
    """Bring together what the evaluations of two runs left.

    Documents are the same where id and text are. Both runs are judged by the tags of the second.

    Args:
        changes: what has become of the first run's classes in the second; both are then told in what they share.
        retagged: whether documents that are tagged otherwise in the two runs are judged.

    Raises:
        SettingsError: the runs' tasks, splits or classes differ, or they share no document.
        DataError: predictions are damaged.
    """
    schemas = [one.schema for one in files]
    _require_same("task", [schema.task.value for schema in schemas], runs, "such figures do not compare")
    remedy = "scripts/evaluate.py run=... split=... evaluates another"
    _require_same("split", [one.evaluation["split"] for one in files], runs, remedy)
    ways = _ways(schemas[0].classes, schemas[1].classes, changes)
    classes = tuple(dict.fromkeys(ways[0].values()))
    found = [_predictions(one, run) for one, run in zip(files, runs, strict=True)]
    rows = _same(*found)
    ids = [{row["id"] for row in one.rows} for one in found]
    if not rows:
        texts = len(set(found[0].texts) & set(found[1].texts))
        raise SettingsError(
            f"runs: {runs[0].path} and {runs[1].path} were evaluated on no common document, of one id and text: "
            f"{len(ids[0] & ids[1]):,} ids are in both, with other texts, and {texts:,} texts, with other ids; "
            "data.split_from=RUN holds out the documents of an earlier run again, an `id` field names them for good."
        )
    at = [np.asarray(column) for column in zip(*rows, strict=True)]
    truths = [
        _told(one.truth[place], schema.classes, way, classes, sums=False)
        for one, place, schema, way in zip(found, at, schemas, ways, strict=True)
    ]
    # A document of a class that the other run cannot know is no question that both were asked.
    asked = np.full(len(rows), schemas[1].multi_label) | (truths[1] == 1).any(axis=1)
    if not asked.any():
        raise SettingsError("runs: all common documents are of classes that only one of the runs knows.")
    differ = asked & (truths[0] != truths[1]).any(axis=1)
    kept = asked & ~differ if retagged is Retagged.left_out else asked
    if not kept.any():
        raise SettingsError(
            "retagged=left_out: all common documents are tagged otherwise in the two runs; retagged=later_run judges "
            "both by the tags of the second."
        )
    sides = [
        Side(
            run=run,
            files=one,
            predicted=_told(here.predicted[place], schema.classes, way, classes, sums=False)[kept],
            scores=_told(here.scores[place], schema.classes, way, classes, sums=not schema.multi_label)[kept],
            handled=_handled(here, place[kept]),
            alone=len(here) - len(rows),
        )
        for run, one, here, place, schema, way in zip(runs, files, found, at, schemas, ways, strict=True)
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
        untold=int((~asked).sum()),
        other_text=len((ids[0] & ids[1]) - {line["id"] for line in lines}),
    )


def _require_same(what: str, found: Sequence[str], runs: tuple[RunFolder, RunFolder], remedy: str) -> None:
    if len(set(found)) > 1:
        told = " and ".join(f"{one} in {run.path}" for one, run in zip(found, runs, strict=True))
        raise SettingsError(f"runs: expected one {what}, found {told}; {remedy}.")


def _predictions(files: RunFiles, run: RunFolder) -> Predictions:
    found = as_predictions(files.predictions, files.schema, run.predictions)
    outside = ~((found.scores >= 0) & (found.scores <= 1)).all(axis=1)  # NaN is neither.
    problems = [f"line {i + 1}: expected scores from 0 to 1" for i in np.flatnonzero(outside)]
    if not files.schema.multi_label:
        several = (found.truth.sum(axis=1) != 1) | (found.predicted.sum(axis=1) != 1)
        problems += [f"line {i + 1}: expected one tag and one predicted class" for i in np.flatnonzero(several)]
    ids = Counter(row["id"] for row in found.rows)
    problems += [f"id {name}: expected once, found {count} times" for name, count in ids.items() if count > 1]
    if problems:
        remedy = f"scripts/evaluate.py run={run.path} writes it anew"
        told = f"{run.predictions}: expected the predictions of a run; {remedy}:"
        raise DataError(listing(told, problems, MOST_LINES))
    return found


def _handled(found: Predictions, at: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    to_person = [found.rows[i].get("to_person") for i in at]
    return ~np.array(to_person, dtype=np.bool_) if all(isinstance(one, bool) for one in to_person) else None


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
