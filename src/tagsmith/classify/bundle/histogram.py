"""Histograms with bins of about equal numbers of documents.

Bin i holds values from edges[i-1] (inclusive) to edges[i] (exclusive); the first and the last bin are open, so there is
one more share than edges.
"""

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Histogram:
    """Shares [bins] between edges [bins - 1], see the module."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    def bin(self, value: float) -> int:
        return bisect.bisect_right(self.edges, value)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"edges": self.edges, "shares": self.shares}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Histogram":
        """The inverse of `as_dict`. Raises: KeyError, TypeError, ValueError."""
        edges, shares = (tuple(map(float, content[name])) for name in ("edges", "shares"))
        if len(shares) != len(edges) + 1 or list(edges) != sorted(edges):
            raise ValueError("expected ascending edges and one more share than edges")
        if not is_distribution(shares):
            raise ValueError("expected shares that sum to 1")
        return cls(edges, shares)


def is_distribution(shares: tuple[float, ...]) -> bool:
    """Whether shares sum to 1."""
    return min(shares) >= 0 and abs(sum(shares) - 1) < 1e-6


def histogram_of(values: NDArray[np.float64], bins: int, step: float) -> Histogram:
    """Bins with about equal numbers of values [documents], none of them empty; edges are multiples of `step`."""
    drawn = np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf")
    edges = np.unique((np.floor(drawn / step) * step).round(9))
    edges = edges[(edges > values.min()) & (edges <= values.max())]
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return Histogram(tuple(edges.tolist()), tuple((counts / len(values)).tolist()))
