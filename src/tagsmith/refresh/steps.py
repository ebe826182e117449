"""From a store's new version to its bundle: train, calibrate, evaluate, export; what is there already is kept."""

import logging
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from tagsmith.config.settings import CalibrateRun, CalibrateSettings, EvaluateRun, ExportRun, RefreshRun, TrainRun
from tagsmith.config.settings.fields import defaults
from tagsmith.core.errors import SettingsError, TryAgainLater
from tagsmith.core.run import require_same
from tagsmith.data import TaggedData
from tagsmith.evaluate.evaluate_run import evaluate_run
from tagsmith.evaluate.report.page import write_page
from tagsmith.export.export_run import export
from tagsmith.refresh.store import Json, Version
from tagsmith.train.calibration.calibrate_run import calibrate_run
from tagsmith.train.claim import settings_of_run
from tagsmith.train.train_run import train

log = logging.getLogger("tagsmith")

LEAST_FREE = 0.5
"""Share of a GPU's memory that has to be free before training starts."""

LOOK_EVERY = 30.0
"""Seconds between two looks at the memory of a GPU that others use."""


def make(settings: RefreshRun, version: Version, load: Callable[[], TaggedData], steps: list[Json]) -> None:
    """Make what a version lacks; after a kill or an interruption, the same call resumes.

    Args:
        load: returns the documents of a new run.
        steps: gets a line with `step` and `seconds` for each step that was not done before.

    Raises:
        TryAgainLater: a GPU is used by others, the disk is full, or a signal has arrived.
        TagsmithError: see `train`, `calibrate_run`, `evaluate_run`, `export`.
    """
    run = version.run
    parts: dict[str, tuple[Path, Callable[[], Any]]] = {
        "train": (run.evaluation, lambda: train(training_of(settings, version), load)),
        # Where there is a validation split, training has calibrated already.
        "calibrate": (run.decision, lambda: calibrate_run(_calibration(settings, version))),
        "evaluate": (run.page, lambda: _evaluate(settings, version)),
        "export": (version.bundle, lambda: export(_export(settings, version))),
    }
    if not all(result.exists() for result, _ in parts.values()):
        _wait_for_gpu(settings)
    for name, (result, part) in parts.items():
        if result.exists():
            continue
        started = time.monotonic()
        try:
            part()
        except torch.OutOfMemoryError as error:
            raise TryAgainLater(f"{name}: the memory of the GPU is used by others: {error}") from error
        steps.append({"step": name, "seconds": round(time.monotonic() - started, 1)})


def training_of(settings: RefreshRun, version: Version) -> TrainRun:
    """The settings of training a version."""
    given = {item.name: getattr(settings, item.name) for item in fields(TrainRun)}
    return TrainRun(**given | {"run": str(version.run.path), "resume": True})


def resumable(settings: RefreshRun, version: Version) -> bool:
    """Whether an unfinished version can be finished: it has its documents, and was begun with the same settings."""
    if not version.run.holds_run:
        return False
    wanted = training_of(settings, version)
    try:
        require_same(version.run, settings_of_run(wanted), defaults(wanted))
    except SettingsError as error:
        log.warning(f"version {version.name} was interrupted and is dropped, as the settings have changed: {error}")
        return False
    return True


def _calibration(settings: RefreshRun, version: Version) -> CalibrateRun:
    given = {item.name: getattr(settings.calibrate, item.name) for item in fields(CalibrateSettings)}
    return CalibrateRun(
        **given,
        run=str(version.run.path),
        batch_tokens=settings.evaluate.batch_tokens,
        cpu=settings.train.cpu,
        cache=settings.cache,
    )


def _evaluate(settings: RefreshRun, version: Version) -> None:
    evaluate_run(
        EvaluateRun(
            run=str(version.run.path),
            batch_tokens=settings.evaluate.batch_tokens,
            cpu=settings.train.cpu,
            cache=settings.cache,
        ),
        version.run,
    )
    write_page(version.run)


def _export(settings: RefreshRun, version: Version) -> ExportRun:
    return ExportRun(
        run=str(version.run.path), bundle=str(version.bundle), export=settings.export, cache=settings.cache
    )


def _wait_for_gpu(settings: RefreshRun) -> None:
    """Wait until half of the GPU's memory is free. Raises: TryAgainLater where it is not after `wait_minutes`."""
    if settings.train.cpu or not torch.cuda.is_available():
        return
    until = time.monotonic() + settings.wait_minutes * 60
    while True:
        free, total = torch.cuda.mem_get_info()
        if free >= LEAST_FREE * total:
            return
        found = f"{free / 2**30:,.1f} of {total / 2**30:,.1f} GiB of the GPU's memory are free"
        if time.monotonic() >= until:
            raise TryAgainLater(f"{found}, others use the rest; wait_minutes= waits for them.")
        log.info(f"waiting for the GPU: {found}")
        time.sleep(LOOK_EVERY)
