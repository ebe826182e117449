"""Differences between two predictions of the same documents, with what chance would bring; pure arithmetic."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from tagsmith.analysis.intervals import CONFIDENCE, FIGURES, Tally, tallies
from tagsmith.guidance.significance import holm

Doubles = NDArray[np.float64]

AT_ONCE = 20_000_000
"""Numbers of a batch of resamples."""


def losses(scores: NDArray[np.float32], truth: NDArray[np.int8], multi_label: bool) -> Doubles:
    """Log loss of each document, float64 [documents], of scores [documents, classes], as `metrics.mean_log_loss` means.

    Scores of single-label data need not sum to 1: what a run gave to a class that the other does not know is lost.
    """
    edge = np.finfo(np.float32).eps
    likely = np.clip(np.where(truth == 1, scores, 1 - scores.astype(np.float64)), edge, 1)
    if multi_label:
        return np.asarray(-np.log(likely).mean(axis=1))
    return np.asarray(-np.log(likely[np.arange(len(truth)), truth.argmax(axis=1)]))


def compare(
    truth: NDArray[np.int8], predicted: tuple[NDArray[np.int8], NDArray[np.int8]], losses: tuple[Doubles, Doubles],
    classes: tuple[str, ...], resamples: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Figures of both predictions int8 [documents, classes], the second less the first, with their intervals.

    A paired bootstrap: each resample draws documents, and both are judged by the same ones. Intervals are percentiles.
    Whether exactly the right classes are predicted: the exact test of McNemar (Note on the Sampling Error of the
    Difference Between Correlated Proportions, 1947), a binomial one of the documents that changed sides.

    Returns:
        `figures`, `classes` and `mcnemar`, ready for JSON. p-values of classes are corrected for their number (Holm).
    """
    first, second = tallies(truth, *predicted)
    kinds = np.bincount(first.kind, minlength=len(first.right)).astype(np.float64)
    mean_losses = [np.bincount(first.kind, each, minlength=len(kinds)) / kinds for each in losses]
    random = np.random.default_rng(seed)
    overall: list[Doubles] = []
    by_class: list[Doubles] = []
    batch = max(1, AT_ONCE // (len(kinds) + 12 * len(classes)))
    for start in range(0, resamples, batch):
        size = min(batch, resamples - start)
        drawn = random.multinomial(len(truth), kinds / len(truth), size=size).astype(np.float64)
        loss = drawn @ (mean_losses[1] - mean_losses[0]) / len(truth)
        overall.append(np.vstack([second.figures(drawn) - first.figures(drawn), loss]))
        by_class.append(_class_figures(second, drawn) - _class_figures(first, drawn))
    found = [np.append(tally.figures(kinds), loss.mean()) for tally, loss in zip((first, second), losses, strict=True)]
    edges = _edges(np.concatenate(overall, axis=1))
    figures = {
        name: _difference(found[0][i], found[1][i], edges[:, i]) for i, name in enumerate((*FIGURES, "log_loss"))
    }
    right = [tally.right[tally.kind] == 1 for tally in (first, second)]
    gained, lost = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    chance = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return {
        "figures": figures,
        "mcnemar": {"gained": gained, "lost": lost, "p_value": chance},
        "classes": _classes(first, second, kinds, np.concatenate(by_class, axis=1), classes, truth.sum(axis=0)),
    }


def _class_figures(tally: Tally, counts: Doubles) -> Doubles:
    """Precision, recall and F1 of each class, float64 [3, ..., classes], of so many documents of each kind."""
    tp, fp, fn = counts @ tally.tp, counts @ tally.fp, counts @ tally.fn
    pairs = ((tp, tp + fp), (tp, tp + fn), (2 * tp, 2 * tp + fp + fn))
    return np.stack([np.divide(part, of, out=np.zeros_like(part), where=of > 0) for part, of in pairs])


def _edges(draws: Doubles) -> Doubles:
    """Ends of the intervals, [2, ...], of draws [..., draws]."""
    return np.percentile(draws, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)], axis=-1)


def _classes(
    first: Tally, second: Tally, kinds: Doubles, draws: Doubles, classes: tuple[str, ...], support: NDArray[np.int64]
) -> dict[str, Any]:
    figures = [_class_figures(tally, kinds) for tally in (first, second)]
    edges = _edges(draws.transpose(0, 2, 1))
    f1 = draws[2]
    # Two-sided, from the share of resamples on the other side of none; never 0, as there are so many resamples alone.
    tails = np.minimum((f1 <= 0).mean(axis=0), (f1 >= 0).mean(axis=0))
    chances = holm(list(np.clip(2 * tails, 1 / len(f1), 1)))
    return {
        name: {
            "support": int(support[i]),
            **{
                figure: _difference(figures[0][k, i], figures[1][k, i], edges[:, k, i])
                for k, figure in enumerate(("precision", "recall", "f1"))
            },
            "p_value": chances[i],
        }
        for i, name in enumerate(classes)
    }


def _difference(first: float, second: float, edges: Doubles) -> dict[str, Any]:
    """A figure of both, ready for JSON."""
    interval = [float(edge) for edge in edges]
    return {"first": float(first), "second": float(second), "difference": float(second - first), "interval": interval}
