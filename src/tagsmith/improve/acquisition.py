"""Which untagged documents to tag next: uncertain and diverse ones, rare classes first, and a random audit.

The most uncertain documents are much alike. They are clustered, weighted by their uncertainty, and each cluster
contributes one document: Zhdanov, Diverse mini-batch Active Learning, arXiv 1901.05954. `scripts/bench_improve.py`
compares this with other strategies.
"""

import math
import warnings
from dataclasses import dataclass
from enum import Enum
from itertools import chain, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from tagsmith.decision.scope import unit_rows
from tagsmith.decision.uncertainty import decision_uncertainty

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

MOST_UNCERTAIN = {False: 10, True: 2}
"""Documents to cluster per document to choose, by whether the task is multi-label (README: Decisions and
measurements)."""

RARE_COUNTS = 0.25
"""Exponent of the weight of a rare class: (mean tagged documents per class / those of the class) to this power
(README: Decisions and measurements)."""

NEAR_COPY = 0.98
"""Cosine of two centred vectors from which two documents are near copies, of which one is chosen."""


class Reason(Enum):
    """Why a document was chosen."""

    uncertain = "uncertain"
    rare_class = "rare_class"
    audit = "audit"


@dataclass(frozen=True)
class Chosen:
    """A document to tag: its position, the reason, and the rare class that it may belong to."""

    position: int
    reason: Reason
    rare_class: int | None = None


def rarity(tagged: Ints) -> Floats:
    """The weight of a decision on each class, float32 [classes]: higher for classes with fewer tagged documents."""
    return np.asarray(((tagged.mean() + 1) / (tagged + 1)) ** RARE_COUNTS, dtype=np.float32)


def centred_unit_rows(vectors: Floats) -> Floats:
    """Rows of length 1 about their common mean: many encoders put all documents in one direction from the origin."""
    return unit_rows(vectors - vectors.mean(axis=0)) if len(vectors) else vectors


def choose(
    scores: Floats,
    vectors: Floats,
    tagged: Ints,
    budget: int,
    audit_share: float,
    multi_label: bool,
    seed: int,
) -> list[Chosen]:
    """Up to `budget` documents, best first; the audit is spread evenly, so that any prefix of the queue has its share.

    The audit is drawn at random from all documents, so that its tags measure the scores without selection bias. The
    queue holds near copies only where no other documents are left.

    Args:
        scores: float32 [documents, classes].
        vectors: float32 [documents, hidden].
        tagged: int64 [classes], tagged documents of each class.
        audit_share: share of the budget.
    """
    unit, budget = centred_unit_rows(vectors), min(budget, len(scores))
    random = np.random.default_rng(seed)
    picks = _Picks(unit)
    audits = picks.take_from(random.permutation(len(scores)), math.floor(audit_share * budget + 0.5))
    unsure = decision_uncertainty(scores, multi_label) * rarity(tagged)
    weights = np.asarray(unsure.sum(axis=1), dtype=np.float32)
    multiple = MOST_UNCERTAIN[multi_label]
    others = _uncertain(unit, weights, budget - len(audits), multiple, picks, int(random.integers(2**31)))
    rare = tagged < tagged.mean() / 2
    queue = []
    for i in others:
        most = int(unsure[i].argmax())
        queue.append(Chosen(i, Reason.rare_class, most) if rare[most] else Chosen(i, Reason.uncertain))
    return _interleaved(queue, [Chosen(i, Reason.audit) for i in audits])


def representatives(vectors: Floats, weights: Floats, count: int, seed: int) -> list[Ints]:
    """Positions in `count` clusters, heaviest cluster first; in each, the document nearest to its centre first.

    Args:
        vectors: float32 [documents, hidden].
        weights: float32 [documents], not negative.
    """
    count = min(count, len(vectors))
    if count == 0:
        return []
    weights = np.maximum(weights, 1e-9)  # A cluster without weight has no centre.
    with threadpool_limits(1, "openmp"), warnings.catch_warnings():
        # One thread: several would sum the centres in varying order.
        warnings.simplefilter("ignore", ConvergenceWarning)  # Fewer distinct documents than clusters.
        clusters = KMeans(count, n_init=1, max_iter=30, random_state=seed).fit(vectors, sample_weight=weights)
    # Distances to the own centre only: all of them would be [documents, clusters].
    away = np.linalg.norm(vectors - clusters.cluster_centers_[clusters.labels_], axis=1)
    order = np.lexsort((away, clusters.labels_))
    members = np.split(order, np.flatnonzero(np.diff(clusters.labels_[order])) + 1)
    return sorted(members, key=lambda inside: -float(weights[inside].sum()))


class _Picks:
    """The documents chosen so far; rejects near copies of them."""

    def __init__(self, unit: Floats):
        self.unit = unit
        self.taken = np.zeros(len(unit), dtype=np.bool_)
        self.alike = np.zeros(len(unit), dtype=np.bool_)

    def take(self, position: int) -> bool:
        """Choose the document unless it or a near copy was chosen before; returns whether it was."""
        if self.taken[position] or self.alike[position]:
            return False
        self.taken[position] = True
        self.alike |= self.unit @ self.unit[position] >= NEAR_COPY
        return True

    def take_from(self, order: Any, count: int) -> list[int]:
        """Choose the first `count` documents of `order`; near copies only where nothing else is left."""
        found: list[int] = []
        for position in order:
            if len(found) == count:
                return found
            if self.take(int(position)):
                found.append(int(position))
        left = [int(position) for position in order if not self.taken[position]][: count - len(found)]
        self.taken[left] = True
        return found + left


def _uncertain(unit: Floats, weights: Floats, wanted: int, multiple: int, picks: _Picks, seed: int) -> list[int]:
    """Positions of `wanted` documents, one of each cluster of the `multiple` times as many with the most weight."""
    by_weight = np.argsort(-weights, kind="stable")
    left = by_weight[~picks.taken[by_weight]]
    pool = left[: multiple * wanted]
    clusters = [pool[inside] for inside in representatives(unit[pool], weights[pool], wanted, seed)]
    # The first of each cluster, then the second of each, ...: the later rounds only replace near copies.
    nearest_first = [int(i) for layer in zip_longest(*clusters) for i in layer if i is not None]
    return picks.take_from([*nearest_first, *left[len(pool) :]], wanted)


def _interleaved(*queues: list[Chosen]) -> list[Chosen]:
    """The queues as one, each evenly spread over it."""
    places = chain.from_iterable(
        (((i + 0.5) / len(queue), number, chosen) for i, chosen in enumerate(queue))
        for number, queue in enumerate(queues)
    )
    return [chosen for _, _, chosen in sorted(places, key=lambda item: item[:2])]
