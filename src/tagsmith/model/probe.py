"""The head as a logistic regression on the frozen encoder's vectors.

A regression first, then fine-tuning: Kumar et al., Fine-Tuning can Distort Pretrained Features, arXiv 2202.10054.
"""

import warnings
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


def fit_head(features: Floats, truth: NDArray[np.int8], multi_label: bool, c: float) -> tuple[Floats, Floats]:
    """Weights [classes, hidden] and bias [classes] of a linear head.

    Args:
        features: float32 [documents, hidden], layer-normalised (squared norm = hidden).
        truth: int8 [documents, classes]. A class without a document gets no weights and a bias that keeps it
            from being predicted.
        c: inverse regularisation as for features of unit norm.
    """
    strength = c / features.shape[1]
    if multi_label:
        rows = [_one_class(features, truth[:, i], strength) for i in range(truth.shape[1])]
        return np.stack([weights for weights, _ in rows]), np.asarray([bias for _, bias in rows], dtype=np.float32)
    labels = truth.argmax(axis=1)
    present, coefficients, intercept = _fit(features, labels, strength)
    weights = np.zeros((truth.shape[1], features.shape[1]), dtype=np.float32)
    bias = np.full(truth.shape[1], intercept.min() - 10, dtype=np.float32)
    if len(present) == 2:
        # For two classes scikit-learn fits one logit; half of it for, half of it against, is the same softmax.
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    weights[present], bias[present] = coefficients, intercept
    return weights, bias


def draw_documents(labels: Sequence[Any], most: int, seed: int, each: int = 20) -> NDArray[np.int64]:
    """Positions, rising, of `most` documents drawn at random (all where there are fewer), with every class among them.

    Args:
        labels: an id, or a list of ids (multi-label), a document.
        each: documents that a class gets at least, if it has them; fewer where `most` has no room for so many a
            class, but one even then.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    tags = [label if isinstance(label, list) else [label] for label in labels]
    document = np.repeat(np.arange(len(tags)), [len(tag) for tag in tags])
    classes = np.fromiter(chain.from_iterable(tags), dtype=np.int64, count=len(document))
    by_class = np.lexsort((place[document], classes))
    starts = np.flatnonzero(np.diff(classes[by_class], prepend=-1))
    rank = np.arange(len(by_class)) - np.repeat(starts, np.diff(starts, append=len(by_class)))
    first = np.unique(document[by_class[rank < max(1, min(each, most // max(1, len(starts))))]])
    rest = order[~np.isin(order, first)]
    return np.sort(np.concatenate([first, rest[: max(0, most - len(first))]]))


def _one_class(features: Floats, has_class: NDArray[np.int8], strength: float) -> tuple[Floats, float]:
    positives = int(has_class.sum())
    if positives in (0, len(has_class)):
        # No boundary to learn: the logit of the class's share, smoothed by half a document on either side.
        return np.zeros(features.shape[1], dtype=np.float32), float(
            np.log((positives + 0.5) / (len(has_class) - positives + 0.5))
        )
    _, coefficients, intercept = _fit(features, has_class, strength)
    return coefficients[0].astype(np.float32), float(intercept[0])


def _fit(features: Floats, labels: Ints, strength: float) -> tuple[Ints, Floats, Floats]:
    """The labels that occur, and the coefficients [n, hidden] and intercepts [n] of their logits (of two: of one)."""
    # The intercepts are not regularised, so moving the features changes nothing but the number of iterations.
    # On banking77 this and the tolerance take 18 of them instead of 98, for the same accuracy.
    centre = features.mean(axis=0)
    with warnings.catch_warnings():
        # Stopped after max_iter it is still a good head; fine-tuning goes on from it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression = LogisticRegression(C=strength, max_iter=300, tol=1e-3).fit(features - centre, labels)
    return regression.classes_, regression.coef_, regression.intercept_ - regression.coef_ @ centre


def probe_c(multi_label: bool) -> float:
    """Inverse regularisation of the regression, for features of unit norm.

    Single-label: accuracy on banking77 at 10 a class, mean of 9 draws, C of 3, 10, 30, 100: 0.837, 0.851, 0.852, 0.850.
    Multi-label, where most classes are absent and a weak regression predicts none of them: micro / macro F1 in five
    folds at 10, 100, 1000: support tickets 0.761 / 0.735, 0.769 / 0.759, 0.775 / 0.774; nlupp_hotels 0.738 / 0.541,
    0.779 / 0.652, 0.781 / 0.690, where 1000 has the worst log loss of the three.
    """
    return 100.0 if multi_label else 10.0
