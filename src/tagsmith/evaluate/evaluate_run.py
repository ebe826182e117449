"""Score a split of a run; write its figures and predictions into the run."""

import hashlib
import logging
import zipfile
import zlib
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from tagsmith.config.settings import BestMetric, CacheSettings, EvaluateRun
from tagsmith.core.errors import InputMissing
from tagsmith.core.files import atomic_path, digest, json_object, read_json, read_json_lines, write_json, write_lines
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, indicators
from tagsmith.data.dataset_folders import load_documents
from tagsmith.decision.decision_figures import decision_figures
from tagsmith.decision.evaluate_metric import ClassificationFigures
from tagsmith.decision.metrics import figures, probabilities
from tagsmith.decision.rule import RESTORE_RULE, DecisionRule, Decisions
from tagsmith.decision.scope import Scope
from tagsmith.model.loaded_model import LoadedModel, load_trained
from tagsmith.model.processes import from_main, start_accelerator
from tagsmith.model.score import encode_split, logits_and_vectors, score
from tagsmith.tokens.windows import EncodedDocuments

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]


def figures_of(logits: Floats, labels: Any, schema: Schema, threshold: float) -> dict[str, Any]:
    """The figures of logits [documents, classes] against the labels (ids, or lists of ids)."""
    metric = ClassificationFigures(schema.task.value, keep_in_memory=True)
    scores = probabilities(logits, schema.multi_label)
    found: dict[str, Any] = metric.compute(
        predictions=scores, references=labels, classes=list(schema.classes), threshold=threshold
    )
    return found


def summary(found: dict[str, Any]) -> dict[str, float]:
    """The figures by which classifiers are compared, by the names of `BestMetric`."""
    return {
        "macro_f1": found["macro"]["f1"],
        "micro_f1": found["micro"]["f1"],
        "accuracy": found["accuracy"],
        "log_loss": found["log_loss"],
    }


def objective_value(found: dict[str, float], metric: BestMetric) -> float:
    """One figure of `summary` as an objective: higher is better."""
    return found[metric.value] * (-1 if metric is BestMetric.log_loss else 1)


def evaluate_split(
    run: RunFolder,
    split: str,
    model: LoadedModel,
    batch_tokens: int,
    rule: DecisionRule,
    cache: CacheSettings,
    accelerator: Accelerator,
) -> dict[str, Any]:
    """Score the documents of one split; write `evaluation.json` and `predictions.jsonl`; return the former.

    Args:
        model: on its device.
        rule: from logits to scores and decisions, see `rule_of_run`.

    Raises:
        InputMissing: the run has no such split.
        DataError: its documents are damaged.
    """
    schema = model.schema
    splits = load_documents(run.data, schema)
    if split not in splits:
        raise InputMissing(f"run={run.path}: has no split {split}; it has {', '.join(splits)}.")
    part = splits[split]
    encoded = encode_split(part, split, model, cache, accelerator)
    foreign = None
    if rule.scope is not None:
        foreign = _foreign_distances(run, rule.scope, model, batch_tokens, accelerator)
    logits, vectors = _scored_once(run, split, model, encoded, rule.scope is not None, batch_tokens, accelerator)
    if not accelerator.is_main_process:
        return {}
    scores = rule.scores(logits)
    decisions = rule.decide(scores, vectors)
    evaluation = {"split": split} | evaluation_of(rule, logits, decisions, foreign, part["labels"][:], schema)
    evaluation["decision_sha256"] = digest(run.decision) if run.decision.is_file() else None
    _write_predictions(run, part, scores, decisions, schema)
    write_json(run.evaluation, evaluation)
    return evaluation


def _scored_once(
    run: RunFolder,
    split: str,
    model: LoadedModel,
    encoded: EncodedDocuments,
    with_vectors: bool,
    batch_tokens: int,
    accelerator: Accelerator,
) -> tuple[Floats, Floats | None]:
    """Logits and, if asked for, vectors of a split; the run keeps them for the next evaluation of the same weights."""
    path, found = run.logits / f"{split}.npz", None
    if accelerator.is_main_process:
        key = hashlib.sha256(f"{digest(run.weights)} {model.encoding}".encode())
        for tokens in (encoded.ids, encoded.window_lengths, encoded.windows):
            key.update(tokens.tobytes())
        found = _kept(path, key.hexdigest(), with_vectors)
    if from_main(found is not None, accelerator):
        return found or (np.zeros(0, np.float32), None)  # Only the main process goes on.
    what, vectors = f"scoring {split}", None
    if with_vectors:
        logits, vectors = logits_and_vectors(model.classifier, encoded, batch_tokens, accelerator, what)
    else:
        logits = score(model.classifier.eval(), encoded, batch_tokens, accelerator, what)
    if accelerator.is_main_process:
        run.logits.mkdir(exist_ok=True)
        kept = np.zeros(0, np.float32) if vectors is None else vectors
        with atomic_path(path) as beside, beside.open("wb") as file:
            np.savez(file, key=np.asarray(key.hexdigest()), logits=logits, vectors=kept)
    return logits, vectors


def _kept(path: Path, key: str, with_vectors: bool) -> tuple[Floats, Floats | None] | None:
    """What `_scored_once` has kept; None if that was something else, or is damaged."""
    try:
        with np.load(path) as kept:
            if str(kept["key"]) != key:
                return None
            logits, vectors = kept["logits"], kept["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    if not with_vectors:
        return logits, None
    return (logits, vectors) if len(vectors) == len(logits) else None


def evaluation_of(
    rule: DecisionRule, logits: Floats, decisions: Decisions, foreign: Floats | None, labels: Any, schema: Schema
) -> dict[str, Any]:
    """All figures of a rule on documents; arguments as of `decision_figures`.

    Args:
        labels: ids, or lists of ids.
    """
    one = schema.multi_label and len(set(rule.thresholds)) == 1
    truth = indicators(labels, len(schema.classes))
    scores = rule.scores(logits)
    return {
        "threshold": rule.thresholds[0] if one else None,
        **figures(scores, truth, list(schema.classes), schema.multi_label, 0.5, decisions.predicted),
        **decision_figures(rule, logits, decisions, foreign, truth, schema),
    }


def rule_of_run(run: RunFolder, schema: Schema, threshold: float) -> DecisionRule:
    """The decision rule of a run; the plain one if it is not calibrated.

    Raises:
        DataError: it cannot be read or does not match the schema.
    """
    if not run.decision.is_file():
        return DecisionRule.plain(schema, threshold)
    content = read_json(run.decision, json_object, "a decision rule", RESTORE_RULE)
    return DecisionRule.from_dict(content, schema, run.decision, run.references)


def _foreign_distances(
    run: RunFolder, scope: Scope, model: LoadedModel, batch_tokens: int, accelerator: Accelerator
) -> Floats | None:
    """Distances float32 [texts] of the texts that belong to no class (data.out_of_scope); None: the run has none."""
    if not run.out_of_scope.is_file():
        return None
    texts = [row["text"] for row in read_json_lines(run.out_of_scope, "restore it from a copy of the run")]
    encoded = model.encode(texts)
    found = score(model.classifier.features, encoded, batch_tokens, accelerator, "scoring texts that are out of scope")
    return scope.distances(found)


def _write_predictions(
    run: RunFolder, part: datasets.Dataset, scores: Floats, decisions: Decisions, schema: Schema
) -> None:
    distances = decisions.distances

    def line(i: int, record: dict[str, Any]) -> dict[str, Any]:
        labels = record["labels"] if schema.multi_label else [record["labels"]]
        return {
            "id": record["id"],
            "text": record["text"],
            "labels": schema.names(labels),
            "predicted": schema.names(np.flatnonzero(decisions.predicted[i])),
            "scores": {name: round(float(s), 6) for name, s in zip(schema.classes, scores[i], strict=True)},
            "to_person": bool(decisions.to_person[i]),
            "out_of_scope": round(float(distances[i]), 6) if distances is not None else None,
        }

    write_lines(run.predictions, (line(i, record) for i, record in enumerate(part)))


def default_split(splits: datasets.DatasetDict) -> str:
    """The split most like new documents: test, else validation, else train."""
    return next(name for name in ("test", "validation", "train") if name in splits)


def evaluate_run(settings: EvaluateRun, run: RunFolder) -> dict[str, Any]:
    """Evaluate a trained run on a split.

    Raises:
        InputMissing: no run, no trained weights or no such split.
        DataError: a file of the run is damaged.
    """
    run.require()
    schema = Schema.load(run.schema)
    model = load_trained(run.model, schema)
    split = settings.split.value if settings.split else default_split(load_documents(run.data, schema))
    rule = rule_of_run(run, schema, model.encoding.threshold)
    if settings.threshold is not None:
        rule = rule.with_threshold(settings.threshold)
    accelerator = start_accelerator(settings.cpu)
    if not accelerator.is_main_process:
        log.setLevel(logging.ERROR)
    if accelerator.is_main_process:
        for path in (run.analysis, run.guidance):
            path.unlink(missing_ok=True)  # They belong to an earlier evaluation.
    model.classifier.to(accelerator.device)
    evaluation = evaluate_split(run, split, model, settings.batch_tokens, rule, settings.cache, accelerator)
    if settings.analyse:
        # Imported here: training evaluates too, without an analysis.
        from tagsmith.evaluate.analysis.analyse_run import analyse_run

        chosen = rule if rule.calibrated and settings.threshold is None else None
        analyse_run(settings, run, chosen, model, accelerator)
    return evaluation
