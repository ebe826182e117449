"""From a run to its decision rule: calibrated scores, thresholds, and which documents go to a person."""

import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from accelerate import Accelerator
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from tagsmith.config.settings import CalibrateRun, CalibrateSettings, HeldOutFrom, Precision, Recipe, as_dict
from tagsmith.core.errors import SettingsError, TryAgainLater, counted
from tagsmith.core.files import atomic_path, write_json
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, indicators
from tagsmith.data.dataset_folders import load_documents
from tagsmith.decision.choose_rule import Goal, choose_rule
from tagsmith.decision.conformal import set_thresholds
from tagsmith.decision.decision_figures import before_and_after
from tagsmith.decision.rule import DecisionRule, split_pair
from tagsmith.decision.scope import Scope, nearest_cosine
from tagsmith.decision.thresholds import abstention, instead_of, not_promised
from tagsmith.model.loaded_model import LoadedModel, load_pretrained, load_trained
from tagsmith.model.pretrained_vectors import folds_of
from tagsmith.model.probe import draw_documents
from tagsmith.model.processes import on_main, start_accelerator
from tagsmith.model.recorded_settings import recorded_settings
from tagsmith.model.score import encode_split, logits_and_vectors
from tagsmith.train.auto import chosen_recipe
from tagsmith.train.calibration.held_out import (
    HeldOut,
    by_folds,
    by_regressions,
    references_of,
    write_out_of_fold,
)
from tagsmith.train.fit import configure_device, embed
from tagsmith.train.resolved_recipe import resolve_recipe
from tagsmith.train.training_job import Folds, TaggedSplit, TrainingJob

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]

NEVER = 2.0
"""A confidence that no document has."""

DEFAULT_TARGET = 0.95
"""Share of right decisions among the documents that the model handles alone, single-label, if nothing else is asked."""


def calibrate_run(settings: CalibrateRun) -> dict[str, Any]:
    """Choose the decision rule of a trained run; returns what `decision.json` says about it (on the main process).

    Raises:
        InputMissing: no run, no trained weights, or its encoder is no longer where it was.
        SettingsError: there is no validation split, or a cost names an unknown class.
        DataError: a file of the run is damaged.
        TryAgainLater: another process has locked the run. On other processes than the main one it is SystemExit,
            with the same status.
        Interrupted: SIGTERM or SIGINT was received while a fold was trained.
    """
    run = RunFolder(Path(settings.run))
    run.require()
    schema = Schema.load(run.schema)
    check_costs(settings, schema)
    splits = load_documents(run.data, schema)
    source = settings.from_ or (HeldOutFrom.validation if "validation" in splits else HeldOutFrom.out_of_fold)
    if source is HeldOutFrom.validation and source.value not in splits:
        raise SettingsError("from_=validation: the run has no validation split; from_=out_of_fold needs none.")
    made = recorded_settings(run).train
    if source is HeldOutFrom.out_of_fold and made.recipe is Recipe.distill:
        raise SettingsError(
            "from_=out_of_fold: the teacher of this run knows the tags of every fold; train with a validation split "
            "(data.validation_share=0.15) to calibrate it."
        )
    trained_in = made.mixed_precision
    accelerator = start_accelerator(settings.cpu, trained_in if source is HeldOutFrom.out_of_fold else Precision.fp32)
    if not accelerator.is_main_process:
        log.setLevel(logging.ERROR)
    lock = FileLock(run.path.with_name(f".{run.path.name}.lock"), timeout=0)
    try:
        on_main(accelerator, lambda: _acquire(lock, run))
        model = load_trained(run.model, schema)
        model.classifier.to(accelerator.device)
        if source is HeldOutFrom.validation:
            held = None
        else:
            held = _out_of_fold(run, splits["train"], model, settings, accelerator)
        about = calibrate(run, splits, model, settings, settings.batch_tokens, held, accelerator)
        if accelerator.is_main_process and all(path.is_file() for path in (run.page, run.evaluation, run.predictions)):
            # Imported here, as only a run with a page needs plotly.
            from tagsmith.evaluate.report.page import write_page

            write_page(run)
        return about
    finally:
        lock.release()


def _acquire(lock: FileLock, run: RunFolder) -> None:
    """Raises: TryAgainLater if another process holds the lock."""
    try:
        lock.acquire()
    except Timeout:
        raise TryAgainLater(f"run={run.path}: another process is using it; lock held by {lock.lock_file}.") from None


def calibrate(
    run: RunFolder,
    splits: datasets.DatasetDict,
    model: LoadedModel,
    settings: CalibrateSettings,
    batch_tokens: int,
    held: HeldOut | None,
    accelerator: Accelerator,
) -> dict[str, Any]:
    """Choose the decision rule by held-out documents and write it; returns its `about`, on the main process.

    Args:
        model: trained, on its device.
        held: None: the documents of the validation split.
    """
    schema, train = model.schema, splits["train"]
    drawn = draw_documents(train["labels"][:], settings.scope_documents, recorded_settings(run).seed)
    encoded = model.encode(train.select(drawn)["text"][:])
    what = "training documents to measure against"
    _, vectors = logits_and_vectors(model.classifier, encoded, batch_tokens, accelerator, what)
    references = references_of(vectors)
    if held is None:
        part = splits["validation"]
        encoded = model.encode(part["text"][:])
        logits, vectors = logits_and_vectors(model.classifier, encoded, batch_tokens, accelerator, "scoring validation")
        truth = indicators(part["labels"][:], len(schema.classes))
        distances = 1 - nearest_cosine(vectors, references)
        held = HeldOut(HeldOutFrom.validation, part["id"][:], truth, logits, distances)
    if not accelerator.is_main_process:
        return {}
    rule = rule_of(held, references, schema, settings, model.encoding.threshold)
    if held.source is HeldOutFrom.out_of_fold:
        write_out_of_fold(held, schema, run.out_of_fold)
    keep(run, rule)
    return dict(rule.about)


def keep(run: RunFolder, rule: DecisionRule) -> None:
    """Write the rule of a run; a crash while writing leaves none."""
    forget(run)
    if rule.scope is not None:
        with atomic_path(run.references) as beside:
            rule.scope.save(beside)
    write_json(run.decision, rule.as_dict())


def forget(run: RunFolder) -> None:
    """Remove the rule of a run whose weights will change."""
    run.decision.unlink(missing_ok=True)
    run.references.unlink(missing_ok=True)


def check_costs(settings: CalibrateSettings, schema: Schema) -> None:
    """Raises: SettingsError if a cost does not name two classes."""
    for pair in settings.named_costs():
        split_pair(pair, schema)


def rule_of(
    held: HeldOut, references: Floats, schema: Schema, settings: CalibrateSettings, threshold: float
) -> DecisionRule:
    """The decision rule chosen by held-out documents.

    Args:
        references: see `held_out.references_of`.
        threshold: of every class, unless thresholds are chosen (single-label).
    """
    goal = Goal(settings.named_costs(), settings.target_precision, settings.target_recall)
    rule, scores, failed = choose_rule(held.logits, held.truth, schema, threshold, goal)
    if set(rule.scale) == {1.0} and not any(rule.shift):
        documents = counted(len(held.truth), "held-out document")
        log.info(f"scores are not calibrated: calibration does not improve them on {documents}")
    if failed:
        names = ", ".join(schema.names(failed))
        done = "they are predicted at a score of 1 only" if goal.target_precision else "they get the lowest threshold"
        target, classes = goal.target_precision or goal.target_recall, counted(len(failed), "class")
        log.warning(f"No threshold reaches {target:.0%} for {classes}: {names}; {done}")
    rule = replace(rule, scope=_scope(held.distances, references, settings.false_alarms))
    if settings.coverage is not None:
        by_class = settings.coverage_by_class and not schema.multi_label
        rule = replace(
            rule, set_from=tuple(map(float, set_thresholds(scores, held.truth, settings.coverage, by_class)))
        )
    asked = settings.target_exact if schema.multi_label else settings.target_precision
    target = asked if schema.multi_label else asked or DEFAULT_TARGET
    missed = None
    if target is not None:
        limit, missed = _abstain_below(rule, scores, held.truth, target, asked is not None)
        rule = replace(rule, abstain_below=limit)
    before = DecisionRule.plain(schema, threshold).scores(held.logits)
    about = {
        "from": held.source.value,
        "documents": len(held.truth),
        "target": target if rule.abstain_below is not None else None,
        "not_promised": missed,
        "coverage": settings.coverage,
        "false_alarms": settings.false_alarms if rule.scope is not None else None,
        "held_out": before_and_after(before, scores, held.truth, schema.multi_label),
        "settings": as_dict(settings),
    }
    return replace(rule, about=about)


def _abstain_below(
    rule: DecisionRule, scores: Floats, truth: NDArray[np.int8], target: float, asked: bool
) -> tuple[float | None, dict[str, Any] | None]:
    """The confidence below which documents go to a person; None for that, and why, if the target cannot be promised.

    Without a limit the model decides alone. Only a target that somebody asked for sends all documents to a person.
    """
    decisions = rule.decide(scores)
    right = (decisions.predicted == truth).all(axis=1)
    found = abstention(decisions.confidence, right, target)
    if found is not None:
        return found, None
    possible, documents = instead_of(decisions.confidence, right, target)
    possible, documents = instead_of(decisions.confidence, right, target)
    missed = {
        "setting": "target_exact" if rule.multi_label else "target_precision",
        "target": target,
        "held_out": len(truth),
        "right": float(right.mean()),
        "possible": possible,
        "documents": documents,
    }
    done = "Every document goes to a person, as this was asked for." if asked else "No score sends one to a person."
    log.warning(f"{not_promised(missed)} {done}")
    return (NEVER if asked else None), missed


def _scope(distances: Floats, references: Floats, false_alarms: float | None) -> Scope | None:
    """Scope limited by the distance that at most this share of documents exceeds; None: there are too few."""
    if false_alarms is None:
        return None
    within = int(np.ceil((len(distances) + 1) * (1 - false_alarms)))
    if within > len(distances):
        documents = counted(len(distances), "held-out document")
        log.warning(f"out of scope: nothing; {documents} are too few for false_alarms={false_alarms:g}")
        return None
    rising = np.sort(distances)
    return Scope(references, float(rising[within - 1 : within + 1].mean()))


def _out_of_fold(
    run: RunFolder, part: datasets.Dataset, model: LoadedModel, settings: CalibrateRun, accelerator: Accelerator
) -> HeldOut:
    """Held-out logits of the training documents, by training the run's recipe on folds."""
    schema = model.schema
    made = recorded_settings(run)
    made = replace(made, evaluate=replace(made.evaluate, batch_tokens=settings.batch_tokens))
    made = replace(made, train=replace(made.train, cpu=settings.cpu, compile=False, shard=False))
    fold = folds_of(part, schema, settings.folds, made.seed)
    if fold.max() < 1:
        raise SettingsError(
            "from_=out_of_fold: all training documents are of one group; train with a validation split."
        )
    encoded = encode_split(part, "train", model, settings.cache, accelerator)
    folds = Folds(TaggedSplit(encoded, part["labels"][:], part["id"][:]), fold)
    recipe = resolve_recipe(made, encoded, schema.multi_label)
    if recipe.recipe is Recipe.auto:
        recipe = chosen_recipe(run, recipe)
    fresh = load_pretrained(made.model, replace(made.data, max_tokens=None), schema, model.encoding.threshold)
    fresh.classifier.to(accelerator.device)
    job = TrainingJob(fresh, recipe, run, accelerator)
    started = time.monotonic()
    if recipe.recipe is Recipe.probe:
        vectors = embed(job, fresh.classifier, encoded, np.arange(len(encoded)), exact=True)
        held = by_regressions(job, vectors, folds, settings.scope_documents)
    else:
        configure_device(fresh.classifier, encoded, accelerator)
        held = by_folds(job, folds, settings.scope_documents)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(run.comparison, ignore_errors=True)
        shutil.rmtree(run.frozen_states, ignore_errors=True)
    log.info(f"{counted(len(encoded), 'document')} held out, each once, in {time.monotonic() - started:,.0f} s")
    return held
