"""Classes that are taken for each other more often than by chance."""

from collections.abc import Iterator, Mapping, Sequence
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

TOLD = 5
"""Pairs that have a line of their own; the others share one."""

GRAVE = 0.1
"""Share of a pair's documents that is taken for the other class, from which it is a problem."""


def collisions(analysis: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], facts: Facts) -> Iterator[Line]:
    """Lines for pairs that are confused both ways and beyond chance, and what merging each pair would give."""
    truth, predicted = (
        indicators_of_names([row[name] for row in rows], facts.classes) for name in ("labels", "predicted")
    )
    wrong = confusions(truth, predicted, facts.multi_label)
    trained = np.asarray([analysis["data"]["classes"][name].get("train", 0) for name in facts.classes])
    expected = by_chance(truth, predicted, trained, facts.multi_label)
    pairs = beyond_chance(wrong, expected)
    support = truth.sum(axis=0, dtype=int)
    lines = [_line(analysis, rows, facts, truth, predicted, wrong, support, *pair) for pair in pairs]
    lines.sort(key=lambda line: (-line.size, line.title))
    told = TOLD if len(lines) > TOLD + 1 else len(lines)  # A line about one further pair can be its own.
    yield from lines[:told]
    if rest := lines[told:]:
        yield _rest(rest)


def confusions(truth: Indicators, predicted: Indicators, multi_label: bool) -> NDArray[np.int64]:
    """Documents [true class, predicted class] where the first is missed and the second invented."""
    missed, invented = truth & (1 - predicted), predicted & (1 - truth)
    return missed.astype(np.int64).T @ invented.astype(np.int64)


def by_chance(
    truth: Indicators, predicted: Indicators, trained: NDArray[np.int64], multi_label: bool
) -> NDArray[np.float64]:
    """How many such documents there would be if classes were not alike, float [true class, predicted class].

    Single-label: the documents of a class that are taken for another one fall on the others in proportion to their
    training documents. Multi-label: what is missed and what is invented have nothing to do with each other.
    """
    missed = (truth & (1 - predicted)).sum(axis=0, dtype=np.float64)
    if multi_label:
        invented = (predicted & (1 - truth)).sum(axis=0, dtype=np.float64)
        without = np.maximum(1, (1 - truth).sum(axis=0, dtype=np.float64))
        apart: NDArray[np.float64] = np.outer(missed, invented / without)
        return apart
    weights = trained + 1.0
    shares = weights[None, :] / (weights.sum() - weights)[:, None]
    np.fill_diagonal(shares, 0)
    chance: NDArray[np.float64] = missed[:, None] * shares
    return chance


def beyond_chance(found: NDArray[np.int64], expected: NDArray[np.float64]) -> list[tuple[int, int, float]]:
    """Pairs of classes that are confused in both directions, and in sum more often than by chance, with the p-value.

    A Poisson test of the sum, corrected by Holm for all pairs of classes.
    """
    classes = len(found)
    both = [(a, b) for a, b in combinations(range(classes), 2) if found[a, b] and found[b, a]]
    values = [more_than(int(found[a, b] + found[b, a]), float(expected[a, b] + expected[b, a])) for a, b in both]
    corrected = holm(values, classes * (classes - 1) // 2)
    return [(a, b, p) for (a, b), p in zip(both, corrected, strict=True) if p <= LEVEL]


def merged(truth: Indicators, predicted: Indicators, a: int, b: int) -> dict[str, float]:
    """Accuracy and macro F1 if two classes were one, and as they are."""

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


def _line(
    analysis: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], facts: Facts, truth: Indicators,
    predicted: Indicators, wrong: NDArray[np.int64], support: NDArray[np.int64], a: int, b: int, p: float,
) -> Line:  # fmt: skip
    one, other = facts.classes[a], facts.classes[b]
    there, back = int(wrong[a, b]), int(wrong[b, a])
    total, of = there + back, int(support[a] + support[b])
    figure = {
        "documents": total, f"{one} -> {other}": there, f"{other} -> {one}": back, "support": of, "p": p,
        **merged(truth, predicted, a, b),
    }  # fmt: skip
    verb = "predicted in each other's place" if facts.multi_label else "taken for each other"
    away = "without it but with" if facts.multi_label else "given to"
    reason = (
        f"{there} of {counted(int(support[a]), 'document')} of {one} are {away} {other}, {back} of "
        f"{int(support[b]):,} the other way: more than chance (p = {p:.1g}, Poisson, corrected for all pairs). As one "
        f"class, accuracy would be {figure['accuracy_merged']:.4f} instead of {figure['accuracy']:.4f}, macro F1 "
        f"{figure['macro_f1_merged']:.4f} instead of {figure['macro_f1']:.4f}."
    )
    return Line(
        "collision",
        Severity.problem if total >= GRAVE * of else Severity.advice,
        f"{one} and {other} are {verb}: {counted(total, 'document')}.",
        reason,
        "Read the examples side by side. If a person cannot tell them apart either, merge the two classes; if some are "
        "tagged wrongly, mend these tags; else write down what divides the two and tag more documents at that border.",
        (one, other),
        figure,
        [*_examples(rows, a, b, facts, analysis["split"]), *_examples(rows, b, a, facts, analysis["split"])],
        total,
    )


def _examples(
    rows: Sequence[Mapping[str, Any]], true: int, said: int, facts: Facts, split: str, most: int = 3
) -> list[dict[str, Any]]:
    """Documents of one class that were taken for the other, the surest mistakes first."""
    name, other = facts.classes[true], facts.classes[said]
    found = [
        row
        for row in rows
        if name in row["labels"] and name not in row["predicted"]
        and other in row["predicted"] and other not in row["labels"]
    ]  # fmt: skip
    found.sort(key=lambda row: (-row["scores"][other], row["id"]))
    return [example(row, split) for row in found[:most]]


def _rest(lines: Sequence[Line]) -> Line:
    documents = int(sum(line.size for line in lines))
    pairs = [f"{line.classes[0]} / {line.classes[1]}" for line in lines]
    return Line(
        "collision",
        Severity.advice,
        f"{counted(len(lines), 'further pair')} of classes collide: {named(pairs)}.",
        f"Together {counted(documents, 'document')} are confused both ways, more than by chance.",
        "See what is said of the first pairs; these matter less.",
        list(dict.fromkeys(name for line in lines for name in line.classes)),
        {"documents": documents, "pairs": {pair: int(line.size) for pair, line in zip(pairs, lines, strict=True)}},
        [line.examples[0] for line in lines[:3]],
        0.0,
    )
