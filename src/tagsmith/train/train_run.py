"""From settings to a run: documents, head, loop, evaluation."""

import logging
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, set_seed
from filelock import FileLock

from tagsmith import data
from tagsmith.config.settings import CalibrateRun, Recipe, TrainRun
from tagsmith.core.errors import NO_ROOM, Interrupted, SettingsError, TryAgainLater, counted, listing
from tagsmith.core.files import write_json
from tagsmith.core.run import RunFolder, fresh_path
from tagsmith.core.schema import Schema
from tagsmith.core.terminal import log_to_file
from tagsmith.data.dataset_folders import load_documents
from tagsmith.decision.rule import DecisionRule
from tagsmith.evaluate.evaluate_run import default_split, evaluate_split, rule_of_run
from tagsmith.evaluate.tracking import require_mlflow, tracked
from tagsmith.model.loaded_model import LoadedModel, load_pretrained, load_weights, save_weights
from tagsmith.model.pretrained_vectors import folds_of
from tagsmith.model.processes import from_main, on_main, refuse_launch, start_accelerator
from tagsmith.model.score import encode_split
from tagsmith.model.sharding import gather, shard
from tagsmith.train import lora, soup
from tagsmith.train.auto import choose_recipe
from tagsmith.train.calibration.calibrate_run import calibrate, forget
from tagsmith.train.checkpoint import newest_usable
from tagsmith.train.claim import claim, create
from tagsmith.train.distill import with_teacher
from tagsmith.train.earlier import start_from_earlier
from tagsmith.train.fit import configure_device, fit_recipe
from tagsmith.train.resolved_recipe import resolve_recipe
from tagsmith.train.training_job import Folds, TaggedSplit, TrainingJob

log = logging.getLogger("tagsmith")


def train(settings: TrainRun, load: Callable[[], data.TaggedData] | None = None) -> tuple[RunFolder, dict[str, Any]]:
    """Train a classifier and evaluate it; every process of a launch calls this.

    Args:
        load: returns the documents of a new run; a run that is resumed has its own, whatever the sources hold by then.
            None: `data.load` reads them, and a run is resumed only with the same.

    Returns:
        The run, and its evaluation (on the main process; elsewhere empty).

    Raises:
        SettingsError: the run folder is taken, or a setting does not fit the data or the encoder.
        InputMissing, DataError: see `data.load` and `loaded_model.load_pretrained`.
        TryAgainLater: another process has locked the run, or the disk is full.
        Interrupted: SIGTERM (if the caller handles it) or SIGINT was received. On other processes than the main one
            it is SystemExit, with the same status.
    """
    lora.require_peft(settings.train.recipe)
    require_mlflow(settings.train)
    accelerator = _accelerator(settings)
    if not accelerator.is_main_process:
        log.setLevel(logging.ERROR)
    set_seed(settings.seed, device_specific=True)
    run = RunFolder(Path(from_main(str(settings.run or fresh_path(settings.name)), accelerator)))
    if not run.path.name:
        raise SettingsError(f"run={settings.run}: expected the name of a folder for this run.")
    lock = FileLock(run.path.with_name(f".{run.path.name}.lock"), timeout=0)
    try:
        tagged = on_main(accelerator, lambda: claim(settings, run, lock, load))
        schema, fresh = from_main((tagged.schema, True) if tagged else (None, False), accelerator)
        schema = schema or Schema.load(run.schema)

        def pretrained() -> LoadedModel:
            return load_pretrained(settings.model, settings.data, schema, settings.evaluate.threshold)

        # The main process first: one download of an encoder from the hub, not one per process.
        model = on_main(accelerator, pretrained) or pretrained()
        if fresh:
            on_main(accelerator, lambda: create(settings, run, tagged, model, accelerator.mixed_precision))
        notes, tagged = tagged.notes if tagged else [], None  # The documents are read from the run from here on.
        accelerator.wait_for_everyone()
        with log_to_file(run.log) if accelerator.is_main_process else nullcontext():
            for note in notes:
                log.warning(note)
            with tracked(run, settings.train, accelerator):
                return run, _train(settings, run, model, accelerator)
    except (Interrupted, KeyboardInterrupt) as interruption:
        if not accelerator.is_main_process:
            raise SystemExit(Interrupted.exit_status) from None
        where = f"{interruption}; " if isinstance(interruption, Interrupted) else ""
        raise Interrupted(f"{where}to resume, run the same command with run={run.path} resume=true.") from None
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise TryAgainLater(f"run={run.path}: {error.strerror}; free some space, then resume.") from error
    finally:
        lock.release()


def _accelerator(settings: TrainRun) -> Accelerator:
    """The processes and devices of this launch."""
    refuse_launch()
    # The others wait while the main process reads the data and fits the regression, which may take long.
    timeout = InitProcessGroupKwargs(timeout=timedelta(hours=12))
    accelerator = start_accelerator(settings.train.cpu, settings.train.mixed_precision, kwargs_handlers=[timeout])
    if settings.train.shard and accelerator.num_processes == 1:
        raise SettingsError(
            "train.shard=true: expected several processes, found one; use accelerate launch, or leave it out."
        )
    if accelerator.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise SettingsError("train.mixed_precision=fp16: needs a GPU; a CPU computes in fp32 or bf16.")
    return accelerator


def _train(settings: TrainRun, run: RunFolder, model: LoadedModel, accelerator: Accelerator) -> dict[str, Any]:
    """Fit the model of a run, save its weights, evaluate it."""
    schema, classifier = model.schema, model.classifier
    splits = load_documents(run.data, schema)
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in splits.items())
    log.info(f"run {run.path}: {schema.task.value}, {counted(len(schema.classes), 'class')}, documents: {sizes}")
    if accelerator.mixed_precision != "no":
        log.info(f"training in {accelerator.mixed_precision}, evaluation in fp32")
    scoring_tokens = settings.evaluate.batch_tokens
    if settings.train.shard:
        shard(classifier.encoder, classifier.head, accelerator)
    else:
        classifier.to(accelerator.device)
    if run.weights.is_file():
        log.warning(f"{run.path} is already trained on these documents: evaluating it again without training")
    else:
        on_main(accelerator, lambda: forget(run))
        started = time.monotonic()
        validates = settings.train.recipe is not Recipe.probe and "validation" in splits
        tagged = {
            name: TaggedSplit(
                encode_split(splits[name], name, model, settings.cache, accelerator),
                splits[name]["labels"][:],
                splits[name]["id"],
            )
            for name in ("train", *["validation"] * validates)
        }
        if settings.train.start_from is not None:
            start_from_earlier(model, run, RunFolder(Path(settings.train.start_from)))
        if settings.train.recipe is Recipe.distill:
            tagged["train"] = with_teacher(settings, run, model, splits["train"], tagged["train"], accelerator)
        recipe = resolve_recipe(settings, tagged["train"].encoded, schema.multi_label)
        configure_device(classifier, tagged["train"].encoded, accelerator)
        start = _newest_checkpoint(run, accelerator)
        job = TrainingJob(model, recipe, run, accelerator)
        if recipe.recipe is Recipe.auto:
            fold = folds_of(splits["train"], schema, recipe.folds, recipe.seed)
            job = replace(job, recipe=choose_recipe(job, Folds(tagged["train"], fold)))
        fit_recipe(job, tagged, start)
        weights = gather(classifier.state_dict(), keep=accelerator.is_main_process)
        on_main(accelerator, lambda: save_weights(run.weights, weights))
        if "validation" not in splits and recipe.recipe is not Recipe.distill:
            passes = 1 if job.recipe.recipe is Recipe.probe else CalibrateRun.folds - 1
            seconds = passes * (time.monotonic() - started)
            log.info(f"scores are not calibrated; scripts/calibrate.py run={run.path} takes about {seconds:,.0f} s")
    if accelerator.is_main_process:
        shutil.rmtree(run.checkpoints, ignore_errors=True)
        shutil.rmtree(run.frozen_states, ignore_errors=True)
        shutil.rmtree(run.comparison, ignore_errors=True)
        soup.clear(run)
    load_weights(run.weights, classifier)

    def evaluated(split: str, rule: DecisionRule) -> dict[str, Any]:
        return evaluate_split(run, split, model, scoring_tokens, rule, settings.cache, accelerator)

    if "validation" in splits and not from_main(run.decision.is_file(), accelerator):
        calibrate(run, splits, model, settings.calibrate, scoring_tokens, None, accelerator)
        accelerator.wait_for_everyone()

    last = default_split(splits)
    figures: dict[str, Any] = {}
    if settings.objective is not None:
        # Thresholds were chosen on these documents: jobs are compared by the scores of the model alone.
        figures = evaluated("validation", DecisionRule.plain(schema, model.encoding.threshold))
        on_main(accelerator, lambda: write_json(run.validation, figures))
    return evaluated(last, rule_of_run(run, schema, model.encoding.threshold))


def _newest_checkpoint(run: RunFolder, accelerator: Accelerator) -> Path | None:
    """The checkpoint to resume from, the same on every process; None: training starts from the head."""

    def find() -> Path | None:
        path, problems = newest_usable(soup.folder_of(run, soup.count_finished(run)).checkpoints)
        if problems:
            remedy = f"resuming from {path}" if path else "none is left: training starts again from the head"
            log.warning(listing("Checkpoints that cannot be used:", [*problems, remedy]))
        return path

    found: Path | None = from_main(on_main(accelerator, find), accelerator)
    return found
