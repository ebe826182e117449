"""The MLflow run of a training: its parameters, figures, evaluation and bundle, copied from the run's folder.

The folder is what counts, and MLflow has a copy of it, made through accelerate's tracker. What a store did not take is
sent again from the folder: no training is lost for a tracker, or held up by it for long.
"""

import logging
import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import Accelerator
from accelerate.tracking import MLflowTracker

from tagsmith.config.settings import TrainSettings
from tagsmith.core.errors import Interrupted, SettingsError
from tagsmith.core.files import json_object, read_json, read_json_lines, write_json
from tagsmith.core.run import RunFolder
from tagsmith.evaluate.report import confusion_csv, per_class_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("tagsmith")

SQLITE = "sqlite:///"

INTERVAL = 10.0
"""Seconds of figures that are sent at once: a store takes as long for many of them as for one."""

PAUSE = 60.0
"""Seconds for which a store that has failed is left alone, at the least."""

PATIENCE = 20.0
"""It is left alone for so many times what its failure took, so that it costs a twentieth of the time at most."""


def require_mlflow(settings: TrainSettings) -> None:
    """Raises: SettingsError where MLflow is wanted and it, or what its SQLite store needs, is not installed."""
    if settings.mlflow is None:
        return
    needed = ["mlflow", *(["sqlalchemy", "alembic"] if settings.mlflow.startswith(SQLITE) else [])]
    if missing := [name for name in needed if find_spec(name) is None]:
        raise SettingsError(
            f"train.mlflow={settings.mlflow}: needs {' and '.join(missing)}, not installed here; "
            "pip install 'tagsmith[mlflow]'."
        )


@contextmanager
def tracked(run: RunFolder, settings: TrainSettings, accelerator: Accelerator) -> Iterator[None]:
    """While it is open, the trackers of the main process's accelerator are those that the settings want.

    What is in the run when it ends well, is in MLflow then, or a warning says that it is not.
    """
    if settings.mlflow is None or not accelerator.is_main_process:
        yield
        return
    tracker = MlflowRun(run, settings.mlflow, settings.mlflow_experiment)
    accelerator.trackers.append(tracker)
    status = "FAILED"
    try:
        tracker.start()
        yield
        status = "FINISHED"
    except (Interrupted, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        accelerator.trackers.remove(tracker)
        tracker.end(status)


def add_bundle(run: RunFolder, bundle: Path) -> None:
    """Add the bundle to the MLflow run of the training, where it had one; where that cannot be, a warning says so."""
    if not run.mlflow.is_file():
        return
    try:
        known = _read(run.mlflow)
        database = _database(known["store"])
        if database is not None and not database.is_file():
            raise FileNotFoundError(f"{database} is not there")  # MLflow would make an empty one.
        _client(known["store"]).log_artifacts(known["run_id"], str(bundle), "bundle")
    except Exception as error:  # Whatever MLflow fails with, the bundle is whole.
        log.warning(f"The bundle is not in MLflow ({_first_line(error)}); exporting again with overwrite=true adds it.")
    else:
        log.info(f"bundle added to MLflow run {known['run_id']} in {known['store']}")


class MlflowRun(MLflowTracker):  # type: ignore[misc]
    """accelerate's tracker, made patient: it never fails, sends each figure once, and goes on with its MLflow run.

    Attributes:
        waiting: figures to send, by name and step: the value, and the time in ms since 1970.
        sent: names and steps of the figures that the store has.
        problem: what the store has failed with; None: it has not.
    """

    def __init__(self, run: RunFolder, store: str, experiment: str):
        database = _database(store)
        self.run, self.store = run, store if database is None else f"{SQLITE}{database.as_posix()}"
        # A server has a place of its own for artifacts; MLflow's default for a file is the working directory.
        self.artifacts = None if database is None else database.with_name(f"{database.stem}_artifacts")
        place = None if self.artifacts is None else self.artifacts.as_uri()
        super().__init__(experiment, logging_dir=place, run_name=str(run.path))
        self.active_run: Any = None
        self.begun = False
        self.problem: str | None = None
        self.waiting: dict[tuple[str, int], tuple[float, int]] = {}
        self.sent: set[tuple[str, int]] = set()
        self.next_time = 0.0

    def start(self) -> None:
        """Begin the MLflow run, or go on with the one that the folder names."""
        if self._attempt(lambda: None):
            log.info(f"MLflow run {self.active_run.info.run_id} in {self.store}")

    def log(self, values: Mapping[str, float], step: int | None = None, **_: Any) -> None:
        """Take figures of a step; those of some seconds are sent together, and each figure of a step once."""
        self._take(values, step or 0)
        if time.monotonic() >= self.next_time:
            self.next_time = time.monotonic() + INTERVAL
            self._attempt(self._send)

    def end(self, status: str) -> None:
        """Send what is missing, and give the MLflow run its status."""

        def copy() -> None:
            self._copy_folder() if status == "FINISHED" else self._send()

        if not self._attempt(copy):
            log.warning(
                f"MLflow: {self.store} lacks some of this run ({self.problem}). Nothing is lost: the same command "
                f"with run={self.run.path} resume=true sends it."
            )
        if self.active_run is not None:
            import mlflow

            # It forgets the run before it tells the store: the next job of a sweep begins a run of its own.
            self._guarded(lambda: mlflow.end_run(status))

    def _attempt(self, action: Callable[[], None]) -> bool:
        """Begin where that has not been yet, then `action`; False: the store has failed."""

        def begun() -> None:
            if not self.begun:
                self._begin()
            action()

        return self._guarded(begun)

    def _guarded(self, action: Callable[[], None]) -> bool:
        started = time.monotonic()
        try:
            action()
        except Exception as error:  # Whatever a store or its driver fails with.
            if self.problem is None:
                log.warning(f"MLflow: {self.store}: {_first_line(error)}; training goes on, and it is tried again.")
            self.problem = _first_line(error)
            self.next_time = time.monotonic() + max(PAUSE, PATIENCE * (time.monotonic() - started))
            return False
        self.problem = None
        return True

    def _begin(self) -> None:
        if self.artifacts is not None:
            self.artifacts.parent.mkdir(parents=True, exist_ok=True)
        self.client = _client(self.store)
        if self.active_run is None:
            self._go_on_with_known()
            super().start()
        run_id = self.active_run.info.run_id
        about = {"store": self.store, "experiment": self.experiment_name, "run_id": run_id}
        write_json(self.run.mlflow, about)
        from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

        settings = self.run.read_record()["settings"]
        # A longer one (many classes) is in settings.json alone.
        self.store_init_configuration({k: v for k, v in settings.items() if len(str(v)) <= MAX_PARAM_VAL_LENGTH})
        self.client.set_tag(run_id, "tagsmith.run", str(self.run.path.resolve()))
        self.log_artifact(str(self.run.settings))
        for name in self.client.get_run(run_id).data.metrics:
            self.sent |= {(name, metric.step) for metric in self.client.get_metric_history(run_id, name)}
        self.begun = True

    def _go_on_with_known(self) -> None:
        """Take up the MLflow run that the folder names, where this store has it."""
        from mlflow.exceptions import MlflowException

        if not self.run.mlflow.is_file():
            return
        known = _read(self.run.mlflow)
        if known["store"] != self.store:
            return
        try:
            there = self.client.get_run(known["run_id"]).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            there = False
        if there:
            self.run_id, self.experiment_name = known["run_id"], known["experiment"]
        else:
            log.warning(f"MLflow: {self.store} no longer has run {known['run_id']}; begins another one.")

    def _take(self, values: Mapping[str, float | None], step: int) -> None:
        now = time.time_ns() // 1_000_000
        for name, value in values.items():
            if value is not None and math.isfinite(value) and (name, step) not in self.sent:
                self.waiting.setdefault((name, step), (value, now))

    def _send(self) -> None:
        from mlflow.entities import Metric
        from mlflow.utils.validation import MAX_METRICS_PER_BATCH

        while some := list(self.waiting.items())[:MAX_METRICS_PER_BATCH]:
            metrics = [Metric(name, value, taken, step) for (name, step), (value, taken) in some]
            self.client.log_batch(self.active_run.info.run_id, metrics=metrics)
            for key, _ in some:
                self.sent.add(key)
                del self.waiting[key]

    def _copy_folder(self) -> None:
        """Send what is missing of the lines of figures, and the evaluations with their tables."""
        step = 0
        rows = read_json_lines(self.run.metrics, "delete the line")
        for values in rows if self.run.metrics.is_file() else ():
            step = values.pop("step")
            del values["epoch"]
            self._take(chart_names(values), step)
        for path in (self.run.evaluation, self.run.validation, self.run.choice):
            if path.is_file():
                self.log_artifact(str(path))
        if self.run.validation.is_file():
            self._take(_figures(_read(self.run.validation)), step)
        evaluation = _read(self.run.evaluation)
        self._take(_figures(evaluation), step)
        self._send()
        run_id = self.active_run.info.run_id
        self.client.log_text(run_id, per_class_text(evaluation), "evaluation.txt")
        self.client.log_text(run_id, confusion_csv(evaluation), "confusion_matrix.csv")


def chart_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of a line of `metrics.jsonl` by the names that trackers group them by: `train/loss`."""
    return {name if "/" in name else f"train/{name}": value for name, value in values.items()}


def _figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The figures over all classes. Those of a class are in a table: not every class name can name a figure."""
    found = {name: evaluation[name] for name in ("accuracy", "hamming_loss", "log_loss")}
    for average in ("micro", "macro", "weighted"):
        found |= {f"{average}_{name}": value for name, value in evaluation[average].items()}
    return {f"evaluation/{evaluation['split']}/{name}": value for name, value in found.items()}


def _read(path: Path) -> dict[str, Any]:
    return read_json(path, json_object, "figures", "evaluate the run again")


def _database(store: str) -> Path | None:
    """The file of a local store, by its whole path; None: the store is a server."""
    return Path(store.removeprefix(SQLITE)).expanduser().resolve() if store.startswith(SQLITE) else None


def _client(store: str) -> "MlflowClient":
    # MLflow tells its makers that it is used, and waits for a server that is gone for minutes; unless told otherwise.
    for name, value in (
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "30"),
        ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
    ):
        os.environ.setdefault(name, value)
    if (database := _database(store)) is not None:
        # MLflow asks for minutes, again and again, for a file that cannot be opened.
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("pragma schema_version")
    import mlflow

    mlflow.set_tracking_uri(store)
    return mlflow.MlflowClient(store)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
