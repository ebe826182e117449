"""Guidance about pairs of classes that are confused with each other more often than by chance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.errors import counted
from tagsmith.core.schema import indicators_of_names
from tagsmith.decision.intervals import overall
from tagsmith.decision.significance import LEVEL, holm, more_than
from tagsmith.evaluate.guidance.lines import Facts, Line, Severity, example, named

Indicators = NDArray[np.int8]

OWN_LINES = 5
"""Pairs that get a line of their own; the others share one."""

GRAVE = 0.1
"""Share of a pair's documents that are confused from which it is a problem."""


@dataclass(frozen=True)
class _Evaluated:
    """The predictions of an evaluation.

    Attributes:
        rows: the lines of `predictions.jsonl`.
        truth, predicted: int8 [documents, classes].
        wrong: int64 [true class, predicted class], see `confusions`.
    """

    rows: Sequence[Mapping[str, Any]]
    facts: Facts
    split: str
    truth: Indicators
    predicted: Indicators
    wrong: NDArray[np.int64]


def collisions(analysis: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], facts: Facts) -> Iterator[Line]:
    """Pairs of classes that are confused both ways and beyond chance, and what merging each pair would bring."""
    truth = indicators_of_names([row["labels"] for row in rows], facts.classes)
    predicted = indicators_of_names([row["predicted"] for row in rows], facts.classes)
    wrong = confusions(truth, predicted)
    trained = np.asarray([analysis["data"]["classes"][name].get("train", 0) for name in facts.classes])
    expected = by_chance(truth, predicted, trained, facts.multi_label)
    evaluated = _Evaluated(rows, facts, analysis["split"], truth, predicted, wrong)
    lines = [_line(evaluated, *pair) for pair in beyond_chance(wrong, expected)]
    lines.sort(key=lambda line: (-line.size, line.title))
    own = OWN_LINES if len(lines) > OWN_LINES + 1 else len(lines)  # A shared line for a single pair saves nothing.
    yield from lines[:own]
    if rest := lines[own:]:
        yield _rest(rest)


def confusions(truth: Indicators, predicted: Indicators) -> NDArray[np.int64]:
    """Documents [true class, predicted class] in which the first is missed and the second is predicted wrongly."""
    missed, invented = truth & (1 - predicted), predicted & (1 - truth)
    return missed.astype(np.int64).T @ invented.astype(np.int64)


def by_chance(
    truth: Indicators, predicted: Indicators, trained: NDArray[np.int64], multi_label: bool
) -> NDArray[np.float64]:
    """How many such documents chance alone would bring, float [true class, predicted class].

    Single-label: the wrong documents of a class fall on the other classes in proportion to their training documents.
    Multi-label: missed classes and wrongly predicted classes are independent.
    """
    missed = (truth & (1 - predicted)).sum(axis=0, dtype=np.float64)
    if multi_label:
        invented = (predicted & (1 - truth)).sum(axis=0, dtype=np.float64)
        without = np.maximum(1, (1 - truth).sum(axis=0, dtype=np.float64))
        independent: NDArray[np.float64] = np.outer(missed, invented / without)
        return independent
    weights = trained + 1.0
    shares = weights[None, :] / (weights.sum() - weights)[:, None]
    np.fill_diagonal(shares, 0)
    chance: NDArray[np.float64] = missed[:, None] * shares
    return chance


def beyond_chance(found: NDArray[np.int64], expected: NDArray[np.float64]) -> list[tuple[int, int, float]]:
    """Pairs of classes that are confused both ways and, in sum, more often than by chance; with the p-value.

    A Poisson test of the sum, Holm-corrected for all pairs of classes.
    """
    classes = len(found)
    both = [(a, b) for a, b in combinations(range(classes), 2) if found[a, b] and found[b, a]]
    values = [more_than(int(found[a, b] + found[b, a]), float(expected[a, b] + expected[b, a])) for a, b in both]
    corrected = holm(values, classes * (classes - 1) // 2)
    return [(a, b, p) for (a, b), p in zip(both, corrected, strict=True) if p <= LEVEL]


def merged(truth: Indicators, predicted: Indicators, a: int, b: int) -> dict[str, float]:
    """Accuracy and macro F1 as they are, and with two classes merged into one."""

    def joined(matrix: Indicators) -> Indicators:
        columns = np.delete(matrix, b, axis=1)
        columns[:, a if a < b else a - 1] = matrix[:, a] | matrix[:, b]
        return columns

    before, after = overall(truth, predicted), overall(joined(truth), joined(predicted))
    return {
        "accuracy": before["accuracy"],
        "macro_f1": before["macro_f1"],
        "accuracy_merged": after["accuracy"],
        "macro_f1_merged": after["macro_f1"],
    }


def _line(evaluated: _Evaluated, a: int, b: int, p: float) -> Line:
    facts, wrong, support = evaluated.facts, evaluated.wrong, evaluated.truth.sum(axis=0, dtype=int)
    one, other = facts.classes[a], facts.classes[b]
    there, back = int(wrong[a, b]), int(wrong[b, a])
    total, of = there + back, int(support[a] + support[b])
    figure = {
        "documents": total,
        f"{one} -> {other}": there,
        f"{other} -> {one}": back,
        "support": of,
        "p": p,
        **merged(evaluated.truth, evaluated.predicted, a, b),
    }
    confused = "predicted in place of each other" if facts.multi_label else "confused with each other"
    predicted = "get the other class instead" if facts.multi_label else f"are predicted as {other}"
    reason = (
        f"{there} of {counted(int(support[a]), 'document')} of {one} {predicted}, {back} of {int(support[b]):,} the "
        f"other way: more than by chance (p = {p:.1g}, Poisson test, Holm-corrected for all pairs). With both classes "
        f"merged, accuracy would be {figure['accuracy_merged']:.4f} instead of {figure['accuracy']:.4f} and macro F1 "
        f"{figure['macro_f1_merged']:.4f} instead of {figure['macro_f1']:.4f}."
    )
    return Line(
        "collision",
        Severity.problem if total >= GRAVE * of else Severity.advice,
        f"{one} and {other} are {confused}: {counted(total, 'document')}.",
        reason,
        "Read the examples side by side. If a person cannot tell the classes apart either, merge them; if some "
        "examples are tagged wrongly, correct the tags; otherwise write down what separates the two and tag more "
        "documents near that boundary.",
        (one, other),
        figure,
        [*_examples(evaluated, a, b), *_examples(evaluated, b, a)],
        total,
    )


def _examples(evaluated: _Evaluated, true: int, predicted: int, most: int = 3) -> list[dict[str, Any]]:
    """Documents of one class that were taken for the other, the most confident mistakes first."""
    places = np.flatnonzero(
        (evaluated.truth[:, true] > evaluated.predicted[:, true])
        & (evaluated.predicted[:, predicted] > evaluated.truth[:, predicted])
    )
    other = evaluated.facts.classes[predicted]
    found = sorted((evaluated.rows[int(i)] for i in places), key=lambda row: (-row["scores"][other], row["id"]))
    return [example(row, evaluated.split) for row in found[:most]]


def _rest(lines: Sequence[Line]) -> Line:
    documents = int(sum(line.size for line in lines))
    pairs = [f"{line.classes[0]} / {line.classes[1]}" for line in lines]
    return Line(
        "collision",
        Severity.advice,
        f"{counted(len(lines), 'further pair')} of classes are confused: {named(pairs)}.",
        f"Together, {counted(documents, 'document')} are confused both ways, more than by chance.",
        "The advice on the first pairs applies here too; these matter less.",
        list(dict.fromkeys(name for line in lines for name in line.classes)),
        {"documents": documents, "pairs": {pair: int(line.size) for pair, line in zip(pairs, lines, strict=True)}},
        [line.examples[0] for line in lines[:3]],
        0.0,
    )
