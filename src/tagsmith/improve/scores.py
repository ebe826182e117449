"""What the models of a run say of documents: of those they were trained on, and of new ones."""

import logging
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from tagsmith.config.settings import CacheSettings
from tagsmith.core.rows import BadRow, json_lines
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.decision.metrics import probabilities
from tagsmith.decision.rule import DecisionRule
from tagsmith.model.loaded_model import load_trained
from tagsmith.model.probe import fit_head, probe_c
from tagsmith.model.score import score

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """New documents as a model sees them.

    Attributes:
        scores: float32 [documents, classes].
        thresholds: float32 [classes], the score from which a class is predicted (multi-label).
        by: which model it is.
    """

    scores: Floats
    thresholds: Floats
    by: str


def by_model(
    run: RunFolder, schema: Schema, rule: DecisionRule, texts: list[str], batch_tokens: int, cache: CacheSettings,
    accelerator: Accelerator,
) -> Scored:  # fmt: skip
    """Texts by the trained model of the run, its scores calibrated by `rule`.

    Raises:
        InputMissing: the run has no trained weights.
    """
    model = load_trained(run.model, schema)
    classifier = model.classifier.to(accelerator.device).eval()
    encoded = model.encode_cached(cache, "the pool", texts)
    logits = score(classifier, encoded, batch_tokens, accelerator, "scoring the pool")
    return Scored(rule.scores(logits), np.asarray(rule.thresholds, dtype=np.float32), "the model, calibrated")


def by_regression(
    vectors: Floats, train_vectors: Floats, truth: NDArray[np.int8], heat: float, threshold: float, multi_label: bool
) -> Scored:
    """Vectors [documents, hidden] by a regression on the training documents, its logits divided by `heat`."""
    weights, bias = fit_head(train_vectors, truth, multi_label, probe_c(multi_label))
    scores = probabilities(np.asarray(vectors @ weights.T + bias, dtype=np.float32) / heat, multi_label)
    thresholds = np.full(truth.shape[1], threshold, dtype=np.float32)
    return Scored(scores, thresholds, "a regression, calibrated on training documents out of fold")


def kept_out_of_fold(run: RunFolder, part: datasets.Dataset, schema: Schema) -> Floats | None:
    """Logits float32 [documents, classes] of `out_of_fold.jsonl`; None where there is none, or it is of other tags."""
    if not run.out_of_fold.is_file():
        return None
    labels = part["labels"][:] if schema.multi_label else [[label] for label in part["labels"][:]]
    wanted = dict(zip(part["id"][:], (sorted(schema.names(tags)) for tags in labels), strict=True))
    found: dict[str, Any] = {}
    for _, record in json_lines(run.out_of_fold):
        if isinstance(record, BadRow) or record.get("id") not in wanted:
            break
        if sorted(record.get("labels", ())) != wanted[record["id"]]:
            break
        if len(record.get("logits", ())) != len(schema.classes):
            break
        found[record["id"]] = record["logits"]
    if len(found) < len(wanted):
        log.warning(f"{run.out_of_fold}: not of these training documents and tags; not used.")
        return None
    return np.asarray([found[name] for name in wanted], dtype=np.float32)
