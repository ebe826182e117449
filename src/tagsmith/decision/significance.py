"""Whether what was found could be chance."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2_contingency, fisher_exact, poisson

LEVEL = 0.05
"""Chance of one false alarm or more among all classes, or pairs, that are looked at together."""

FEW = 5
"""Expected documents below which a chi-squared test is not to be trusted."""


def holm(values: Sequence[float], tests: int | None = None) -> list[float]:
    """p-values corrected for how many they are (Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979).

    Args:
        tests: how many were looked at, where those that are not among `values` have a p-value of 1.
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
    """p-value of two proportions being the same: chi-squared, or Fisher's exact test where few are expected."""
    table = np.array([[found, of - found], [other_found, other_of - other_found]])
    if not table.sum(axis=0).all() or not table.sum(axis=1).all():
        return 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if expected.min() < FEW:
        return float(fisher_exact(table).pvalue)
    return float(chi2_contingency(table).pvalue)


def more_than(found: int, expected: float) -> float:
    """p-value of so many documents or more, where `expected` come by chance (Poisson, wider than a binomial)."""
    return float(poisson.sf(found - 1, expected))
