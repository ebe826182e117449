"""Strategies for choosing the next documents to tag: Tagsmith's and those that it is compared with."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from tagsmith.decision.uncertainty import uncertainty
from tagsmith.improve.acquisition import centred_unit_rows, choose

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

Strategy = Callable[["Situation", int, int], Ints]
"""From a situation, a number of documents and a seed to that many positions among the untagged documents."""

NEIGHBOURS = 20
MOST_CLUSTERS = 500


class Situation:
    """The state in which the next documents are chosen.

    Attributes:
        vectors: float32 [documents, hidden], of all documents.
        tagged, untagged: positions among them.
        scores: float32 [untagged, classes].
        counts: int64 [classes], tagged documents of each class.
    """

    def __init__(self, vectors: Floats, tagged: Ints, untagged: Ints, scores: Floats, counts: Ints, multi_label: bool):
        self.vectors, self.tagged, self.untagged = vectors, tagged, untagged
        self.scores, self.counts, self.multi_label = scores, counts, multi_label


def strategies(audit_share: float) -> dict[str, Strategy]:
    """The strategies of `settings.STRATEGIES`, by name."""

    def tagsmith(now: Situation, count: int, seed: int) -> Ints:
        vectors = now.vectors[now.untagged]
        chosen = choose(now.scores, vectors, now.counts, count, audit_share, now.multi_label, seed)
        return np.asarray([each.position for each in chosen], dtype=np.int64)

    return {
        "random": random,
        "margin": margin,
        "entropy": entropy,
        "badge": badge,
        "typiclust": typiclust,
        "tagsmith": tagsmith,
    }


def random(now: Situation, count: int, seed: int) -> Ints:
    """Random documents."""
    return np.random.default_rng(seed).permutation(len(now.untagged))[:count]


def margin(now: Situation, count: int, seed: int) -> Ints:
    """Documents with the smallest margin between the best two classes (multi-label: most expected errors)."""
    likely_wrong = np.minimum(now.scores, 1 - now.scores).sum(axis=1)
    unsure = likely_wrong if now.multi_label else uncertainty(now.scores, False)
    return np.argsort(-unsure, kind="stable")[:count]


def entropy(now: Situation, count: int, seed: int) -> Ints:
    """Documents whose scores have the highest entropy (multi-label: summed over the classes)."""
    likely = np.clip(now.scores.astype(np.float64), 1e-9, 1 - 1e-9)
    found = -(likely * np.log(likely)).sum(axis=1)
    if now.multi_label:
        found -= ((1 - likely) * np.log(1 - likely)).sum(axis=1)
    return np.argsort(-found, kind="stable")[:count]


def badge(now: Situation, count: int, seed: int) -> Ints:
    """k-means++ on the gradients of the head for its own predictions as labels: Ash et al., arXiv 1906.03671."""
    scores = now.scores
    right = scores >= 0.5 if now.multi_label else scores == scores.max(axis=1, keepdims=True)
    errors, vectors = scores - right, now.vectors[now.untagged]
    # A gradient is the outer product of the two, so distances follow from the products of the parts.
    norms = (errors**2).sum(axis=1) * (vectors**2).sum(axis=1)
    generator = np.random.default_rng(seed)
    chosen = [int(norms.argmax())]
    nearest = np.full(len(scores), np.inf)
    while len(chosen) < min(count, len(scores)):
        last = chosen[-1]
        products = (errors @ errors[last]) * (vectors @ vectors[last])
        nearest = np.minimum(nearest, np.maximum(norms + norms[last] - 2 * products, 0))
        nearest[chosen] = 0
        if nearest.sum() > 0:
            chosen.append(int(generator.choice(len(scores), p=nearest / nearest.sum())))
        else:
            chosen.append(int(generator.choice(np.setdiff1d(np.arange(len(scores)), chosen))))
    return np.asarray(chosen)


def typiclust(now: Situation, count: int, seed: int) -> Ints:
    """The most typical document of each of the largest untagged clusters: Hacohen et al., arXiv 2202.02794."""
    unit = centred_unit_rows(now.vectors)
    clusters = min(len(now.tagged) + count, MOST_CLUSTERS, len(unit))
    cluster_of = MiniBatchKMeans(clusters, n_init=1, max_iter=20, random_state=seed).fit_predict(unit)
    covered, sizes = (np.bincount(cluster_of[part], minlength=clusters) for part in (now.tagged, now.untagged))
    order = np.lexsort((-sizes, covered))
    queues = []
    for cluster in order:
        inside = np.flatnonzero(cluster_of[now.untagged] == cluster)
        vectors = unit[now.untagged[inside]]
        near = np.sort(vectors @ vectors.T, axis=1)[:, -NEIGHBOURS - 1 : -1] if len(inside) > 1 else np.zeros((1, 1))
        queues.append(list(inside[np.argsort(-near.mean(axis=1)[: len(inside)], kind="stable")]))
    chosen: list[int] = []
    while len(chosen) < min(count, len(now.untagged)):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(int(queue.pop(0)))
    return np.asarray(chosen)
