"""The training loop: fetch, forward, backward, step, log, validate, save."""

import logging
import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from tagsmith.batches import cut, training_batches
from tagsmith.checkpoint import Progress
from tagsmith.evaluate import Encoded, figures_of, score, tensors
from tagsmith.interruption import noted
from tagsmith.losses import DocumentLoss
from tagsmith.metrics import indicators
from tagsmith.model import TextClassifier, mean_by_document
from tagsmith.processes import from_main
from tagsmith.progress import meter
from tagsmith.run import RunFolder
from tagsmith.saving import Checkpoints
from tagsmith.schema import Schema
from tagsmith.settings import BestMetric, Recipe, TrainSettings
from tagsmith.training_log import TrainingLog

log = logging.getLogger("tagsmith")

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TaggedSplit:
    """Encoded documents with their labels: ids [documents], or lists of ids (multi-label)."""

    encoded: Encoded
    labels: list[Any]


def fit(
    model: TextClassifier,
    trained: TextClassifier,
    train: TaggedSplit,
    validation: TaggedSplit | None,
    schema: Schema,
    settings: TrainSettings,
    seed: int,
    scoring_tokens: int,
    run: RunFolder,
    start: Path | None,
    accelerator: Accelerator,
) -> None:
    """Fine-tune what is not frozen; the run gets checkpoints and figures, the model the best weights.

    `trained` computes the logits of both splits: `model` itself, or its upper part, whose weights are the model's.
    One optimiser step takes one batch of `settings.batch_tokens` tokens, however many processes share it.

    Args:
        start: the checkpoint to go on from; None: from the beginning.

    Raises:
        Interrupted: SIGTERM or SIGINT has come, and a checkpoint is saved. Elsewhere than on the main process it is
            SystemExit, with the same status.
    """
    documents_a_batch = settings.batch_tokens / float(np.mean(train.encoded.lengths * train.encoded.windows))
    optimizer = _optimizer(model, settings, documents_a_batch)
    training_log = TrainingLog(run, accelerator, settings.log_every, settings.tensorboard)
    checkpoints = Checkpoints(run.checkpoints, model, optimizer, training_log, settings)
    progress = checkpoints.go_on_from(start)
    wrapped, optimizer = accelerator.prepare(trained, optimizer)
    forward = torch.compile(wrapped, dynamic=True) if settings.compile else wrapped
    truth = indicators(train.labels, len(schema.classes), schema.multi_label)
    document_loss = DocumentLoss.of(settings, truth, schema.task, accelerator.device)
    labels = torch.from_numpy(truth).float() if schema.multi_label else torch.tensor(train.labels, dtype=torch.int64)
    size = len(train.encoded)
    total = settings.epochs * size
    done = progress.epoch * size + progress.documents
    shown = total if settings.max_steps is None else None
    with noted() as told, meter("training", shown, "documents", show=accelerator.is_main_process, done=done) as bar:
        while progress.epoch < settings.epochs and not progress.stopped:
            batches = training_batches(
                train.encoded.lengths, train.encoded.windows, settings.batch_tokens, seed, progress.epoch
            )
            for documents in batches[progress.batch :]:
                wrapped.train()
                done = progress.epoch * size + progress.documents
                steps_done = (progress.step + 0.5) / (settings.max_steps or math.inf)
                rate = _set_rates(optimizer, settings, max(steps_done, (done + len(documents) / 2) / total))
                loss = torch.zeros((), device=accelerator.device)
                for share, weight, last in _shares(documents, train.encoded, settings, accelerator):
                    batch = train.encoded.batch(share)
                    training_log.batch(batch)
                    inputs, mask, document, windows = tensors(batch, accelerator.device)
                    with nullcontext() if last else accelerator.no_sync(wrapped):
                        logits = mean_by_document(forward(inputs, mask), document, windows)
                        losses = document_loss(logits, labels[share].to(accelerator.device))
                        share_loss = losses.sum() * (weight / len(documents))
                        # Gradients are averaged over the processes; the loss of a batch is a sum over them.
                        accelerator.backward(share_loss * accelerator.num_processes)
                    loss += share_loss.detach()
                norm = _clip(wrapped, settings.max_grad_norm, accelerator)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                progress.step += 1
                progress.batch += 1
                progress.documents += len(documents)
                speed = training_log.step(progress, loss, norm, rate)
                bar.advance(len(documents), speed)
                if progress.batch == len(batches):
                    progress.epoch, progress.batch, progress.documents = progress.epoch + 1, 0, 0
                progress.stopped = progress.step == settings.max_steps
                if due := _is_due(progress, settings):
                    training_log.flush(progress)
                    if validation is not None:
                        _validate(trained, validation, schema, settings, scoring_tokens, progress, checkpoints)
                    training_log.restart()
                checkpoints.after_step(progress, due, told)
                if progress.stopped:
                    break
    training_log.close()
    checkpoints.finish()
    # From here on the model computes in fp32 again, as in the bundle.
    accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)


LORA_RATE = 10.0
"""The adapters' rate over that of the head, and over that of an encoder whose weights are all trained.

The best rate of LoRA is ten times that of full fine-tuning, at any rank, where alpha is 32: Schulman et al.,
LoRA Without Regret, 2025, thinkingmachines.ai/blog/lora. Measured with MiniLM on the support tickets, 3 epochs, micro
F1 of 59 test documents: 2e-4 0.813, this rule 0.854, 6e-3 0.835; all weights trained 0.875, the probe 0.773.
"""


def default_rate(documents: float) -> float:
    """Peak learning rate for batches of so many documents, where none is given.

    Rates of Adam go with the square root of the batch: Malladi et al., arXiv 2205.10287. Measured with MiniLM, test
    accuracy: banking77, 72 documents a batch, 3 epochs: 1e-4 0.940, 2e-4 0.944. BBC News, 8 documents, 1 epoch:
    5e-5 0.982, 1e-4 0.984, 2e-4 0.977. The head has the rate of the encoder: at 1e-3 it forgot the regression that
    it had started from, and BBC News fell to 0.966, below the probe's 0.973.
    """
    return 2e-4 * math.sqrt(min(1.0, documents / 64))


def _optimizer(model: TextClassifier, settings: TrainSettings, documents: float) -> torch.optim.Optimizer:
    """AdamW with no decay of biases and norms, for batches of about so many documents."""
    factor = LORA_RATE if settings.recipe is Recipe.lora else 1.0
    encoder_rate = settings.learning_rate if settings.learning_rate is not None else factor * default_rate(documents)
    head_rate = settings.head_learning_rate if settings.head_learning_rate is not None else encoder_rate / factor
    groups = []
    for part, rate in ((model.encoder, encoder_rate), (model.head, head_rate)):
        trained = [p for p in part.parameters() if p.requires_grad]
        matrices = [p for p in trained if p.ndim > 1]
        others = [p for p in trained if p.ndim <= 1]
        groups.append({"params": matrices, "lr": rate, "peak": rate, "weight_decay": settings.weight_decay})
        groups.append({"params": others, "lr": rate, "peak": rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, fused=True)


def _set_rates(optimizer: torch.optim.Optimizer, settings: TrainSettings, done: float) -> float:
    """Warm-up from 0, then linear decay to 0, by the share of training that is `done`; returns the encoder's rate."""
    warmup = settings.lr_warmup_fraction
    factor = done / warmup if done < warmup else (1 - done) / max(1e-9, 1 - warmup)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return float(optimizer.param_groups[0]["lr"])


def _shares(
    documents: Ints, encoded: Encoded, settings: TrainSettings, accelerator: Accelerator
) -> Iterator[tuple[Ints, float, bool]]:
    """This process's part of a batch, in micro-batches: (documents, weight of the loss, whether it is the last)."""
    mine = documents[accelerator.process_index :: accelerator.num_processes]
    weight = 1.0
    if not len(mine):
        # Fewer documents than processes: this one takes part in the exchange of gradients with a loss of nothing.
        mine, weight = documents[:1], 0.0
    parts = [mine]
    if settings.micro_batch_tokens is not None:
        parts = cut(mine, encoded.lengths, encoded.windows, settings.micro_batch_tokens)
    for i, part in enumerate(parts):
        yield part, weight, i == len(parts) - 1


def _clip(model: torch.nn.Module, most: float, accelerator: Accelerator) -> Tensor:
    """The norm of the gradients, before they are clipped to `most` (0: not clipped)."""
    norm = accelerator.clip_grad_norm_(model.parameters(), most or math.inf)
    return norm if norm is not None else torch.zeros(())


def _is_due(progress: Progress, settings: TrainSettings) -> bool:
    """Whether this step is followed by a validation; the end of training always is."""
    if progress.stopped:
        return True
    if settings.validate_every is None or progress.epoch == settings.epochs:
        return progress.batch == 0
    return progress.step % settings.validate_every == 0


def _validate(
    trained: TextClassifier, validation: TaggedSplit, schema: Schema, settings: TrainSettings, scoring_tokens: int,
    progress: Progress, checkpoints: Checkpoints,
) -> None:  # fmt: skip
    """Score the validation split, keep the weights if they are the best so far, decide on early stopping."""
    training_log = checkpoints.training_log
    accelerator = training_log.accelerator
    logits = score(trained.eval(), validation.encoded, scoring_tokens, accelerator, "validating")
    found: dict[str, float] | None = None
    if accelerator.is_main_process:
        # The best threshold is nobody's business while training; 0.5 makes one validation comparable to the next.
        result = figures_of(logits, validation.labels, schema, threshold=0.5)
        found = {
            "macro_f1": result["macro"]["f1"],
            "micro_f1": result["micro"]["f1"],
            "accuracy": result["accuracy"],
            "log_loss": result["log_loss"],
        }
        training_log.write({f"validation/{name}": value for name, value in found.items()}, progress)
    found = from_main(found, accelerator)
    value = found[settings.best_metric.value] * (-1 if settings.best_metric is BestMetric.log_loss else 1)
    if progress.best is None or value > progress.best:
        progress.best, progress.since_best = value, 0
        checkpoints.keep_best()
    else:
        progress.since_best += 1
        patience = settings.early_stopping_patience
        progress.stopped |= patience is not None and progress.since_best >= patience
    if accelerator.is_main_process:
        kept = "best so far" if progress.since_best == 0 else f"{progress.since_best} since the best"
        summary = ", ".join(f"{name} {number:.4f}" for name, number in found.items())
        log.info(f"validation after step {progress.step:,}: {summary} ({kept})")
