"""Measure every contender in turn on every training set, each in its own process."""

import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tagsmith.bench.own_process import ProcessKilled, busy_processes, in_own_process
from tagsmith.bench.recipes.contest import Contest, NotInstalled, Outcome
from tagsmith.bench.recipes.training_sets import Prepared, TrainingSet, prepare
from tagsmith.config.encoders import model_named
from tagsmith.config.settings import (
    CONTENDERS,
    DISTILL_POOL,
    RECIPES,
    BenchTrainRun,
    CacheSettings,
    DataSettings,
    OnBadRow,
    Recipe,
    TableSettings,
    TrainRun,
)

log = logging.getLogger("tagsmith")

TEACHER = "teacher"
"""The contender that the recipe distill learns from, and the name of its run."""


@dataclass(frozen=True)
class Measurement:
    """One contender on one training set; figures are None where it was skipped. `Outcome` explains them.

    Attributes:
        per_class: documents per class; None for all documents.
        repetition: 1 for the first draw, or for the first measurement on all documents.
        tokens_per_second: training tokens per second of the whole measurement.
        padding_share: share of padding in the training tokens.
        peak_memory: MiB.
        skipped: why there is no measurement.
    """

    contender: str
    task: str
    classes: int
    per_class: int | None
    repetition: int
    documents: int
    test_documents: int
    tokens: int | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    padding_share: float | None = None
    peak_memory: float | None = None
    accuracy: float | None = None
    micro_f1: float | None = None
    macro_f1: float | None = None
    skipped: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(settings: BenchTrainRun) -> Iterator[Measurement]:
    """Yield a measurement of every contender on every training set, as they are made.

    All contenders take their turn on one training set before the next, so that a slow phase of the machine affects all
    of them. Each runs in its own process, with its own caches and peak memory.

    Raises:
        SettingsError, InputMissing, DataError: see `training_sets.prepare` and `train_run.train`.
    """
    wanted = settings.contenders if settings.contenders is not None else list(CONTENDERS)
    taught = {"tagsmith_distill", DISTILL_POOL}
    contenders = [name for name in wanted if settings.teacher is not None or name not in taught]
    models = {name: model_named(name) for name in settings.models or []} or {"": settings.model}
    with tempfile.TemporaryDirectory(prefix="tagsmith_bench_") as name:
        prepared = in_own_process(prepare, settings, Path(name))
        for note in prepared.notes:
            log.warning(note)
        for number, training_set in enumerate(prepared.training_sets, start=1):
            with tempfile.TemporaryDirectory(dir=name) as scratch:
                turns = [(one, contender) for one in models for contender in contenders]
                if taught & set(contenders):
                    turns.insert(0, (TEACHER, TEACHER))
                for encoder, contender in turns:
                    if contender == DISTILL_POOL and training_set.pool is None:
                        continue  # All documents are drawn.
                    model = model_named(settings.teacher or "") if encoder == TEACHER else models[encoder]
                    shown = contender if encoder in ("", TEACHER) else f"{contender}, {encoder.partition(':')[0]}"
                    log.info(
                        f"{number} of {len(prepared.training_sets)}: {shown}, {training_set.documents:,} documents"
                    )
                    one = replace(settings, model=model)
                    yield replace(_turn(contender, one, prepared, training_set, Path(scratch)), contender=shown)


def _turn(
    contender: str, settings: BenchTrainRun, prepared: Prepared, training_set: TrainingSet, scratch: Path
) -> Measurement:
    """Measure one contender on one training set, or say why it was skipped; a teacher's run stays in `scratch`."""
    about = Measurement(
        contender,
        prepared.schema.task.value,
        len(prepared.schema.classes),
        training_set.per_class,
        training_set.repetition + 1,
        training_set.documents,
        prepared.test_documents,
    )
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        run = scratch / TEACHER if contender == TEACHER else Path(folder) / "run"
        contest = _contest(contender, settings, prepared, training_set, run)
        try:
            with busy_processes(settings.neighbours):
                outcome = in_own_process(measure, contest)
        except NotInstalled as error:
            return replace(about, skipped=str(error))
        except ProcessKilled:  # The other contenders are still worth measuring.
            return replace(about, skipped="its process was killed, most likely because the memory was exhausted")
    if outcome.tokens is not None and outcome.padded is not None:
        speed, padding = outcome.tokens / outcome.seconds, 1 - outcome.tokens / outcome.padded
        about = replace(about, tokens_per_second=round(speed, 1), padding_share=round(padding, 4))
    return replace(
        about,
        tokens=outcome.tokens,
        seconds=round(outcome.seconds, 3),
        peak_memory=round(outcome.peak_memory, 1),
        accuracy=outcome.accuracy,
        micro_f1=outcome.micro_f1,
        macro_f1=outcome.macro_f1,
    )


def measure(contest: Contest) -> Outcome:
    """Run one contender in this process; its libraries are imported before its clock starts.

    Raises:
        NotInstalled: its library is missing or cannot be imported.
    """
    if contest.settings.train.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if contest.contender in (*RECIPES, DISTILL_POOL, TEACHER):
        if contest.settings.train.recipe is Recipe.lora and find_spec("peft") is None:
            raise NotInstalled("peft is not installed; pip install 'tagsmith[lora]'")
        from tagsmith.bench.recipes.run_tagsmith import run
    elif contest.contender == "setfit":
        if find_spec("setfit") is None:
            raise NotInstalled("setfit is not installed; pip install 'tagsmith[bench]'")
        from tagsmith.bench.recipes.run_setfit import run
    elif contest.contender == "tfidf_svm":
        from tagsmith.bench.recipes.run_tfidf_svm import run
    else:
        from tagsmith.bench.recipes.run_trainer import run
    return run(contest)


def _contest(
    contender: str, settings: BenchTrainRun, prepared: Prepared, training_set: TrainingSet, folder: Path
) -> Contest:
    """The contest of one contender: settings of a run on the files of the training and the test set."""
    classes = list(prepared.schema.classes)
    shared = {item.name: getattr(settings.data, item.name) for item in fields(DataSettings)}
    # The files are checked and split already.
    shared |= {
        "classes": classes,
        "on_bad_row": OnBadRow.error,
        "split_from": None,
        "tagged": None,
        "validation_share": 0.0,
        "pool": str(training_set.pool) if contender == DISTILL_POOL else None,
    }
    data = TableSettings(**shared, train=str(training_set.path), test=str(prepared.test))
    recipe = {**RECIPES, DISTILL_POOL: Recipe.distill, TEACHER: Recipe.finetune}.get(contender, settings.train.recipe)
    train = replace(settings.train, recipe=recipe, teacher=None)
    if contender == TEACHER:
        train = replace(train, soup=settings.teacher_soup)
    elif recipe is Recipe.distill:
        train = replace(train, teacher=str(folder.parents[1] / TEACHER))
    run = TrainRun(
        run=str(folder),
        seed=settings.seed + training_set.repetition,
        task=prepared.schema.task,
        data=data,
        model=settings.model,
        train=train,
        evaluate=settings.evaluate,
        cache=CacheSettings(folder=None),  # No contender finds the tokens of another one, or of an earlier benchmark.
    )
    return Contest(contender, run, prepared.schema, training_set.path, prepared.test)
