"""Which documents go through the encoder together: batches cut by a budget of tokens, padding included."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

NEIGHBOURHOOD = 64
"""Batches' worth of documents that are sorted by length together: enough to pad little, few enough to stay random."""


def cut(order: Ints, lengths: Ints, windows: Ints, budget: int) -> list[Ints]:
    """Cut documents, in this order, into batches of at most `budget` tokens (one document may exceed it alone).

    The cost of a batch is its windows times its longest window: what the encoder computes, padding included.
    """
    batches: list[Ints] = []
    start = longest = total = 0
    # Lists: a million documents an epoch are read one by one, and an array is slow at that.
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
    """Every document once, longest first: a batch too large for the memory fails at once, not at the end."""
    return cut(np.argsort(-lengths, kind="stable"), lengths, windows, budget)


def training_batches(lengths: Ints, windows: Ints, budget: int, seed: int, epoch: int) -> list[Ints]:
    """Every document once, in random batches of similar lengths.

    Documents are shuffled, sorted by length within neighbourhoods, cut by the budget, and the batches are
    shuffled, so that neither the order nor the company of a document follows from its length alone. The same
    seed and epoch give the same batches.
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
