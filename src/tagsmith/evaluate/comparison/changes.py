"""The documents that two runs classify differently."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tagsmith.evaluate.comparison.pairs import Pair

KINDS = {"lost": "right to wrong", "gained": "wrong to right", "still_wrong": "wrong in a different way"}


def changed(pair: Pair) -> list[dict[str, Any]]:
    """A line for each document that got different classes, the largest changes of a score first.

    Returns:
        id, text, labels, first and second (the classes that each run predicts), change (one of `KINDS`), moved (the
        largest change of a score among these classes) and scores: {class: [first, second]} of these classes.
    """
    return sorted(_lines(pair), key=lambda line: (-line["moved"], line["id"]))


def _lines(pair: Pair) -> Iterator[dict[str, Any]]:
    first, second = pair.first, pair.second
    right = [(side.predicted == pair.truth).all(axis=1) for side in (first, second)]
    for i in np.flatnonzero((first.predicted != second.predicted).any(axis=1)):
        concerned = np.flatnonzero(pair.truth[i] | first.predicted[i] | second.predicted[i])
        scores = {pair.classes[k]: [round(float(side.scores[i, k]), 6) for side in (first, second)] for k in concerned}
        yield {
            "id": pair.ids[i],
            "text": pair.texts[i],
            "labels": pair.names(pair.truth[i]),
            "first": pair.names(first.predicted[i]),
            "second": pair.names(second.predicted[i]),
            "change": "lost" if right[0][i] else "gained" if right[1][i] else "still_wrong",
            "moved": round(max(abs(after - before) for before, after in scores.values()), 6),
            "scores": scores,
        }
