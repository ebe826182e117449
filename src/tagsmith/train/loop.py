"""The training loop: fetch, forward, backward, step, log, validate, save."""

import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from tagsmith.config.settings import TrainSettings
from tagsmith.core.progress import meter
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, indicators
from tagsmith.core.signals import deferred_signals
from tagsmith.evaluate.evaluate_run import figures_of, objective_value, summary
from tagsmith.model.processes import from_main
from tagsmith.model.score import Encoded, Part, score
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.tokens.batches import training_batches
from tagsmith.train.averages import WeightAverages
from tagsmith.train.checkpoint import Progress
from tagsmith.train.gradients import Gradients
from tagsmith.train.losses import DocumentLoss
from tagsmith.train.optimizer import BadSteps, build_optimizer, clip, set_rates
from tagsmith.train.saving import Checkpoints
from tagsmith.train.training_log import TrainingLog

log = logging.getLogger("tagsmith")


@dataclass(frozen=True)
class TaggedSplit:
    """Encoded documents with their ids and labels: class ids [documents], or lists of them (multi-label)."""

    encoded: Encoded
    labels: list[Any]
    ids: Sequence[str]

    def part(self, documents: NDArray[np.int64]) -> "TaggedSplit":
        """Some of the documents, at these positions."""
        places = documents.tolist()
        labels, ids = [self.labels[i] for i in places], [self.ids[i] for i in places]
        return TaggedSplit(Part(self.encoded, documents), labels, ids)

    def truth(self, schema: Schema) -> NDArray[np.int8]:
        """Which classes each document has, int8 [documents, classes]."""
        return indicators(self.labels, len(schema.classes))


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
        settings: those of `amounts.with_amounts`.
        start: the checkpoint to go on from; None: from the beginning.

    Raises:
        Interrupted: SIGTERM or SIGINT has come, and a checkpoint is saved. Elsewhere than on the main process it is
            SystemExit, with the same status.
    """
    optimizer = build_optimizer(model, settings)
    averages = WeightAverages(trained, settings.ema_decay) if settings.ema_decay is not None else None
    training_log = TrainingLog(run, accelerator, settings.log_every, settings.tensorboard, settings.mlflow is not None)
    checkpoints = Checkpoints(run.checkpoints, model, optimizer, averages, training_log, settings)
    progress = checkpoints.go_on_from(start)
    bad_steps = BadSteps(optimizer, settings, train.ids, accelerator)
    # Where weights are spread, gradients are reduced as they are computed: nothing is left for accelerate to wrap.
    wrapped = accelerator.prepare_model(trained, evaluation_mode=settings.shard)
    optimizer = accelerator.prepare_optimizer(optimizer)
    forward = torch.compile(wrapped, dynamic=True) if settings.compile else wrapped
    truth = train.truth(schema)
    document_loss = DocumentLoss.of(settings, truth, schema.task, accelerator.device)
    labels = torch.from_numpy(truth).float() if schema.multi_label else torch.tensor(train.labels, dtype=torch.int64)
    gradients = Gradients(
        wrapped, forward, trained.packs, train.encoded, labels, document_loss, settings.micro_batch_tokens, training_log
    )
    size = len(train.encoded)
    epochs = cast(int, settings.epochs)
    total = epochs * size
    done = progress.epoch * size + progress.documents
    shown = total if settings.max_steps is None else None
    with (
        deferred_signals() as interruption,
        meter("training", shown, "documents", show=accelerator.is_main_process, done=done) as bar,
    ):
        while progress.epoch < epochs and not progress.stopped:
            batches = training_batches(
                train.encoded.lengths, train.encoded.windows, settings.batch_tokens, seed, progress.epoch
            )
            for documents in batches[progress.batch :]:
                wrapped.train()
                done = progress.epoch * size + progress.documents
                steps_done = (progress.step + 0.5) / (settings.max_steps or math.inf)
                rate = set_rates(optimizer, settings, max(steps_done, (done + len(documents) / 2) / total))
                loss = gradients.of(documents)
                norm = clip(wrapped, settings.max_grad_norm, accelerator)
                bad_steps.guard(loss, norm, documents, progress)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                if averages is not None:
                    averages.update()
                progress.step += 1
                progress.batch += 1
                progress.documents += len(documents)
                speed = training_log.step(progress, loss, norm, rate)
                bar.advance(len(documents), speed)
                if progress.batch == len(batches):
                    progress.epoch, progress.batch, progress.documents = progress.epoch + 1, 0, 0
                progress.stopped = progress.step == settings.max_steps
                if due := _is_due(progress, settings):
                    bad_steps.count(progress)
                    training_log.flush(progress)
                    if validation is not None:
                        with averages.applied() if averages is not None else nullcontext():
                            _validate(trained, validation, schema, settings, scoring_tokens, progress, checkpoints)
                    training_log.restart()
                checkpoints.after_step(progress, due, interruption)
                if progress.stopped:
                    break
    training_log.close()
    checkpoints.finish()
    # From here on the model computes in fp32 again, as in the bundle. Where it is trained once more, as on the next
    # fold, accelerate would take it for prepared still, and leave it in fp32.
    accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)
    wrapped._is_accelerate_prepared = False


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
    logits = score(trained.eval(), validation.encoded, scoring_tokens, accelerator, "validating", packed=trained.packs)
    found: dict[str, float] | None = None
    if accelerator.is_main_process:
        # The best threshold is nobody's business while training; 0.5 makes one validation comparable to the next.
        found = summary(figures_of(logits, validation.labels, schema, threshold=0.5))
        training_log.write({f"validation/{name}": value for name, value in found.items()}, progress)
    found = from_main(found, accelerator)
    value = objective_value(found, settings.best_metric)
    if progress.best is None or value > progress.best:
        progress.best, progress.since_best = value, 0
        checkpoints.keep_best()
    else:
        progress.since_best += 1
        patience = settings.early_stopping_patience
        progress.stopped |= patience is not None and progress.since_best >= patience
    if accelerator.is_main_process:
        kept = "best so far" if progress.since_best == 0 else f"{progress.since_best} since the best"
        told = ", ".join(f"{name} {number:.4f}" for name, number in found.items())
        log.info(f"validation after step {progress.step:,}: {told} ({kept})")
