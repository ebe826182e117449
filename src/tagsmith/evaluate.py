"""Score a split and write its figures and predictions into the run."""

import json
import logging
from typing import Any

import datasets
import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tagsmith.dataset_folders import load_documents
from tagsmith.errors import InputMissing
from tagsmith.files import whole_file, write_json
from tagsmith.metrics import ClassificationFigures, decide, probabilities
from tagsmith.model import TextClassifier, load_classifier
from tagsmith.reading import Reading
from tagsmith.run import RunFolder
from tagsmith.schema import Schema
from tagsmith.scoring import encode_split, score
from tagsmith.settings import BestMetric, CacheSettings, EvaluateRun

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]


def figures_of(logits: Floats, labels: Any, schema: Schema, threshold: float) -> dict[str, Any]:
    """The figures of logits [documents, classes] against the labels (ids, or lists of ids)."""
    metric = ClassificationFigures(schema.task.value, keep_in_memory=True)
    scores = probabilities(logits, schema.multi_label)
    figures: dict[str, Any] = metric.compute(
        predictions=scores, references=labels, classes=list(schema.classes), threshold=threshold
    )
    return figures


def summary(figures: dict[str, Any]) -> dict[str, float]:
    """The figures by which one classifier is better than another, by the names of `BestMetric`."""
    return {
        "macro_f1": figures["macro"]["f1"],
        "micro_f1": figures["micro"]["f1"],
        "accuracy": figures["accuracy"],
        "log_loss": figures["log_loss"],
    }


def judged(found: dict[str, float], metric: BestMetric) -> float:
    """What `summary` has found as one number, of which higher is better."""
    return found[metric.value] * (-1 if metric is BestMetric.log_loss else 1)


def evaluate_split(
    run: RunFolder,
    split: str,
    model: TextClassifier,
    tokenizer: Tokenizer,
    reading: Reading,
    schema: Schema,
    batch_tokens: int,
    threshold: float,
    cache: CacheSettings,
    accelerator: Accelerator,
) -> dict[str, Any]:
    """Score the documents of one split; write `evaluation.json` and `predictions.jsonl`; return the former.

    Args:
        model: on its device.

    Raises:
        InputMissing: the run has no such split.
        DataError: its documents are damaged.
    """
    splits = load_documents(run.data, schema)
    if split not in splits:
        raise InputMissing(f"run={run.path}: has no split {split}; it has {', '.join(splits)}.")
    part = splits[split]
    encoded = encode_split(part, split, tokenizer, reading, schema, cache, accelerator)
    logits = score(model.eval(), encoded, batch_tokens, accelerator, f"scoring {split}")
    if not accelerator.is_main_process:
        return {}
    evaluation = {"split": split, "threshold": threshold if schema.multi_label else None}
    evaluation |= figures_of(logits, part["labels"], schema, threshold)
    _write_predictions(run, part, probabilities(logits, schema.multi_label), schema, threshold)
    write_json(run.evaluation, evaluation)
    return evaluation


def _write_predictions(
    run: RunFolder, part: datasets.Dataset, scores: Floats, schema: Schema, threshold: float
) -> None:
    predicted = decide(scores, schema.multi_label, threshold)
    with whole_file(run.predictions) as file:
        for i, record in enumerate(part):
            labels = record["labels"] if schema.multi_label else [record["labels"]]
            line = {
                "id": record["id"],
                "text": record["text"],
                "labels": schema.names(labels),
                "predicted": schema.names(np.flatnonzero(predicted[i])),
                "scores": {name: round(float(s), 6) for name, s in zip(schema.classes, scores[i], strict=True)},
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def default_split(splits: datasets.DatasetDict) -> str:
    """The split that says most about new documents: test, else validation, else train."""
    return next(name for name in ("test", "validation", "train") if name in splits)


def evaluate_run(settings: EvaluateRun, run: RunFolder) -> dict[str, Any]:
    """Evaluate a trained run on a split.

    Raises:
        InputMissing: no run, no trained weights or no such split.
        DataError: a file of the run is damaged.
    """
    run.require()
    schema = Schema.load(run.schema)
    model, tokenizer, reading = load_classifier(run.model, len(schema.classes))
    split = settings.split.value if settings.split else default_split(load_documents(run.data, schema))
    threshold = settings.threshold if settings.threshold is not None else reading.threshold
    accelerator = Accelerator(cpu=settings.cpu)
    if not accelerator.is_main_process:
        log.setLevel(logging.ERROR)
    if accelerator.is_main_process:
        for path in (run.analysis, run.guidance):
            path.unlink(missing_ok=True)  # They are about an earlier evaluation.
    evaluation = evaluate_split(
        run, split, model.to(accelerator.device), tokenizer, reading, schema, settings.batch_tokens, threshold,
        settings.cache, accelerator,
    )  # fmt: skip
    if settings.analyse:
        # Imported here: training, which evaluates too, does without it.
        from tagsmith.analysis.analyse import analyse_run

        analyse_run(
            settings.analysis,
            run,
            model,
            tokenizer,
            reading,
            schema,
            settings.batch_tokens,
            settings.cache,
            accelerator,
        )
    return evaluation
