"""The training loop: fetch, forward, backward, step, log, validate, save."""

import logging
import math
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from tagsmith.core.progress import meter
from tagsmith.core.run import RunFolder
from tagsmith.core.signals import deferred_signals
from tagsmith.evaluate.evaluate_run import figures_of, objective_value, summary
from tagsmith.model.packed import mean_by_group
from tagsmith.model.processes import from_main
from tagsmith.model.score import score
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.tokens.batches import training_batches
from tagsmith.train.checkpoint import Progress
from tagsmith.train.losses import DistillationLoss, DocumentLoss
from tagsmith.train.micro_batches import MicroBatch, MicroBatches
from tagsmith.train.optimizer import BadSteps, WeightAverages, build_optimizer, clip_gradients, set_rates
from tagsmith.train.resolved_recipe import ResolvedRecipe
from tagsmith.train.saving import Checkpoints
from tagsmith.train.training_job import TaggedSplit, Trainable, TrainingJob
from tagsmith.train.training_log import TrainingLog

log = logging.getLogger("tagsmith")


def fit(job: TrainingJob, trainable: Trainable, outputs: RunFolder, start: Path | None) -> None:
    """Fine-tune the weights that are not frozen; the model ends with the best ones.

    One optimiser step takes one batch of `train.batch_tokens` tokens, however many processes share it.

    Args:
        outputs: where checkpoints and figures are written.
        start: the checkpoint to resume from; None: start from the weights that the model has.

    Raises:
        Interrupted: SIGTERM or SIGINT was received, and a checkpoint was saved. On other processes than the main one
            it is SystemExit, with the same status.
    """
    recipe, accelerator, schema = job.recipe, job.accelerator, job.model.schema
    classifier, train = trainable.classifier, trainable.train
    raw_optimizer = build_optimizer(job.model.classifier, recipe)
    averages = WeightAverages(classifier, recipe.ema_decay) if recipe.ema_decay is not None else None
    training_log = TrainingLog(outputs, accelerator, recipe)
    checkpoints = Checkpoints(job, raw_optimizer, averages, training_log)
    progress = checkpoints.resume_from(start)
    bad_steps = BadSteps(raw_optimizer, recipe, train.ids, accelerator)
    # Sharded weights reduce their gradients during the backward pass: accelerate has nothing to wrap.
    prepared = accelerator.prepare_model(classifier, evaluation_mode=recipe.shard)
    optimizer = accelerator.prepare_optimizer(raw_optimizer)
    forward = torch.compile(prepared, dynamic=True) if recipe.compile else prepared
    of_tags = DocumentLoss.of(recipe, train.truth(schema), schema.task, accelerator.device)
    learns_from_teacher = train.teacher is not None
    document_loss = (
        DistillationLoss(of_tags, recipe.temperature, recipe.teacher_share) if learns_from_teacher else of_tags
    )
    micro_batches = MicroBatches(
        train.encoded, train.targets(schema), recipe.micro_batch_tokens, classifier.packs, accelerator
    )

    def forward_backward(part: MicroBatch) -> Tensor:
        """Add the gradients of a micro-batch; return its part of the batch's mean loss, float []."""
        logits = mean_by_group(forward(part.inputs, part.attention_mask), part.document, part.windows)
        loss = document_loss(logits, *part.targets).sum() * part.weight
        # Gradients are averaged over the processes; the loss of a batch is a sum over them.
        accelerator.backward(loss * accelerator.num_processes)
        return loss.detach()

    size = len(train.encoded)
    total = recipe.epochs * size
    done = progress.epoch * size + progress.documents
    shown = total if recipe.max_steps is None else None
    with (
        deferred_signals() as interruption,
        meter("training", shown, "documents", show=accelerator.is_main_process, done=done) as bar,
    ):
        while progress.epoch < recipe.epochs and not progress.stopped:
            batches = training_batches(
                train.encoded.lengths, train.encoded.windows, recipe.batch_tokens, recipe.seed, progress.epoch
            )
            for documents in batches[progress.batch :]:
                prepared.train()
                done = progress.epoch * size + progress.documents
                steps_done = (progress.step + 0.5) / (recipe.max_steps or math.inf)
                documents_done = (done + len(documents) / 2) / total
                rate = set_rates(raw_optimizer, recipe.lr_warmup_fraction, max(steps_done, documents_done))
                loss, parts = micro_batches.accumulate(documents, prepared, forward_backward)
                norm = clip_gradients(prepared, recipe.max_grad_norm, accelerator)
                bad_steps.guard(loss, norm, documents, progress)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                if averages is not None:
                    averages.update()
                progress.step += 1
                progress.batch += 1
                progress.documents += len(documents)
                training_log.count(parts, packed=classifier.packs)
                speed = training_log.step(progress, loss, norm, rate)
                bar.advance(len(documents), speed)
                if progress.batch == len(batches):
                    progress.epoch, progress.batch, progress.documents = progress.epoch + 1, 0, 0
                progress.stopped = progress.step == recipe.max_steps
                if due := _is_due(progress, recipe):
                    bad_steps.count(progress)
                    training_log.flush(progress)
                    if trainable.validation is not None:
                        with averages.applied() if averages is not None else nullcontext():
                            _validate(job, classifier, trainable.validation, progress, checkpoints)
                    training_log.restart()
                checkpoints.after_step(progress, due, interruption)
                if progress.stopped:
                    break
    training_log.close()
    checkpoints.load_kept_weights()
    # Back to computing in fp32, as in the bundle. Without the last line, accelerate would take the classifier for
    # prepared already when it is trained again, as on the next fold, and would leave it in fp32.
    accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
    prepared._is_accelerate_prepared = False


def _is_due(progress: Progress, recipe: ResolvedRecipe) -> bool:
    """Whether a validation follows this step; one always follows the last step."""
    if progress.stopped:
        return True
    if recipe.validate_every is None or progress.epoch == recipe.epochs:
        return progress.batch == 0
    return progress.step % recipe.validate_every == 0


def _validate(
    job: TrainingJob, classifier: TextClassifier, split: TaggedSplit, progress: Progress, checkpoints: Checkpoints
) -> None:
    """Score the validation split, keep the weights if they are the best so far, decide on early stopping."""
    recipe, accelerator, packed = job.recipe, job.accelerator, classifier.packs
    logits = score(classifier.eval(), split.encoded, recipe.scoring_tokens, accelerator, "validating", packed=packed)
    found: dict[str, float] | None = None
    if accelerator.is_main_process:
        # Thresholds are chosen after training; a fixed one makes validations comparable.
        found = summary(figures_of(logits, split.labels, job.model.schema, threshold=0.5))
        checkpoints.training_log.write({f"validation/{name}": value for name, value in found.items()}, progress)
    found = from_main(found, accelerator)
    value = objective_value(found, recipe.best_metric)
    if progress.best is None or value > progress.best:
        progress.best, progress.since_best = value, 0
        checkpoints.keep_best()
    else:
        progress.since_best += 1
        patience = recipe.early_stopping_patience
        progress.stopped |= patience is not None and progress.since_best >= patience
    if accelerator.is_main_process:
        rank = "best so far" if progress.since_best == 0 else f"{progress.since_best} since the best"
        figures = ", ".join(f"{name} {number:.4f}" for name, number in found.items())
        log.info(f"validation after step {progress.step:,}: {figures} ({rank})")
