"""What correcting the suspected tags is expected to gain: regressions on the given and on the corrected tags."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.decision.bootstrap import OVERALL, contributions, difference, figures
from tagsmith.decision.metrics import decide, probabilities
from tagsmith.model.pretrained_vectors import out_of_fold
from tagsmith.model.probe import probe_c

Tags = NDArray[np.int8]

FLEXIBLE = 10.0
"""Fine-tuning fits wrong tags more closely than the regression, and less than one with this many times its C (README:
Decisions and measurements)."""

RESAMPLES = 1000

MOST_DOCUMENTS = 20_000
"""Documents on which the gain is estimated, drawn at random from more."""


@dataclass(frozen=True)
class Repair:
    """Training documents with the tags as given and as repaired.

    Attributes:
        vectors: float32 [documents, hidden].
        given, repaired: int8 [documents, classes].
        suspected: bool [documents]; the correct tags of these are not known.
        folds: int64 [documents].
    """

    vectors: NDArray[np.float32]
    given: Tags
    repaired: Tags
    suspected: NDArray[np.bool_]
    folds: NDArray[np.int64]
    multi_label: bool

    def drawn(self, most: int, seed: int) -> "Repair":
        """At most so many of the documents, at random."""
        rows = np.sort(np.random.default_rng(seed).permutation(len(self.given))[:most])
        return Repair(
            self.vectors[rows],
            self.given[rows],
            self.repaired[rows],
            self.suspected[rows],
            self.folds[rows],
            self.multi_label,
        )

    def predicted(self, tags: Tags, c: float) -> Tags:
        """Predictions out of fold by regressions on these tags, int8 [documents, classes]."""
        logits = out_of_fold(self.vectors, tags, self.folds, self.multi_label, c)
        return decide(probabilities(logits, self.multi_label), self.multi_label, 0.5)


@dataclass(frozen=True)
class Gain:
    """Macro F1 after the repair less macro F1 before it, with the ends of its 95 % interval."""

    macro_f1: float
    low: float
    high: float


def expected_gain(repair: Repair, probe: bool, test_documents: int, seed: int) -> dict[str, Any]:
    """What training again on repaired tags is expected to gain: macro_f1, low, high and the method, ready for JSON.

    Args:
        probe: whether the run's recipe is the regression; other recipes fit wrong tags more closely, see `FLEXIBLE`.
        test_documents: see `gain_of_repair`.
    """
    if not repair.suspected.any():
        return {"macro_f1": 0.0, "low": 0.0, "high": 0.0, "method": "no tag is suspected"}
    if repair.suspected.all():
        method = "all documents are suspected, so none is left to evaluate on"
        return {"macro_f1": None, "low": None, "high": None, "method": method}
    drawn = repair.drawn(MOST_DOCUMENTS, seed)
    c = probe_c(repair.multi_label)
    strengths = (c,) if probe else (c, c * FLEXIBLE**0.5, c * FLEXIBLE)
    gains = [gain_of_repair(drawn, strength, test_documents, seed) for strength in strengths]
    method = (
        f"regressions (C={', '.join(f'{strength:.3g}' for strength in strengths)}) on the given tags and on the "
        f"corrected tags, in {len(np.unique(repair.folds))} folds, evaluated on the {int((~drawn.suspected).sum()):,} "
        f"training documents that are not suspected; 95 % bootstrap interval for {test_documents:,} test documents"
    )
    if not probe:
        method += "; fine-tuning fits wrong tags more closely than the first of these regressions, less than the last"
    middle = gains[len(gains) // 2].macro_f1
    low, high = min(gain.low for gain in gains), max(gain.high for gain in gains)
    return {"macro_f1": round(middle, 6), "low": round(low, 6), "high": round(high, 6), "method": method}


def gain_of_repair(repair: Repair, c: float, test_documents: int, seed: int) -> Gain:
    """What repaired tags gain on documents that are not suspected, out of fold.

    Args:
        c: inverse regularisation, see `probe.fit_head`.
        test_documents: number of documents on which the gain will be measured; the interval covers their sampling too.
    """
    kept = ~repair.suspected
    before, after = (
        contributions(repair.given[kept], repair.predicted(tags, c)[kept]) for tags in (repair.given, repair.repaired)
    )
    n, m = int(kept.sum()), test_documents
    size = max(1, round(n * m / (n + m)))  # See `bootstrap.difference`.
    low, high, _ = difference(before, after, RESAMPLES, np.random.default_rng(seed), size)
    found = figures(after.sum(axis=0)) - figures(before.sum(axis=0))
    macro = OVERALL.index("macro_f1")
    return Gain(float(found[macro]), float(low[macro]), float(high[macro]))
