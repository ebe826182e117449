"""How good the suggestions are on documents that nobody chose, and what more tags are likely to bring."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.errors import counted
from tagsmith.core.schema import Schema
from tagsmith.data.split import draw_folds
from tagsmith.decision.intervals import class_intervals, overall, overall_intervals, proportion
from tagsmith.decision.metrics import decide, probabilities
from tagsmith.evaluate.analysis.learning_curve import GROWTH, LEAST, QUARTERS, Drawn, learning_curve
from tagsmith.evaluate.analysis.learning_curve import predictions_by_share as by_share
from tagsmith.model.probe import fit_head, probe_c

Floats = NDArray[np.float32]
Indicators = NDArray[np.int8]
Bools = NDArray[np.bool_]

MORE = 50
"""Tags whose gain is predicted, where the project has at least twice as many."""

FEWEST = 20
"""Documents of the audit below which its figures are left out: their interval would be wider than 40 points."""

PARTS = 10
"""Parts of the audit; the regression that is judged on one of them has learned from all tags but its own."""

MOST = 2000
"""Tagged documents, drawn at random, from which the learning curve is computed."""

RESAMPLES, DRAWS = 500, 2
"""Of the documents, and of the regressions of each size."""


@dataclass(frozen=True)
class Tagged:
    """The tagged documents of a project.

    Attributes:
        vectors: float32 [documents, hidden].
        truth: int8 [documents, classes].
        groups: None: a document of its own.
        audit: bool [documents], those of the random sample.
        helped: bool [documents], whether suggestions were in view.
    """

    vectors: Floats
    truth: Indicators
    groups: Sequence[str | None]
    audit: Bools
    helped: Bools


def predicted(vectors: Floats, truth: Indicators, new: Floats, multi_label: bool) -> Indicators:
    """What the regression of the suggestions predicts for new documents, int8 [documents, classes]."""
    if len(np.unique(truth, axis=0)) < 2:
        return np.repeat(truth[:1], len(new), axis=0)
    weights, bias = fit_head(vectors, truth, multi_label, probe_c(multi_label))
    logits = np.asarray(new @ weights.T + bias, dtype=np.float32)
    return decide(probabilities(logits, multi_label), multi_label, 0.5)


def on_the_audit(tagged: Tagged, multi_label: bool, seed: int) -> Indicators:
    """Predictions for the documents of the audit, each by a regression that has not seen it or its group."""
    rows = np.flatnonzero(tagged.audit)
    groups = [tagged.groups[row] for row in rows]
    parts = draw_folds([str(row) for row in rows], groups, tagged.truth[rows], PARTS, seed)
    found = np.zeros((len(rows), tagged.truth.shape[1]), dtype=np.int8)
    for part in np.unique(parts):
        out = rows[parts == part]
        kin = {tagged.groups[row] for row in out} - {None}
        inside = np.asarray([group not in kin for group in tagged.groups])
        inside[out] = False
        found[parts == part] = predicted(tagged.vectors[inside], tagged.truth[inside], tagged.vectors[out], multi_label)
    return found


def audit_figures(truth: Indicators, found: Indicators, helped: Bools, classes: Sequence[str], seed: int) -> dict[str, Any]:
    """Accuracy, micro and macro F1 with their intervals [low, high], for all documents and by class; ready for JSON.

    Args:
        truth, found: int8 [documents, classes].
        helped: bool [documents]; the accuracy where suggestions were in view, and where not, is reported apart.
    """
    right = (truth == found).all(axis=1)
    figures, intervals = overall(truth, found), overall_intervals(truth, found, RESAMPLES, seed)
    result: dict[str, Any] = {"documents": len(truth)}
    for name, value in figures.items():
        result[name] = {"value": value, "interval": intervals[name]}
    for name, some in (("suggestions_in_view", helped), ("suggestions_hidden", ~helped)):
        interval = proportion(int(right[some].sum()), int(some.sum()))
        value = float(right[some].mean()) if some.any() else None
        result[name] = {"documents": int(some.sum()), "accuracy": value, "interval": interval}
    result["classes"] = {}
    for i, name in enumerate(classes):
        both, only, missed = (
            int((a & b).sum()) for a, b in ((found[:, i], truth[:, i]), (found[:, i], 1 - truth[:, i]), (1 - found[:, i], truth[:, i]))
        )
        if both + only + missed:
            f1 = 2 * both / (2 * both + only + missed)
            interval = class_intervals(both, only, missed)["f1"]
            result["classes"][name] = {"documents": both + missed, "f1": f1, "interval": interval}
    return result


def likely_gain(tagged: Tagged, classes: Sequence[str], multi_label: bool, seed: int) -> dict[str, Any] | None:
    """What more tags of the same kind are likely to bring, by the learning curve of all tagged documents.

    Each document is predicted by regressions on the others, in fifths.

    Returns:
        As `learning_curve`, and `documents`, how many more; None with too few documents for fifths.
    """
    rows = np.random.default_rng(seed).permutation(len(tagged.truth))[:MOST]
    vectors, truth = tagged.vectors[rows], tagged.truth[rows]
    folds = draw_folds([str(row) for row in rows], [tagged.groups[row] for row in rows], truth, 5, seed)
    if len(np.unique(folds)) < 5:
        return None
    parts: list[list[Drawn]] = []
    order = []
    for fold in range(5):
        inside = np.flatnonzero(folds != fold)
        out = np.flatnonzero(folds == fold)

        def predict(chosen: Bools, inside: Any = inside, out: Any = out) -> Indicators:
            some = inside[chosen]
            return predicted(vectors[some], truth[some], vectors[out], multi_label)

        whole = predict(np.ones(len(inside), dtype=bool))
        fourths = np.searchsorted(np.unique(folds[inside]), folds[inside])
        parts.append(by_share(fourths, predict, whole, DRAWS))
        order.append(out)
    joined = [
        Drawn(some[0].share, np.concatenate([one.predicted for one in some])) for some in zip(*parts, strict=True)
    ]
    tags = len(tagged.truth)
    growth = min(GROWTH, 1 + MORE / tags)
    counts = tagged.truth.sum(axis=0, dtype=int)
    # Four fifths of the drawn documents teach a regression.
    trained = [int(count) for count in truth.sum(axis=0, dtype=int) * 4 // 5]
    sizes = (len(rows) * 4 // 5, tags)
    return learning_curve(
        joined, truth[np.concatenate(order)], sizes, trained, counts.tolist(), classes, RESAMPLES, seed, growth
    )


assert QUARTERS and LEAST and counted and Schema
