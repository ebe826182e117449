"""Which untagged documents to tag next: uncertain ones that differ from each other, of rare classes first, an audit.

Uncertain documents alone are much alike. Clusters of the uncertain ones, each weighted by its uncertainty, give one
document each: Zhdanov, Diverse mini-batch Active Learning, arXiv 1901.05954. `scripts/bench_improve.py` measures it
beside other ways to choose.
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

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

MOST_UNCERTAIN = {False: 10, True: 2}
"""Documents that are clustered, as a multiple of those that are chosen from them, by whether the task is multi-label.

Documents that reach what random choice reaches with 2,000 of banking77, at 1 (no clusters), 5, 10: 1,031, 831, 731. The
905 documents of nlupp_hotels are soon used up: with 400 of other splits of it, at 1, 3, 5: 288, 292, 309.
"""

RARE_COUNTS = 0.25
"""Power of how much rarer than the average class a class is, with which a doubtful decision on it counts more.

nlupp_hotels from 100 to 320 documents, a tenth of them audit, mean micro / macro F1 of 8 draws at 0 (no clusters),
0.25, 0.5: 0.668 / 0.380, 0.669 / 0.396, 0.662 / 0.397.
"""

NEAR_COPY = 0.98
"""Cosine of two centred vectors from which the second document is not chosen beside the first."""


class Reason(Enum):
    """Why a document is to be tagged."""

    uncertain = "uncertain"
    rare_class = "rare_class"
    audit = "audit"


@dataclass(frozen=True)
class Chosen:
    """A document to tag: its position, why, and which rare class it may be of."""

    position: int
    reason: Reason
    rare_class: int | None = None


def doubtful_decisions(scores: Floats, multi_label: bool) -> Floats:
    """How unsure the decision on each class is, float32 [documents, classes].

    Single-label: 1 less the margin between the best two classes, divided between them by their scores. Multi-label: the
    entropy of each decision, in bits; it holds more against a score of 0.1 than how likely that is wrong does.

    Args:
        scores: float32 [documents, classes].
    """
    if multi_label:
        likely = np.clip(scores, 1e-6, 1 - 1e-6)
        return np.asarray(-likely * np.log2(likely) - (1 - likely) * np.log2(1 - likely), dtype=np.float32)
    doubtful = np.zeros_like(scores)
    if scores.shape[1] > 1 and len(scores):
        best = np.argpartition(scores, -2, axis=1)[:, -2:]
        two = np.take_along_axis(scores, best, axis=1)
        unsure = 1 - np.abs(two[:, 1] - two[:, 0])
        np.put_along_axis(doubtful, best, unsure[:, None] * two / two.sum(axis=1, keepdims=True), axis=1)
    return doubtful


def uncertainty(scores: Floats, multi_label: bool) -> Floats:
    """How unsure a model is of each document, float32 [documents].

    Single-label: 1 less the margin between the best two classes. Multi-label: the entropy of all decisions, in bits.
    """
    return np.asarray(doubtful_decisions(scores, multi_label).sum(axis=1), dtype=np.float32)


def rarity(tagged: Ints) -> Floats:
    """What a decision on each class counts, float32 [classes]: the more, the fewer of its documents are tagged."""
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
    """Up to `budget` documents, best first; the reasons take turns, so that any beginning of the queue has its share.

    The audit is drawn at random from all documents: what a person tags there says how good the scores are where
    nothing has chosen the documents. No two of the queue are near copies while others are left.

    Args:
        scores: float32 [documents, classes].
        vectors: float32 [documents, hidden].
        tagged: int64 [classes], documents of each class that are tagged already.
        audit_share: of the budget.
    """
    unit, budget = centred_unit_rows(vectors), min(budget, len(scores))
    random = np.random.default_rng(seed)
    picks = _Picks(unit)
    audits = picks.take_from(random.permutation(len(scores)), math.floor(audit_share * budget + 0.5))
    doubtful = doubtful_decisions(scores, multi_label) * rarity(tagged)
    worth = np.asarray(doubtful.sum(axis=1), dtype=np.float32)
    of = MOST_UNCERTAIN[multi_label]
    others = _uncertain(unit, worth, budget - len(audits), of, picks, int(random.integers(2**31)))
    rare = tagged < tagged.mean() / 2
    queue = []
    for i in others:
        most = int(doubtful[i].argmax())
        queue.append(Chosen(i, Reason.rare_class, most) if rare[most] else Chosen(i, Reason.uncertain))
    return _take_turns(queue, [Chosen(i, Reason.audit) for i in audits])


def representatives(vectors: Floats, weights: Floats, count: int, seed: int) -> list[Ints]:
    """Positions in `count` clusters, the weightiest cluster first, in each the document nearest to its centre first.

    Args:
        vectors: float32 [documents, hidden].
        weights: float32 [documents], not negative.
    """
    count = min(count, len(vectors))
    if count == 0:
        return []
    weights = np.maximum(weights, 1e-9)  # A cluster of documents without any weight has no centre.
    with threadpool_limits(1, "openmp"), warnings.catch_warnings():
        # In one thread: several add up the centres in whatever order they finish.
        warnings.simplefilter("ignore", ConvergenceWarning)  # Fewer different documents than clusters.
        clusters = KMeans(count, n_init=1, max_iter=30, random_state=seed).fit(vectors, sample_weight=weights)
    # Of the distance to its own centre alone: all distances are [documents, clusters].
    away = np.linalg.norm(vectors - clusters.cluster_centers_[clusters.labels_], axis=1)
    order = np.lexsort((away, clusters.labels_))
    members = np.split(order, np.flatnonzero(np.diff(clusters.labels_[order])) + 1)
    return sorted(members, key=lambda inside: -float(weights[inside].sum()))


class _Picks:
    """What was chosen so far; refuses near copies of it."""

    def __init__(self, unit: Floats):
        self.unit = unit
        self.taken = np.zeros(len(unit), dtype=np.bool_)
        self.alike = np.zeros(len(unit), dtype=np.bool_)

    def take(self, position: int) -> bool:
        """Whether the document is chosen now: neither it nor a near copy of it was before."""
        if self.taken[position] or self.alike[position]:
            return False
        self.taken[position] = True
        self.alike |= self.unit @ self.unit[position] >= NEAR_COPY
        return True

    def take_from(self, order: Any, count: int) -> list[int]:
        """The first `count` documents of `order` that can be chosen; near copies where nothing else is left."""
        found: list[int] = []
        for position in order:
            if len(found) == count:
                return found
            if self.take(int(position)):
                found.append(int(position))
        left = [int(position) for position in order if not self.taken[position]][: count - len(found)]
        self.taken[left] = True
        return found + left


def _uncertain(unit: Floats, worth: Floats, wanted: int, of: int, picks: _Picks, seed: int) -> list[int]:
    by_worth = np.argsort(-worth, kind="stable")
    left = by_worth[~picks.taken[by_worth]]
    pool = left[: of * wanted]
    clusters = [pool[inside] for inside in representatives(unit[pool], worth[pool], wanted, seed)]
    # One of each cluster, then the second of each, ...: after the first round only to make up for near copies.
    nearest_first = [int(i) for layer in zip_longest(*clusters) for i in layer if i is not None]
    return picks.take_from([*nearest_first, *left[len(pool) :]], wanted)


def _take_turns(*queues: list[Chosen]) -> list[Chosen]:
    """One queue of several, each of them evenly spread over it."""
    places = chain.from_iterable(
        (((i + 0.5) / len(queue), number, chosen) for i, chosen in enumerate(queue))
        for number, queue in enumerate(queues)
    )
    return [chosen for _, _, chosen in sorted(places, key=lambda item: item[:2])]
