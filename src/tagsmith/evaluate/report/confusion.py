"""Confusions of classes: counts, the order in which classes are drawn, the pairs with most documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

Counts = NDArray[np.int64]

MOST_ORDERED = 500
"""Classes beyond which an optimal order of the leaves takes minutes; the order of the tree is used instead."""


@dataclass(frozen=True)
class Pair:
    """Documents with `true` missed and `predicted` instead; None: no class."""

    true: int | None
    predicted: int | None
    documents: int


def missed_and_invented(predictions: Sequence[dict[str, Any]], classes: Sequence[str]) -> Counts:
    """Documents by missed class and wrongly predicted ("invented") class, int64 [classes + 1, classes + 1].

    Row i: class i is tagged and not predicted. Column j: class j is predicted and not tagged. The last row counts
    documents without a missed class, the last column those without an invented class. For a single-label run this is
    the confusion matrix without its diagonal.
    """
    ids, nothing = {name: i for i, name in enumerate(classes)}, len(classes)
    counts = np.zeros((nothing + 1, nothing + 1), dtype=np.int64)
    for line in predictions:
        tagged, predicted = set(line["labels"]), set(line["predicted"])
        if tagged == predicted:
            continue
        missed = [ids[name] for name in tagged - predicted] or [nothing]
        invented = [ids[name] for name in predicted - tagged] or [nothing]
        counts[np.ix_(missed, invented)] += 1
    return counts


def order_of_classes(errors: Counts, support: NDArray[np.int64]) -> list[int]:
    """An order of the classes in which confused classes are next to each other.

    The similarity of two classes is the sum of the shares that were taken for the other class. Average linkage with
    optimally ordered leaves (Bar-Joseph et al. 2001, Fast optimal leaf ordering for hierarchical clustering). Classes
    that were never confused come last, in the order of the schema.

    Args:
        errors: counts [classes, classes], true by predicted; the diagonal is ignored.
        support: documents of each class [classes].
    """
    rates = errors / np.maximum(support, 1)[:, None]
    np.fill_diagonal(rates, 0)
    near = rates + rates.T
    confused = np.flatnonzero(near.any(axis=1))
    rest = [int(i) for i in np.flatnonzero(~near.any(axis=1))]
    if len(confused) < 3:
        return [*map(int, confused), *rest]
    near = near[np.ix_(confused, confused)]
    distance = 1 - near / near.max()
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=len(confused) <= MOST_ORDERED)
    leaves = [int(confused[i]) for i in leaves_list(tree)]
    # A mirrored order is as good; this one begins with the lower class id.
    return [*(leaves if leaves[0] < leaves[-1] else leaves[::-1]), *rest]


def pairs(errors: Counts) -> list[Pair]:
    """All confused pairs, most documents first, then by class id.

    Args:
        errors: from `missed_and_invented`.
    """
    nothing = len(errors) - 1
    found = [
        Pair(int(i) if i < nothing else None, int(j) if j < nothing else None, int(errors[i, j]))
        for i, j in np.argwhere(errors)
        if i != j
    ]
    return sorted(found, key=lambda pair: -pair.documents)


def most_errors(errors: Counts, most: int) -> list[int]:
    """The at most `most` classes that take part in most mistakes, by class id.

    Args:
        errors: from `missed_and_invented`.
    """
    part = (errors.sum(axis=0) + errors.sum(axis=1))[:-1]
    ranked = np.argsort(-part, kind="stable")[:most]
    return sorted(int(i) for i in ranked if part[i])
