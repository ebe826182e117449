"""What correcting the suspected tags would bring: regressions on the given and on the corrected tags, side by side."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.decision.bootstrap import OVERALL, addends, difference, figures
from tagsmith.decision.metrics import decide, probabilities
from tagsmith.model.pretrained_vectors import out_of_fold
from tagsmith.model.probe import probe_c

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


FLEXIBLE = 10.0
"""Fine-tuning learns more of the wrong tags than the regression does, and less than one with so many times its C.

banking77 with 10 % of its tags turned, macro F1 gained on test by correcting the first 12 % of the queue: the
regression 0.014, fine-tuning 0.028, a regression with ten times the C 0.040.
"""

RESAMPLES = 1000

MOST_DOCUMENTS = 20_000
"""Documents on which the gain is estimated, drawn at random where there are more."""


@dataclass(frozen=True)
class Gain:
    """Macro F1 after less macro F1 before, with the ends of its 95 % interval."""

    macro_f1: float
    low: float
    high: float


def expected_gain(
    vectors: Floats,
    given: NDArray[np.int8],
    repaired: NDArray[np.int8],
    suspected: NDArray[np.bool_],
    folds: Ints,
    multi_label: bool,
    probe: bool,
    test_documents: int,
    seed: int,
) -> dict[str, Any]:
    """What training anew on repaired tags brings: macro_f1, low, high and the method, ready for JSON.

    Args:
        probe: whether the recipe is the regression; another one learns more of what is wrong, see `FLEXIBLE`.

    See `gain_of_repair` for the others.
    """
    if not suspected.any():
        return {"macro_f1": 0.0, "low": 0.0, "high": 0.0, "method": "no tag is suspected"}
    if suspected.all():
        return {"macro_f1": None, "low": None, "high": None, "method": "all documents are suspected: none can judge"}
    drawn = np.sort(np.random.default_rng(seed).permutation(len(given))[:MOST_DOCUMENTS])
    c = probe_c(multi_label)
    strengths = (c,) if probe else (c, c * FLEXIBLE**0.5, c * FLEXIBLE)
    gains = [
        gain_of_repair(
            vectors[drawn], given[drawn], repaired[drawn], suspected[drawn], folds[drawn], multi_label, strength,
            test_documents, seed,
        )
        for strength in strengths
    ]  # fmt: skip
    method = (
        f"regressions (C={', '.join(f'{strength:.3g}' for strength in strengths)}) on the given tags and with the "
        f"suggestions for the suspected ones taken, in {len(np.unique(folds))} folds, judged by the "
        f"{int((~suspected[drawn]).sum()):,} training documents that are not suspected; 95 % interval of a bootstrap "
        f"for {test_documents:,} test documents"
    )
    if not probe:
        method += "; fine-tuning learns more of the wrong tags than the first of these regressions, less than the last"
    middle = gains[len(gains) // 2].macro_f1
    low, high = min(gain.low for gain in gains), max(gain.high for gain in gains)
    return {"macro_f1": round(middle, 6), "low": round(low, 6), "high": round(high, 6), "method": method}


def gain_of_repair(
    vectors: Floats,
    given: NDArray[np.int8],
    repaired: NDArray[np.int8],
    suspected: NDArray[np.bool_],
    folds: Ints,
    multi_label: bool,
    c: float,
    test_documents: int,
    seed: int,
) -> Gain:
    """What repaired tags bring on documents that are not suspected, in folds.

    Each fold's documents are scored by a regression on the given tags of the other folds and by one on their repaired
    tags. Suspected documents judge neither: their right tags are not known.

    Args:
        vectors: float32 [documents, hidden].
        given, repaired: int8 [documents, classes].
        suspected: bool [documents].
        folds: int64 [documents].
        c: inverse regularisation, see `probe.fit_head`.
        test_documents: on so many the gain will be looked for: the interval is wide enough for their chance too.
    """
    before = decide(probabilities(out_of_fold(vectors, given, folds, multi_label, c), multi_label), multi_label, 0.5)
    after = decide(probabilities(out_of_fold(vectors, repaired, folds, multi_label, c), multi_label), multi_label, 0.5)
    judges = ~suspected
    earlier, later = (addends(given[judges], said[judges]) for said in (before, after))
    n, m = int(judges.sum()), test_documents
    size = max(1, round(n * m / (n + m)))  # See `bootstrap.difference`.
    low, high, _ = difference(earlier, later, RESAMPLES, np.random.default_rng(seed), size)
    found = figures(later.sum(axis=0)) - figures(earlier.sum(axis=0))
    macro = OVERALL.index("macro_f1")
    return Gain(float(found[macro]), float(low[macro]), float(high[macro]))
