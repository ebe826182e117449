"""Batches of documents within a budget of tokens, padding included."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

NEIGHBOURHOOD = 64
"""The number of batches whose documents are sorted by length together: enough for little padding, but still random."""


def cut(order: Ints, lengths: Ints, windows: Ints, budget: int) -> list[Ints]:
    """Cut documents, in this order, into batches of at most `budget` tokens; a longer document is a batch of its own.

    The size of a batch is its number of windows times its longest window, as the encoder computes padding too.
    """
    batches: list[Ints] = []
    start = longest = total = 0
    # Lists, because reading a million elements one by one from an array is slow.
    for i, (length, count) in enumerate(zip(lengths[order].tolist(), windows[order].tolist(), strict=True)):
        grown = max(longest, length)
        if i > start and grown * (total + count) > budget:
            batches.append(order[start:i])
            start, longest, total = i, length, count
        else:
            longest, total = grown, total + count
    if start < len(order):
        batches.append(order[start:])
    return batches


def scoring_batches(lengths: Ints, windows: Ints, budget: int) -> list[Ints]:
    """Batches of all documents, longest first, so that a batch that exceeds the memory fails at the beginning."""
    return cut(np.argsort(-lengths, kind="stable"), lengths, windows, budget)


def training_batches(lengths: Ints, windows: Ints, budget: int, seed: int, epoch: int) -> list[Ints]:
    """Random batches of all documents, each batch of similar lengths.

    Documents are shuffled, sorted by length within neighbourhoods and cut by the budget, and the batches are shuffled,
    so that neither the order of a document nor its batch depends on its length alone. The same seed and epoch produce
    the same batches.
    """
    random = np.random.default_rng([seed, epoch])
    shuffled = random.permutation(len(lengths))
    typical = max(1, round(budget / max(1.0, float(np.mean(lengths * windows)))))
    size = typical * NEIGHBOURHOOD
    batches: list[Ints] = []
    for start in range(0, len(shuffled), size):
        neighbours = shuffled[start : start + size]
        batches += cut(neighbours[np.argsort(lengths[neighbours], kind="stable")], lengths, windows, budget)
    return [batches[i] for i in random.permutation(len(batches))]
