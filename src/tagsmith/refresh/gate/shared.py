"""Two versions on the same documents in the classes that both have."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tagsmith.core.schema import Schema
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.decision.bootstrap import OVERALL, contributions, figures
from tagsmith.decision.calibration import calibration_error, certainty
from tagsmith.evaluate.comparison.paired import Compared, Decided, compare_answers, losses
from tagsmith.evaluate.comparison.pairs import mapped
from tagsmith.refresh.gate.answers import Answers, Documents, Flags, Floats, Indicators

RESAMPLES = 2000


@dataclass(frozen=True)
class SharedClasses:
    """The classes of two versions, the champion's and the challenger's.

    Attributes:
        names: the classes in which both can be compared.
        first, second: the shared class of each class of the champion, and of the challenger.
        new, removed: classes that only the challenger has, or only the champion.
    """

    names: tuple[str, ...]
    first: Mapping[str, str]
    second: Mapping[str, str]
    new: tuple[str, ...]
    removed: tuple[str, ...]


def shared_classes(champion: Schema, challenger: Schema, changes: SchemaChanges | None) -> SharedClasses:
    """Which classes are the same: by name, and by what `changes` says about the classes that the champion has.

    Merged classes are compared together, the parts of a split class as the class that they were.
    """
    part = None if changes is None else _concerning(changes, champion)
    if part is None:
        before, after = ({name: name for name in schema.classes} for schema in (champion, challenger))
    else:
        before, after = part.common(champion.classes)
        # A class that the data brought is described nowhere.
        after = {name: after[name] for name in challenger.classes if name in after}
    names = tuple(dict.fromkeys(name for name in before.values() if name in set(after.values())))
    first, second = ({old: name for old, name in one.items() if name in names} for one in (before, after))
    return SharedClasses(
        names,
        first,
        second,
        tuple(name for name in challenger.classes if name not in second),
        tuple(name for name in champion.classes if name not in first),
    )


def _concerning(changes: SchemaChanges, champion: Schema) -> SchemaChanges | None:
    """The changes that the champion has not seen yet; None: none of them, or they do not fit."""
    known = set(champion.classes)
    part = SchemaChanges(
        {old: new for old, new in changes.become.items() if old in known},
        {old: parts for old, parts in changes.split.items() if old in known},
        tuple(name for name in changes.add if name not in known),
        tuple(name for name in changes.delete if name in known),
    )
    return None if part == SchemaChanges() or part.fit(champion.classes) else part


@dataclass(frozen=True)
class Side:
    """The answers of a version in the shared classes; attributes as of `Answers`, `loss` in nats, [documents]."""

    scores: Floats
    predicted: Indicators
    to_person: Flags
    decided: Decided


@dataclass(frozen=True)
class Match:
    """Two versions on the same documents.

    Attributes:
        ids: of the documents that have a shared class; the others cannot be compared.
        truth: int8 [documents, shared classes].
        first, second: the answers of the champion and of the challenger.
    """

    classes: SharedClasses
    multi_label: bool
    ids: list[str]
    truth: Indicators
    first: Side
    second: Side

    @property
    def differ(self) -> float:
        """The share of the documents that only one of the two has right."""
        right = [(side.predicted == self.truth).all(axis=1) for side in (self.first, self.second)]
        return float((right[0] != right[1]).mean())

    def compared(self, seed: int, among: Flags | None = None) -> Compared:
        """The difference of the two, second minus first, over all documents or those of a mask, see `classes_of`."""
        truth, first, second = self.truth, self.first.decided, self.second.decided
        if among is not None:
            kept = classes_of(truth[among])
            truth, first, second = truth[among][:, kept], _among(first, among, kept), _among(second, among, kept)
        return compare_answers(truth, first, second, RESAMPLES, seed)


def classes_of(truth: Indicators) -> Flags:
    """bool [classes], in which some of all test documents are judged: those that they have.

    The documents of a slice are older than a class that appeared later: one that is taken for it would give this class
    an F1 of 0 among those of the slice.
    """
    found = truth.any(axis=0)
    return np.asarray(found if found.any() else np.ones_like(found), dtype=np.bool_)


def _among(decided: Decided, among: Flags, classes: Flags) -> Decided:
    handled = None if decided.handled is None else decided.handled[among]
    return Decided(decided.predicted[among][:, classes], decided.loss[among], handled)


def match(documents: Documents, champion: Answers, challenger: Answers, classes: SharedClasses) -> Match:
    """Both versions on the documents that have a class of both; multi-label: on all documents."""
    multi_label = documents.schema.multi_label
    truth = mapped(documents.truth, documents.schema.classes, classes.second, classes.names, sums=False)
    kept = np.full(len(documents), multi_label) | (truth == 1).any(axis=1)
    sides = [
        side_of(answers, mapping, classes.names, truth, kept)
        for answers, mapping in ((champion, classes.first), (challenger, classes.second))
    ]
    ids = [name for name, keep in zip(documents.ids, kept, strict=True) if keep]
    return Match(classes, multi_label, ids, truth[kept], *sides)


def side_of(
    answers: Answers, mapping: Mapping[str, str], names: tuple[str, ...], truth: Indicators, kept: Flags
) -> Side:
    """Answers in other classes, of the documents of a mask; truth int8 [documents, classes] in these classes."""
    multi_label, old = answers.schema.multi_label, answers.schema.classes
    scores = mapped(answers.scores, old, mapping, names, sums=not multi_label)[kept]
    predicted = mapped(answers.predicted, old, mapping, names, sums=False)[kept]
    to_person = answers.to_person[kept]
    loss = losses(scores, truth[kept], multi_label)
    return Side(scores, predicted, to_person, Decided(predicted, loss, ~to_person))


def own_side(documents: Documents, answers: Answers) -> Side:
    """The answers of a version in its own classes, on all documents."""
    names = documents.schema.classes
    everything = np.ones(len(documents), dtype=np.bool_)
    return side_of(answers, {name: name for name in names}, names, documents.truth, everything)


FIGURES = ("accuracy", "micro_f1", "macro_f1", "log_loss", "calibration_error", "to_person")
"""What is reported of a version: figures of an evaluation, and the shares of documents that go to a person."""


def figures_of(side: Side, truth: Indicators, multi_label: bool, among: Flags | None = None) -> dict[str, float]:
    """The `FIGURES` of one version over all documents, or those of a mask, which holds one at least: `classes_of`."""
    at = np.ones(len(truth), dtype=np.bool_) if among is None else among
    kept = np.ones(truth.shape[1], dtype=np.bool_) if among is None else classes_of(truth[at])
    found = figures(contributions(truth[at][:, kept], side.predicted[at][:, kept], side.decided.loss[at]).sum(axis=0))
    values = {name: float(found[OVERALL.index(name)]) for name in FIGURES[:4]}
    values["calibration_error"] = calibration_error(*certainty(side.scores[at], truth[at], multi_label))
    values["to_person"] = float(side.to_person[at].mean())
    return values
