"""How figures grow with the number of documents, and what more of a class are likely to bring: a power law a class.

Errors fall as a power of the number of documents: Hestness et al., Deep Learning Scaling is Predictable, Empirically,
arXiv 1712.00409. A class has few test documents and so a slope that is mostly noise; slopes are therefore drawn towards
that of all classes, as far as they do not differ by more than their noise (DerSimonian and Laird, 1986).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.progress import meter

Floats = NDArray[np.floating[Any]]
Indicators = NDArray[np.int8]

QUARTERS: dict[float, list[tuple[int, ...]]] = {
    0.25: [(0,), (1,), (2,), (3,)],
    0.5: [(0, 1), (2, 3), (0, 2), (1, 3)],
    0.75: [(0, 1, 2), (1, 2, 3), (0, 2, 3), (0, 1, 3)],
    1.0: [(0, 1, 2, 3)],
}
"""Which of four folds make a draw of each share."""

LEAST = 8
"""Training documents of a class below which a quarter of them says nothing."""

NO_NOISE = 1e-9
"""Variance of a slope below which nothing has varied."""

LEAST_BETWEEN = 0.1**2
"""Variance of the classes' true slopes, which differ by so much even where noise hides it."""

MORE = 50
"""Further documents of a class that are asked about."""


@dataclass(frozen=True)
class Drawn:
    """What was predicted after training on one draw of the training documents.

    Attributes:
        share: of the training documents.
        predicted: int8 [documents, classes].
    """

    share: float
    predicted: Indicators


def predictions_by_share(
    folds: NDArray[np.int64],
    fit_and_predict: Callable[[NDArray[np.bool_]], Indicators],
    whole: Indicators,
    draws: int,
) -> list[Drawn]:
    """What is predicted after training on a quarter, a half, three quarters (`draws` times each) and all.

    Args:
        folds: int64 [training documents], which of four parts, alike in their classes, each is in.
        fit_and_predict: from those that are trained on, bool [training documents], to int8 [documents, classes].
        whole: what it gives for all of them.
    """
    parts = [(share, chosen) for share, choices in QUARTERS.items() if share < 1 for chosen in choices[:draws]]
    found = []
    with meter("learning curve", len(parts), "regressions") as progress:
        for share, chosen in parts:
            found.append(Drawn(share, fit_and_predict(np.isin(folds, chosen))))
            progress.advance(1)
    return [*found, Drawn(1.0, whole)]


def learning_curve(
    drawn: Sequence[Drawn],
    truth: Indicators,
    documents: int,
    trained: Sequence[int],
    tagged: Sequence[int],
    classes: Sequence[str],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Macro F1 by share of the training documents, and what more documents of each class are likely to bring.

    Args:
        drawn: each share at least once.
        truth: int8 [documents, classes], of the documents that were predicted.
        documents: all training documents.
        trained: training documents of each class.
        tagged: all that there are of each class, where only some of them were drawn for training.
        resamples: of documents and draws, behind each interval.

    Returns:
        points: share, documents (of the training), macro_f1, low, high; classes: of those with at least `LEAST`
        training documents and one that was predicted, name -> documents and f1, one for each share, and gain_of_50 with
        low and high, the interval of 95 %.
    """
    shares = sorted({one.share for one in drawn})
    of_share = [[i for i, one in enumerate(drawn) if one.share == share] for share in shares]
    # Position 0 is the truth as it is; the others are resamples of documents, and of draws.
    weights = _weights(len(truth), resamples, seed)
    counts = np.stack([_counts(weights, truth, one.predicted) for one in drawn])  # [draws, 1 + resamples, 3, classes]
    f1 = _f1(counts)
    macro = _macro(counts, f1)
    random = np.random.default_rng([seed, 1])
    chosen = [
        np.vstack([np.arange(len(places)), random.integers(0, len(places), (resamples, len(places)))])
        for places in of_share
    ]
    rows = np.arange(resamples + 1)[:, None]

    def by_share(values: Floats) -> Floats:
        """Means over the draws of each share, [shares, 1 + resamples, ...], of values [draws, 1 + resamples, ...]."""
        return np.stack(
            [values[places][picks, rows].mean(axis=1) for places, picks in zip(of_share, chosen, strict=True)]
        )

    points = by_share(macro)
    kept = [c for c in range(len(classes)) if trained[c] >= LEAST and truth[:, c].any()]
    result: dict[str, Any] = {
        "points": [
            {"share": share, "documents": round(share * documents), "macro_f1": float(row[0]), **_interval(row[1:])}
            for share, row in zip(shares, points, strict=True)
        ],
        "classes": {},
    }
    if not kept or len(shares) < 2:
        return result
    errors = by_share(_errors(counts[..., kept]))
    of_class, all_of_class = (np.asarray([counts[c] for c in kept], dtype=np.float64) for counts in (trained, tagged))
    gains = expected_gains(np.asarray(shares), errors, all_of_class / of_class, (all_of_class + MORE) / of_class, seed)
    by_class = by_share(f1[..., kept])[:, 0]
    for i, c in enumerate(kept):
        result["classes"][classes[c]] = {
            "documents": [round(share * trained[c]) for share in shares],
            "f1": [float(value) for value in by_class[:, i]],
            "gain_of_50": float(gains[0, i]),
            **_interval(gains[1:, i]),
        }
    return result


def expected_gains(shares: Floats, errors: Floats, now: Floats, then: Floats, seed: int) -> Floats:
    """How much F1 rises from some documents to others, float [1 + resamples, classes].

    Args:
        shares: float [shares], of the training documents, rising to 1.
        errors: float [shares, 1 + resamples, classes], 1 - F1, above 0; the first as found, then resamples.
        now, then: float [classes], documents of each class, as shares like the others.
    """
    x = np.log(shares)
    y = np.log(errors)
    slopes = shrunk(_slopes(x, y), _slopes(x, np.log(errors.mean(axis=2, keepdims=True))), seed)
    before, after = (np.exp(y.mean(axis=0) + slopes * (np.log(share) - x.mean())) for share in (now, then))
    gains: Floats = np.minimum(before, 1) - np.minimum(after, 1)
    return gains


def _slopes(x: Floats, y: Floats) -> Floats:
    """Of the least-squares lines through y [points, ...] at x [points], float [...]."""
    centred = (x - x.mean()).reshape(-1, *[1] * (y.ndim - 1))
    slopes: Floats = (centred * (y - y.mean(axis=0))).sum(axis=0) / (centred**2).sum()
    return slopes


def shrunk(slopes: Floats, common: Floats, seed: int) -> Floats:
    """Slopes [1 + resamples, classes] drawn towards that of all classes [1 + resamples, 1], as far as they are noise.

    The resamples are spread as what is then known: of the common slope, and of what a class has of its own. A class
    that is never wrong, or always, has a slope without noise and without meaning: it takes the common one.
    """
    noise = slopes[1:].var(axis=0, ddof=1)
    weights = np.divide(1, noise, out=np.zeros_like(noise), where=noise > NO_NOISE)
    excess = (weights * (slopes[0] - common[0]) ** 2).sum() - max(0, np.count_nonzero(weights) - 1)
    scale = weights.sum() - (weights**2).sum() / max(weights.sum(), NO_NOISE)
    between = max(LEAST_BETWEEN, excess / scale if scale > 0 else 0.0)
    own = between * weights / (between * weights + 1)  # between / (between + noise)
    middle = own * slopes[0] + (1 - own) * common[0]
    random = np.random.default_rng([seed, 2]).standard_normal(slopes[1:].shape)
    spread = np.sqrt((1 - own) * between) * random + (1 - own) * (common[1:] - common[1:].mean())
    return np.vstack([middle, middle + spread])


def _weights(documents: int, resamples: int, seed: int) -> Floats:
    """How often each document is in a resample, float32 [1 + resamples, documents]; the first has each once."""
    random = np.random.default_rng([seed, 0])
    drawn = random.multinomial(documents, np.full(documents, 1 / documents), size=resamples)
    return np.vstack([np.ones((1, documents)), drawn]).astype(np.float32)


def _counts(weights: Floats, truth: Indicators, predicted: Indicators) -> Floats:
    """tp, fp and fn, float [resamples, 3, classes]."""
    tables = (truth & predicted, (1 - truth) & predicted, truth & (1 - predicted))
    return np.stack([weights @ table.astype(np.float32) for table in tables], axis=1)


def _f1(counts: Floats) -> Floats:
    tp, fp, fn = (counts[..., i, :] for i in range(3))
    whole = 2 * tp + fp + fn
    return np.divide(2 * tp, whole, out=np.zeros_like(whole), where=whole > 0)


def _macro(counts: Floats, f1: Floats) -> Floats:
    occurring = counts.sum(axis=-2) > 0
    means: Floats = f1.sum(axis=-1) / np.maximum(1, occurring.sum(axis=-1))
    return means


def _errors(counts: Floats) -> Floats:
    """1 - F1, with half an error among them, as a class without one has no logarithm."""
    tp, fp, fn = (counts[..., i, :] for i in range(3))
    errors: Floats = (fp + fn + 0.5) / (2 * tp + fp + fn + 1)
    return errors


def _interval(values: Floats) -> dict[str, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}
