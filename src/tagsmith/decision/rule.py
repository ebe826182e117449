"""From logits to decisions: calibrated scores, thresholds, abstention. The same code in a run and in a bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.errors import DataError, SettingsError, counted
from tagsmith.core.schema import Schema
from tagsmith.decision.scope import Scope

Floats = NDArray[np.float32]

RESTORE_RULE = "restore it from a copy, or create it again with scripts/calibrate.py"


@dataclass(frozen=True)
class Decisions:
    """The decisions on documents.

    Attributes:
        predicted: int8 [documents, classes], 1 for a predicted class.
        confidence: float32 [documents]: the score of the predicted class; multi-label: of all decisions together,
            the product over the classes of the score, or of 1 - score where a class is not predicted.
        to_person: bool [documents], whether confidence is too low or the document is out of scope.
        sets: bool [documents, classes], see `conformal`; None: the rule has no sets.
        distances: float32 [documents], see `Scope.distances`; None: not measured.
    """

    predicted: NDArray[np.int8]
    confidence: Floats
    to_person: NDArray[np.bool_]
    sets: NDArray[np.bool_] | None
    distances: Floats | None


@dataclass(frozen=True)
class DecisionRule:
    """How logits become scores, and scores become decisions.

    Attributes:
        multi_label: sigmoid and thresholds; otherwise softmax and the best class.
        scale, shift: the logit of a class is multiplied by its scale, then its shift is added; [classes].
        thresholds: score from which a class is predicted (multi-label), [classes].
        abstain_below: confidence below which a document goes to a person; None: no limit.
        set_from: score from which a class is in the conformal set, [classes]; None: no sets.
        costs: "TRUE>PREDICTED" -> cost of that error (see `cost_matrix`); empty: all errors cost the same.
        scope: detects documents that belong to none of the classes; None: not detected.
        about: how the rule was chosen, ready for JSON.
    """

    multi_label: bool
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    thresholds: tuple[float, ...]
    abstain_below: float | None = None
    set_from: tuple[float, ...] | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    matrix: Floats | None = None
    scope: Scope | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def plain(cls, schema: Schema, threshold: float) -> "DecisionRule":
        """The scores of the model as they are, one threshold for all classes, no abstention."""
        count = len(schema.classes)
        return cls(schema.multi_label, (1.0,) * count, (0.0,) * count, (threshold,) * count)

    @property
    def calibrated(self) -> bool:
        return bool(self.about)

    def with_threshold(self, threshold: float) -> "DecisionRule":
        """A copy with one threshold for all classes."""
        return replace(self, thresholds=(threshold,) * len(self.thresholds))

    def scores(self, logits: Floats) -> Floats:
        """Scores from 0 to 1, float32 [documents, classes], from logits of that shape."""
        scaled = logits * np.asarray(self.scale, np.float32) + np.asarray(self.shift, np.float32)
        return sigmoid(scaled) if self.multi_label else softmax(scaled)

    def decide(self, scores: Floats, vectors: Floats | None = None) -> Decisions:
        """Decide on documents.

        Args:
            scores: float32 [documents, classes], from `scores`.
            vectors: float32 [documents, hidden], from the encoder; None: the scope is not checked.
        """
        predicted = self._predicted(scores)
        if self.multi_label:
            right = np.where(predicted == 1, scores, 1 - scores)
            confidence = np.exp(np.log(np.maximum(right, 1e-12)).sum(axis=1, dtype=np.float64)).astype(np.float32)
        else:
            confidence = (scores * predicted).sum(axis=1)
        to_person = np.zeros(len(scores), dtype=np.bool_)
        if self.abstain_below is not None:
            to_person |= confidence < self.abstain_below
        distances = None
        if self.scope is not None and vectors is not None:
            distances = self.scope.distances(vectors)
            to_person |= distances > self.scope.limit
        sets = None if self.set_from is None else scores >= np.asarray(self.set_from, np.float32)
        return Decisions(predicted, confidence, to_person, sets, distances)

    def _predicted(self, scores: Floats) -> NDArray[np.int8]:
        if self.multi_label:
            return (scores >= np.asarray(self.thresholds, np.float32)).astype(np.int8)
        best = scores.argmax(axis=1) if self.matrix is None else (scores @ self.matrix).argmin(axis=1)
        predicted = np.zeros(scores.shape, dtype=np.int8)
        predicted[np.arange(len(scores)), best] = 1
        return predicted

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; the references of the scope have their own file."""
        return {
            "scale": self.scale,
            "shift": self.shift,
            "thresholds": self.thresholds,
            "abstain_below": self.abstain_below,
            "set_from": self.set_from,
            "costs": dict(self.costs),
            "out_of_scope_beyond": self.scope.limit if self.scope is not None else None,
            "about": dict(self.about),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], schema: Schema, path: Path, references: Path) -> "DecisionRule":
        """The inverse of `as_dict`; a file of format 1 has thresholds only.

        Args:
            path: the file that `content` was read from, for messages.
            references: the file that `Scope.save` wrote.

        Raises:
            DataError: the content is invalid or does not match the schema.
        """
        count = len(schema.classes)
        try:
            thresholds = _numbers(content["thresholds"])
            lists = {
                "scale": _numbers(content.get("scale", [1.0] * count)),
                "shift": _numbers(content.get("shift", [0.0] * count)),
                "set_from": None if content.get("set_from") is None else _numbers(content["set_from"]),
            }
            costs = {str(name): float(cost) for name, cost in content.get("costs", {}).items()}
            limits = [content.get(name) for name in ("abstain_below", "out_of_scope_beyond")]
            abstain_below, limit = (None if value is None else float(value) for value in limits)
            about = dict(content.get("about", {}))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}: expected scale, shift and thresholds of each class, found {error!r}; {RESTORE_RULE}."
            ) from error
        for name, values in (("thresholds", thresholds), *lists.items()):
            if values is not None and len(values) != count:
                expected = counted(count, "class")
                raise DataError(f"{path}: expected {name} for each of {expected}, found {len(values)}; {RESTORE_RULE}.")
        scope = None if limit is None else Scope.load(references, limit)
        matrix = cost_matrix(costs, schema) if costs and not schema.multi_label else None
        return cls(
            multi_label=schema.multi_label,
            scale=lists["scale"] or (),
            shift=lists["shift"] or (),
            thresholds=thresholds,
            abstain_below=abstain_below,
            set_from=lists["set_from"],
            costs=costs,
            matrix=matrix,
            scope=scope,
            about=about,
        )


def cost_matrix(costs: Mapping[str, float], schema: Schema) -> Floats:
    """The cost of each error, float32 [true, predicted]: 1 unless `costs` ("TRUE>PREDICTED") names it, 0 if right.

    Raises:
        SettingsError: a name is not a class.
    """
    matrix = 1 - np.eye(len(schema.classes), dtype=np.float32)
    for pair, cost in costs.items():
        true, predicted = split_pair(pair, schema)
        matrix[schema.label2id[true], schema.label2id[predicted]] = cost
    return matrix


def split_pair(pair: str, schema: Schema) -> tuple[str, str]:
    """The two classes of "TRUE>PREDICTED"; names may contain `>`, and in a multi-label schema one of them is empty.

    Raises:
        SettingsError: `pair` does not name two classes.
    """
    names = {*schema.classes, ""} if schema.multi_label else set(schema.classes)
    for place in (i for i, character in enumerate(pair) if character == ">"):
        true, predicted = pair[:place], pair[place + 1 :]
        if (
            true in names
            and predicted in names
            and true != predicted
            and not (schema.multi_label and true and predicted)
        ):
            return true, predicted
    wanted = '"CLASS>" (missed) or ">CLASS" (invented)' if schema.multi_label else '"TRUE>PREDICTED"'
    raise SettingsError(f"costs: expected {wanted} with the classes {', '.join(schema.classes)}; found {pair!r}.")


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-logits)), float32, without overflow."""
    small = np.exp(-np.abs(logits))  # exp of a negative number alone cannot overflow.
    return np.asarray(np.where(logits >= 0, 1 / (1 + small), small / (1 + small)), dtype=np.float32)


def softmax(logits: Floats) -> Floats:
    """Over the classes, float32 [documents, classes]."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
