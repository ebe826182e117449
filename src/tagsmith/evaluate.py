"""Score a split and write its figures and predictions into the run."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from tagsmith.batches import scoring_batches
from tagsmith.dataset_folders import load_documents
from tagsmith.errors import InputMissing, counted
from tagsmith.files import whole_file, write_json
from tagsmith.metrics import ClassificationFigures, decide, indicators, probabilities
from tagsmith.model import TextClassifier, load_classifier
from tagsmith.packed import Packed, mean_by_group, tensors
from tagsmith.processes import on_main
from tagsmith.progress import meter
from tagsmith.reading import Reading
from tagsmith.run import RunFolder
from tagsmith.schema import Schema
from tagsmith.settings import BestMetric, CacheSettings, EvaluateRun
from tagsmith.token_cache import encode_cached
from tagsmith.windows import Batch, EncodedDocuments

log = logging.getLogger("tagsmith")
datasets.disable_progress_bars()

Floats = NDArray[np.float32]


class Encoded(Protocol):
    """Documents ready for an encoder: `windows.EncodedDocuments`, or `frozen.TokenStates` made of them."""

    @property
    def lengths(self) -> NDArray[np.int64]: ...

    @property
    def windows(self) -> NDArray[np.int64]: ...

    def __len__(self) -> int: ...

    def batch(self, documents: NDArray[np.int64]) -> Batch: ...


@dataclass(frozen=True)
class Part:
    """Some of the documents, at these positions, in the place of all."""

    encoded: Encoded
    documents: NDArray[np.int64]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        return self.encoded.lengths[self.documents]

    @cached_property
    def windows(self) -> NDArray[np.int64]:
        return self.encoded.windows[self.documents]

    def __len__(self) -> int:
        return len(self.documents)

    def batch(self, documents: NDArray[np.int64]) -> Batch:
        return self.encoded.batch(self.documents[documents])


def score(
    forward: Callable[[Tensor, Tensor | Packed], Tensor],
    encoded: Encoded,
    batch_tokens: int,
    accelerator: Accelerator,
    what: str,
    documents: NDArray[np.int64] | None = None,
    packed: bool = False,
) -> Floats:
    """`forward` of documents, float32 [documents, n], the same on every process.

    Args:
        forward: from inputs and attention_mask [windows, tokens] to float [windows, n]; a document gets the
            mean over its windows.
        documents: positions of those that are scored; None: all of them, in their order.
        packed: whether windows are given to `forward` packed.
    """
    chosen = np.arange(len(encoded)) if documents is None else documents
    batches = scoring_batches(encoded.lengths[chosen], encoded.windows[chosen], batch_tokens)
    mine = batches[accelerator.process_index :: accelerator.num_processes]
    parts: list[tuple[NDArray[np.int64], Floats]] = []
    total = sum(map(len, mine))

    def scored(places: NDArray[np.int64]) -> Floats:
        inputs, mask, document, windows = tensors(encoded.batch(chosen[places]), accelerator.device, packed)
        values: Floats = mean_by_group(forward(inputs, mask).float(), document, windows).cpu().numpy()
        return values

    # Not inference_mode: where weights are spread, what it makes of them could not be trained on later.
    with torch.no_grad(), meter(what, total, "documents", show=accelerator.is_main_process) as progress:
        for places in mine:
            parts.append((places, scored(places)))
            progress.advance(len(places))
        if len(mine) < len(batches[:: accelerator.num_processes]):
            # The others are one batch ahead, and where weights are spread they wait for this process's share.
            scored(batches[-1])
    if accelerator.num_processes > 1:
        parts = gather_object(parts)
    gathered = np.concatenate([places for places, _ in parts])
    if len(gathered) != len(chosen) or len(np.unique(gathered)) != len(chosen):
        raise RuntimeError(f"expected a score for each of {len(chosen)} documents, gathered {len(gathered)}")
    scores = np.empty((len(chosen), parts[0][1].shape[1]), dtype=np.float32)
    scores[gathered] = np.concatenate([values for _, values in parts])
    return scores


def encode_split(
    part: datasets.Dataset, name: str, tokenizer: Tokenizer, reading: Reading, schema: Schema, cache: CacheSettings,
    accelerator: Accelerator,
) -> EncodedDocuments:  # fmt: skip
    """The documents of a split as tokens; says which of them are longer than what is read."""

    def load() -> EncodedDocuments:
        return encode_cached(cache, name, part["text"], tokenizer, reading.rule, reading.pad_id)

    # With a cache the main process goes first: it tokenises, the others find its tokens.
    encoded = on_main(accelerator, load) if cache.folder is not None else None
    if encoded is None:
        encoded = load()
    if (encoded.tokens > reading.rule.max_tokens).any():
        log.warning(_long_documents(encoded, part["labels"][:], name, reading, schema))
    return encoded


def _long_documents(encoded: EncodedDocuments, labels: Any, name: str, reading: Reading, schema: Schema) -> str:
    """How many documents of each class are longer than a window, and what became of the rest of them."""
    rule = reading.rule
    truth = indicators(labels, len(schema.classes), schema.multi_label)
    longer, cut = encoded.tokens > rule.max_tokens, encoded.unread > 0
    by_class = ", ".join(
        f"{label} {int(truth[cut, i].sum()):,} of {int(truth[:, i].sum()):,}"
        for i, label in enumerate(schema.classes)
        if truth[cut, i].any()
    )
    unread = int(encoded.unread.sum()) / int(encoded.tokens.sum())
    told = f"{name}: longer than {rule.max_tokens} tokens: {int(longer.sum()):,} of "
    told += f"{counted(len(encoded), 'document')}; "
    told += f"data.long_documents={rule.long_documents}"
    if not cut.any():
        return f"{told} reads all of them."
    return f"{told} leaves {unread:.0%} of all tokens unread, in documents of the classes: {by_class or 'none'}."


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
    return evaluate_split(
        run, split, model.to(accelerator.device), tokenizer, reading, schema, settings.batch_tokens, threshold,
        settings.cache, accelerator,
    )  # fmt: skip
