"""When a class has too few documents, is imbalanced, or has an F1 that is too uncertain: the limits, once.

The guidance, the page and the model card judge a class by these, so that they agree.
"""

from collections.abc import Mapping, Sequence

FEW = 15
"""Training documents below which a class is seldom learned."""

RECOMMENDED = 50
"""Training documents from which a class has enough of them."""

IMBALANCE = 10
"""How many times larger the largest class is than one that counts as imbalanced."""

WIDE = 0.2
"""Width of the 95% interval of F1 above which the figure cannot tell two models apart."""


def is_imbalanced(training_documents: int, largest: int) -> bool:
    """Whether a class has at most a tenth of the training documents of the largest; one that has none has too few."""
    return 0 < training_documents * IMBALANCE <= largest


def is_uncertain(support: int, f1_interval: Sequence[float] | None) -> bool:
    """Whether the F1 of a class, with `support` evaluated documents and the interval [low, high], is too uncertain."""
    return bool(support) and f1_interval is not None and f1_interval[1] - f1_interval[0] > WIDE


def largest_class(training_documents: Mapping[str, int]) -> str:
    """The name of the class with the most training documents."""
    return max(training_documents, key=lambda name: training_documents[name])
