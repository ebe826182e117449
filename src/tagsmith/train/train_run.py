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

from accelerate import Accelerator, PartialState
from accelerate.utils import InitProcessGroupKwargs, set_seed
from filelock import FileLock, Timeout

from tagsmith import data
from tagsmith.config.settings import CalibrateRun, Recipe, TrainRun, as_dict, defaults
from tagsmith.core.errors import NO_ROOM, Interrupted, SettingsError, TryAgainLater, counted, listing
from tagsmith.core.files import remove_leftovers, replace_folder, write_json, write_lines
from tagsmith.core.run import RunFolder, fresh_path, record, refuse_or_allow, require_same
from tagsmith.core.schema import Schema
from tagsmith.core.terminal import log_to_file
from tagsmith.data.bad_rows import listed_in
from tagsmith.data.dataset_folders import load_documents
from tagsmith.data.tagged import refuse_to_overwrite_tags
from tagsmith.decision.rule import DecisionRule
from tagsmith.evaluate.evaluate_run import default_split, evaluate_split, rule_of_run
from tagsmith.evaluate.tracking import require_mlflow, tracked
from tagsmith.model.loaded_model import LoadedModel, load_pretrained, load_weights, save_architecture, save_weights
from tagsmith.model.pretrained_vectors import folds_of
from tagsmith.model.processes import from_main, on_main, refuse_launch, start_accelerator
from tagsmith.model.score import encode_split
from tagsmith.model.sharding import gather, shard
from tagsmith.train import lora, soup
from tagsmith.train.auto import choose_recipe
from tagsmith.train.calibration.calibrate_run import calibrate, check_costs, forget
from tagsmith.train.checkpoint import newest_usable
from tagsmith.train.earlier import made_from, refuse_known_documents, start_from_earlier
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
        tagged = on_main(accelerator, lambda: _claim(settings, run, lock, load))
        schema, fresh = from_main((tagged.schema, True) if tagged else (None, False), accelerator)
        schema = schema or Schema.load(run.schema)

        def pretrained() -> LoadedModel:
            return load_pretrained(settings.model, settings.data, schema, settings.evaluate.threshold)

        # The main process first: one download of an encoder from the hub, not one per process.
        model = on_main(accelerator, pretrained) or pretrained()
        if fresh:
            on_main(accelerator, lambda: _create(settings, run, tagged, model, accelerator.mixed_precision))
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


def _claim(
    settings: TrainRun, run: RunFolder, lock: FileLock, load: Callable[[], data.TaggedData] | None
) -> data.TaggedData | None:
    """Lock the run folder and load the documents for a new run; None: the folder holds a run to resume."""
    refuse_or_allow(run, settings.resume, settings.overwrite)  # Before a lock file is left next to it.
    try:
        run.path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise TryAgainLater(f"run={run.path}: another process is using it; lock held by {lock.lock_file}.") from None
    except OSError as error:
        raise SettingsError(f"run={run.path}: cannot be written: {error.strerror}.") from error
    resumes = refuse_or_allow(run, settings.resume, settings.overwrite)
    if not resumes:
        for place in (run.split_classes, run.improve):
            refuse_to_overwrite_tags(place, "Move them out of the run before replacing it, or name another folder.")
    remove_leftovers(run.path)
    if resumes:
        require_same(run, settings_of_run(settings), defaults(settings))
        if load is None:
            _require_same_data(settings, run)
        return None
    with listed_in(run.rejected_beside):
        tagged = load() if load else data.load(settings.data, settings.task, settings.seed)
    check_costs(settings.calibrate, tagged.schema)
    if settings.train.start_from is not None:
        refuse_known_documents(tagged.splits, RunFolder(Path(settings.train.start_from)))
    judging = {"train.early_stopping_patience": settings.train.early_stopping_patience, "objective": settings.objective}
    for name, value in judging.items():
        if value is not None and "validation" not in tagged.splits:
            raise SettingsError(
                f"{name}: needs a validation split, because test documents must not choose settings; "
                "set data.validation_share=0.1, or name a validation file."
            )
    return tagged


def _require_same_data(settings: TrainRun, run: RunFolder) -> None:
    """Raises: DataError where the run was made from other content of the same files."""
    made_from = run.read_record().get("made_from")
    if not isinstance(made_from, dict) or not isinstance(made_from.get("sources"), dict):
        log.warning(f"run={run.path}: made by an older version; whether its data has changed since is not known.")
    else:
        # A finished run has nothing left to resume with the changes of its record.
        changes = made_from["schema_changes"] if run.weights.is_file() else None
        data.require_unchanged(settings.data, made_from["sources"], changes, run)


def settings_of_run(settings: TrainRun) -> dict[str, Any]:
    """The settings that decide the result of the run, by dotted name: not those of the place and the machine."""
    about_the_machine = {
        "run", "name", "resume", "overwrite", "objective", "train.cpu", "train.compile", "train.shard",
        "train.micro_batch_tokens", "train.max_bad_steps", "train.log_every", "train.checkpoint_every",
        "train.checkpoint_minutes", "train.tensorboard", "train.mlflow",
        "train.frozen_states_gib", "evaluate.batch_tokens", "cache.folder", "cache.max_gib",
    }  # fmt: skip
    kept = {name: value for name, value in as_dict(settings).items() if name not in about_the_machine}
    # Calibration does not change the weights; `decision.json` records its settings.
    return {name: value for name, value in kept.items() if not name.startswith("calibrate.")}


def _create(
    settings: TrainRun, run: RunFolder, tagged: data.TaggedData | None, model: LoadedModel, precision: str
) -> None:
    """Write everything of the run that is known before training, completely or not at all."""
    assert tagged is not None  # The main process has loaded the documents of a new run.
    processes = PartialState().num_processes
    sources = made_from(tagged.changes, settings.train.start_from) | {"sources": tagged.sources}

    def write(folder: Path) -> None:
        inside = RunFolder(folder)
        tagged.splits.save_to_disk(inside.data)
        tagged.schema.save(inside.schema)
        if tagged.out_of_scope:
            write_lines(inside.out_of_scope, ({"text": text} for text in tagged.out_of_scope))
        if tagged.unresolved:
            write_lines(inside.split_classes, tagged.unresolved)
        if tagged.rejected:
            write_lines(inside.rejected, (problem.as_dict() for problem in tagged.rejected))
        if tagged.contradictions:
            write_lines(inside.contradictions, tagged.contradictions)
        save_architecture(inside.model, model)
        about = record(settings_of_run(settings), sources, processes, precision)
        write_json(inside.settings, about | {"text_fields": tagged.text_fields})

    replace_folder(run.path, write)


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
        if "validation" not in splits:
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
