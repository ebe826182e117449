"""What simpler classifiers reach on the same documents: the probe, and words without an encoder."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.amounts import probe_c
from tagsmith.analysis.intervals import overall
from tagsmith.bootstrap import addends, difference
from tagsmith.metrics import decide, probabilities
from tagsmith.probe import fit_head
from tagsmith.tfidf import fit_and_predict

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]
Indicators = NDArray[np.int8]


def probe_predictions(
    vectors: Floats, truth: Indicators, new_vectors: Floats, multi_label: bool, threshold: float
) -> Indicators:
    """What a regression predicts, int8 [documents, classes], for `new_vectors` [documents, hidden].

    Args:
        vectors: float32 [training documents, hidden], of `pretrained.PretrainedEncoder`.
        truth: int8 [training documents, classes].
    """
    if not multi_label and len(present := np.flatnonzero(truth.any(axis=0))) == 1:
        only: Indicators = np.zeros((len(new_vectors), truth.shape[1]), dtype=np.int8)
        only[:, present] = 1
        return only  # Nothing to regress on.
    weights, bias = fit_head(vectors, truth, multi_label, probe_c(multi_label))
    logits = (new_vectors @ weights.T + bias).astype(np.float32)
    return decide(probabilities(logits, multi_label), multi_label, threshold)


def tfidf_predictions(
    texts: Sequence[str], truth: Indicators, new_texts: Sequence[str], multi_label: bool, seed: int
) -> Indicators | None:
    """As `tfidf.fit_and_predict`; None where there is nothing to learn."""
    try:
        return fit_and_predict(texts, truth, new_texts, multi_label, seed)
    except ValueError as error:
        log.warning(f"analysis: no TF-IDF baseline: {error}")
        return None


def beside(
    truth: Indicators, predicted: Indicators, baseline: Indicators, documents: int, resamples: int, seed: int
) -> dict[str, Any]:
    """The figures of a baseline, and how much better the model is on the same documents.

    Args:
        predicted, baseline: int8 [documents, classes].
        documents: those that the baseline was trained on.

    Returns:
        accuracy, micro_f1, macro_f1; `documents`; `lead`: the model's figures less these, each with its interval
        [low, high].
    """
    figures, ours = overall(truth, baseline), overall(truth, predicted)
    both = addends(truth, baseline), addends(truth, predicted)
    low, high, _ = difference(*both, resamples, np.random.default_rng(seed))
    lead = {
        name: {
            "found": ours[name] - value,
            # Of a single document nothing is known.
            "interval": [float(low[i]), float(high[i])] if len(truth) > 1 else [-1.0, 1.0],
        }
        for i, (name, value) in enumerate(figures.items())
    }
    return {**figures, "documents": documents, "lead": lead}
