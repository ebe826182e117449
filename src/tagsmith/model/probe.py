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
from threadpoolctl import ThreadpoolController

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

THREADS = ThreadpoolController()
"""Of the linear algebra that the regressions use, which is loaded with scikit-learn."""


def fit_head(features: Floats, truth: NDArray[np.int8], multi_label: bool, c: float) -> tuple[Floats, Floats]:
    """Weights [classes, hidden] and bias [classes] of a linear head.

    Args:
        features: float32 [documents, hidden], layer-normalised (squared norm = hidden).
        truth: int8 [documents, classes]. A class without documents gets weights of 0 and a bias that keeps it
            from being predicted.
        c: inverse regularisation as for features of unit norm.
    """
    # Threads would wait for each other longer than they compute, and many times longer beside a busy process (README).
    with THREADS.limit(limits=1, user_api="blas"):
        return _head(features, truth, multi_label, c / features.shape[1])


def _head(features: Floats, truth: NDArray[np.int8], multi_label: bool, strength: float) -> tuple[Floats, Floats]:
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
    """Positions, ascending, of `most` random documents (all if there are fewer), with documents of every class.

    Args:
        labels: of each document, an id, or a list of ids (multi-label).
        each: minimum of documents per class, if it has them; fewer if `most` is too small for it, but at least one.
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
        # No boundary to learn: the logit of the class's share, smoothed by half a document on each side.
        return np.zeros(features.shape[1], dtype=np.float32), float(
            np.log((positives + 0.5) / (len(has_class) - positives + 0.5))
        )
    _, coefficients, intercept = _fit(features, has_class, strength)
    return coefficients[0].astype(np.float32), float(intercept[0])


def _fit(features: Floats, labels: Ints, strength: float) -> tuple[Ints, Floats, Floats]:
    """The labels that occur, with coefficients [n, hidden] and intercepts [n] of their logits (one logit for two)."""
    # The intercepts are not regularised, so centring the features changes only the number of iterations (see README).
    centre = features.mean(axis=0)
    with warnings.catch_warnings():
        # Stopped after max_iter, it is still a good head for fine-tuning to start from.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Few documents of many classes are usual at the beginning of tagging.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        regression = LogisticRegression(C=strength, max_iter=300, tol=1e-3).fit(features - centre, labels)
    return regression.classes_, regression.coef_, regression.intercept_ - regression.coef_ @ centre


def probe_c(multi_label: bool) -> float:
    """Inverse regularisation of the regression, for features of unit norm; see the README for its measurements."""
    return 100.0 if multi_label else 10.0
