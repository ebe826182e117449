"""The number of documents of each class, and the lengths of documents."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

BINS = 20


def class_counts(truths: dict[str, NDArray[np.int8]], classes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Documents by class and split; `truths`: split -> int8 [documents, classes]."""
    sums = {split: truth.sum(axis=0, dtype=np.int64) for split, truth in truths.items()}
    return {name: {split: int(counts[i]) for split, counts in sums.items()} for i, name in enumerate(classes)}


def lengths(tokens: Ints, unread: Ints) -> dict[str, Any]:
    """The lengths of documents, in tokens.

    Args:
        tokens, unread: int64 [documents], see `EncodedDocuments`.

    Returns:
        p50, p95 and max; `cut`: documents with unread tokens; and a histogram: `edges`, at most `BINS` equal
        steps up to the 99th percentile and one to the longest, and `counts` between them.
    """
    p50, p95, p99 = (int(value) for value in np.quantile(tokens, [0.5, 0.95, 0.99], method="inverted_cdf"))
    shortest, longest = int(tokens.min()), int(tokens.max())
    step = max(1, -(-(p99 + 1 - shortest) // BINS))
    edges = [*range(shortest, p99 + 1 + step, step)]
    if edges[-1] <= longest:
        edges.append(longest + 1)
    counts, _ = np.histogram(tokens, bins=edges)
    return {
        "p50": p50,
        "p95": p95,
        "max": longest,
        "cut": int((unread > 0).sum()),
        "edges": edges,
        "counts": [int(count) for count in counts],
    }
