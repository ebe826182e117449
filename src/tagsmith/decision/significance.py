"""Tests of significance."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2_contingency, fisher_exact, poisson

LEVEL = 0.05
"""Probability of a false alarm among all classes, or pairs of classes, that are tested together."""

FEW = 5
"""Expected documents below which a chi-squared test is unreliable."""


def holm(values: Sequence[float], tests: int | None = None) -> list[float]:
    """p-values corrected for the number of tests (Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979).

    Args:
        tests: how many there were, if more than `values`; the others have a p-value of 1.
    """
    order = np.argsort(values, kind="stable")
    count = tests or len(values)
    corrected = np.zeros(len(values))
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (count - rank) * float(values[i])))
        corrected[i] = highest
    return [float(value) for value in corrected]


def proportions_differ(found: int, of: int, other_found: int, other_of: int) -> float:
    """p-value of two proportions being equal: chi-squared, or Fisher's exact test for few expected documents."""
    table = np.array([[found, of - found], [other_found, other_of - other_found]])
    if not table.sum(axis=0).all() or not table.sum(axis=1).all():
        return 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if expected.min() < FEW:
        return float(fisher_exact(table).pvalue)
    return float(chi2_contingency(table).pvalue)


def more_than(found: int, expected: float) -> float:
    """p-value of `found` documents or more if chance brings `expected` (Poisson, wider than a binomial)."""
    return float(poisson.sf(found - 1, expected))
