"""Scores by the models of a run: of its training documents out of fold, and of new documents."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from tagsmith.config.settings import ImproveRun
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.decision.metrics import probabilities
from tagsmith.decision.rule import DecisionRule
from tagsmith.improve.training_documents import TrainingDocuments
from tagsmith.model.loaded_model import load_trained
from tagsmith.model.probe import fit_head, probe_c
from tagsmith.model.score import score
from tagsmith.rows.json_rows import json_lines
from tagsmith.rows.table import BadRow

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """Scores of new documents.

    Attributes:
        scores: float32 [documents, classes].
        thresholds: float32 [classes], the score from which a class is predicted (multi-label).
        by: the model that computed them.
    """

    scores: Floats
    thresholds: Floats
    by: str


def by_model(
    run: RunFolder, schema: Schema, rule: DecisionRule, texts: list[str], settings: ImproveRun, accelerator: Accelerator
) -> Scored:
    """Score texts with the trained model of the run, calibrated by `rule`.

    Raises:
        InputMissing: the run has no trained weights.
    """
    model = load_trained(run.model, schema)
    classifier = model.classifier.to(accelerator.device).eval()
    encoded = model.encode_cached(settings.cache, "the pool", texts)
    logits = score(classifier, encoded, settings.batch_tokens, accelerator, "scoring the pool")
    return Scored(rule.scores(logits), np.asarray(rule.thresholds, dtype=np.float32), "the model, calibrated")


def by_regression(vectors: Floats, training: TrainingDocuments, temperature: float, rule: DecisionRule) -> Scored:
    """Score vectors [documents, hidden] with a regression on the training documents, its logits over `temperature`."""
    multi_label = training.schema.multi_label
    weights, bias = fit_head(training.vectors, training.truth, multi_label, probe_c(multi_label))
    scores = probabilities(np.asarray(vectors @ weights.T + bias, dtype=np.float32) / temperature, multi_label)
    thresholds = np.full(training.truth.shape[1], rule.thresholds[0], dtype=np.float32)
    return Scored(scores, thresholds, "a regression, calibrated on training documents out of fold")


def stored_out_of_fold(run: RunFolder, training: TrainingDocuments) -> Floats | None:
    """Logits float32 [documents, classes] of `out_of_fold.jsonl`, if it exists and matches the documents and tags."""
    if not run.out_of_fold.is_file():
        return None
    schema = training.schema
    tags = (sorted(schema.names(np.flatnonzero(row))) for row in training.truth)
    wanted = dict(zip(training.ids, tags, strict=True))
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
        log.warning(f"{run.out_of_fold}: ignored, because it does not match the training documents and their tags.")
        return None
    return np.asarray([found[name] for name in wanted], dtype=np.float32)
