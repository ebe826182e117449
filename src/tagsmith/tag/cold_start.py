"""Scores of documents from the names and guidelines of classes alone, before and while there are few tags.

The vector of a class, by the encoder of the documents, is compared with those of the documents, and neighbours then
share what they have: Zhou et al., Learning with Local and Global Consistency, NeurIPS 2003.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from tagsmith.improve.acquisition import centred_unit_rows

Floats = NDArray[np.float32]

NEIGHBOURS = 15
"""Neighbours of a document in the graph."""

SHARED = 0.8
"""How much of its scores a document has from its neighbours, rather than from the classes (README: Decisions and
measurements)."""

TEMPERATURE = 0.05
"""Difference of two cosines at which one class is e times as likely as the other (single-label)."""

LANDMARKS = 5000
"""Documents, drawn at random, that form the graph; the others take their scores from their neighbours among them."""

ROUNDS = 20
"""Rounds of sharing: `SHARED` to this power, 1 %, is left of the way to the limit."""

TAGS_A_CLASS = 1
"""Tags for each class, on average, at which names and regression count alike (README: Decisions and measurements)."""

BLOCK = 2000
"""Documents whose similarities to all others are computed at a time."""


def class_texts(guidelines: Mapping[str, str]) -> list[str]:
    """What the encoder reads of each class: its name as words, and its guideline."""
    words = {name: " ".join(name.replace("_", " ").replace("-", " ").split()) for name in guidelines}
    return [f"{words[name]}: {text}" if text else words[name] for name, text in guidelines.items()]


def cold_scores(vectors: Floats, classes: Floats, multi_label: bool, seed: int) -> Floats:
    """Scores of documents, float32 [documents, classes], by their similarity to classes and to each other.

    Single-label: they sum to 1. Multi-label: a score of 0.5 or more for the best class of a document and for those that
    are nearly as similar, since no class says how similar its documents are.

    Args:
        vectors, classes: float32 [documents, hidden] and [classes, hidden].
    """
    if not len(classes):
        return np.zeros((len(vectors), 0), dtype=np.float32)
    documents, names = centred_unit_rows(vectors), centred_unit_rows(classes)
    start = _likely(documents @ names.T)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(documents))[:LANDMARKS])
    places, weights = _nearest(documents, documents[chosen], chosen)
    shared = start[chosen]
    graph = _graph(places[chosen], weights[chosen])
    for _ in range(ROUNDS):
        shared = np.asarray(SHARED * (graph @ shared) + (1 - SHARED) * start[chosen], dtype=np.float32)
    shared /= np.maximum(shared.sum(axis=1, keepdims=True), 1e-12)
    found = (1 - SHARED) * start
    share = SHARED * weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    for neighbour in range(places.shape[1]):
        found += share[:, neighbour, None] * shared[places[:, neighbour]]
    found[chosen] = shared
    found /= np.maximum(found.sum(axis=1, keepdims=True), 1e-12)
    return found / (2 * found.max(axis=1, keepdims=True)) if multi_label else found


def mixed(cold: Floats, scores: Floats | None, tags: int) -> Floats:
    """The mean of both scores, [documents, classes], of which the regression's counts more with every tag.

    Args:
        scores: of the regression on the tags; None where there are too few.
        tags: number of documents with a tag.
    """
    if scores is None:
        return cold
    half = TAGS_A_CLASS * cold.shape[1]
    weight = half / (half + tags)
    return np.asarray(weight * cold + (1 - weight) * scores, dtype=np.float32)


def _likely(similarities: Floats) -> Floats:
    """Softmax over the classes, float32 [documents, classes]."""
    logits = (similarities - similarities.max(axis=1, keepdims=True)) / TEMPERATURE
    found = np.exp(logits)
    return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float32)


def _nearest(documents: Floats, landmarks: Floats, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """The nearest landmarks of each document but itself, and the cosines, at least 0; each [documents, neighbours]."""
    count = min(NEIGHBOURS, len(landmarks) - 1)
    places = np.empty((len(documents), max(count, 0)), dtype=np.int64)
    weights = np.empty(places.shape, dtype=np.float32)
    if count < 1:
        return places, weights
    own = np.full(len(documents), -1)
    own[chosen] = np.arange(len(chosen))
    for start in range(0, len(documents), BLOCK):
        block = slice(start, start + BLOCK)
        cosines = documents[block] @ landmarks.T
        rows = np.flatnonzero(own[block] >= 0)
        cosines[rows, own[block][rows]] = -2
        places[block] = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        weights[block] = np.maximum(np.take_along_axis(cosines, places[block], axis=1), 0)
    return places, weights


def _graph(places: NDArray[np.int64], weights: Floats) -> csr_array:
    """The symmetric graph of nearest landmarks, each edge divided by the root of the degrees of both ends."""
    rows = np.repeat(np.arange(len(places)), places.shape[1])
    one_way = csr_array((weights.ravel(), (rows, places.ravel())), shape=(len(places), len(places)))
    edges = one_way.maximum(one_way.T)
    scale = diags_array(1 / np.sqrt(np.maximum(edges.sum(axis=1), 1e-12)))
    return csr_array(scale @ edges @ scale)
