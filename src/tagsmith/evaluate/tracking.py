"""The MLflow run of a training: a copy of its parameters, figures, evaluation and bundle.

The run folder is the original. accelerate's tracker opens the MLflow run; figures are sent from `metrics.jsonl`, each
once, so that whatever a store missed is sent later. A failing store neither stops a training nor slows it much.
"""

import logging
import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
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
"""Seconds between two batches of figures: a store needs as long for one figure as for many."""

PAUSE = 60.0
"""Least seconds without a new attempt after a store has failed."""

PATIENCE = 20.0
"""No new attempt for this multiple of the time that the failure took, so retries cost at most a twentieth."""


def require_mlflow(settings: TrainSettings) -> None:
    """Raises: SettingsError if MLflow is requested and it, or what its SQLite store needs, is not installed."""
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
    """Within this context, the accelerator of the main process has the trackers that the settings request.

    After a successful end, MLflow has the whole run, or a warning says that it does not.
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
    """Add the bundle to the MLflow run of the training, if it had one; a failure is only a warning."""
    if not run.mlflow.is_file():
        return
    try:
        known = _read(run.mlflow)
        database = _database(known["store"])
        if database is not None and not database.is_file():
            raise FileNotFoundError(f"{database} does not exist")  # MLflow would create an empty one.
        _client(known["store"]).log_artifacts(known["run_id"], str(bundle), "bundle")
    except Exception as error:  # Any failure of MLflow or its driver; the bundle is complete.
        log.warning(f"The bundle is not in MLflow ({_first_line(error)}); exporting again with overwrite=true adds it.")
    else:
        log.info(f"bundle added to MLflow run {known['run_id']} in {known['store']}")


class MlflowRun(MLflowTracker):  # type: ignore[misc]
    """accelerate's tracker, except that it never raises, sends each figure once, and resumes its MLflow run.

    Attributes:
        sent: names and steps of the figures that the store has.
        problem: why the last attempt failed; None: it did not.
    """

    def __init__(self, run: RunFolder, store: str, experiment: str):
        database = _database(store)
        self.run, self.store = run, store if database is None else f"{SQLITE}{database.as_posix()}"
        # A server decides where artifacts go; for a file, MLflow would use the working directory.
        self.artifacts = None if database is None else database.with_name(f"{database.stem}_artifacts")
        place = None if self.artifacts is None else self.artifacts.as_uri()
        super().__init__(experiment, logging_dir=place, run_name=str(run.path))
        self.active_run: Any = None
        self.ready = False
        self.problem: str | None = None
        self.sent: set[tuple[str, int]] = set()
        self.next_time = 0.0

    def start(self) -> None:
        """Create the MLflow run, or resume the one that the folder names."""
        if self._attempt(lambda: None):
            log.info(f"MLflow run {self.active_run.info.run_id} in {self.store}")

    def log(self, values: Mapping[str, float], step: int | None = None, **_: Any) -> None:
        """Send new lines of `metrics.jsonl`, this one among them, unless an attempt was made just now."""
        if time.monotonic() >= self.next_time:
            self.next_time = time.monotonic() + INTERVAL
            self._attempt(self._send_lines)

    def end(self, status: str) -> None:
        """Send what is missing, and set the status of the MLflow run."""
        if not self._attempt(self._send_all if status == "FINISHED" else self._send_lines):
            log.warning(
                f"MLflow: {self.store} is missing some of this run ({self.problem}). Nothing is lost: the same command "
                f"with run={self.run.path} resume=true sends it."
            )
        if self.active_run is not None:
            import mlflow

            # Even if the store fails, MLflow forgets its active run, so the next job of a sweep creates its own.
            self._guarded(lambda: mlflow.end_run(status))

    def _attempt(self, action: Callable[[], object]) -> bool:
        """Create the MLflow run unless that has been done, then do `action`; False: the store has failed."""

        def both() -> None:
            if not self.ready:
                self._create_or_resume()
            action()

        return self._guarded(both)

    def _guarded(self, action: Callable[[], object]) -> bool:
        started = time.monotonic()
        try:
            action()
        except Exception as error:  # Any failure of the store or its driver.
            if self.problem is None:
                log.warning(f"MLflow: {self.store}: {_first_line(error)}; training continues and will retry.")
            self.problem = _first_line(error)
            self.next_time = time.monotonic() + max(PAUSE, PATIENCE * (time.monotonic() - started))
            return False
        self.problem = None
        return True

    def _create_or_resume(self) -> None:
        if self.artifacts is not None:
            self.artifacts.parent.mkdir(parents=True, exist_ok=True)
        self.client = _client(self.store)
        if self.active_run is None:
            self._find_known_run()
            super().start()
        run_id = self.active_run.info.run_id
        about = {"store": self.store, "experiment": self.experiment_name, "run_id": run_id}
        write_json(self.run.mlflow, about)
        from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

        settings = self.run.read_record()["settings"]
        # A longer value (many classes) is only in settings.json.
        self.store_init_configuration({k: v for k, v in settings.items() if len(str(v)) <= MAX_PARAM_VAL_LENGTH})
        self.client.set_tag(run_id, "tagsmith.run", str(self.run.path.resolve()))
        self.log_artifact(str(self.run.settings))
        for name in self.client.get_run(run_id).data.metrics:
            self.sent |= {(name, metric.step) for metric in self.client.get_metric_history(run_id, name)}
        self.ready = True

    def _find_known_run(self) -> None:
        """Resume the MLflow run that the folder names, if this store has it."""
        from mlflow.exceptions import MlflowException

        if not self.run.mlflow.is_file():
            return
        known = _read(self.run.mlflow)
        if known["store"] != self.store:
            return
        try:
            exists = self.client.get_run(known["run_id"]).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            exists = False
        if exists:
            self.run_id, self.experiment_name = known["run_id"], known["experiment"]
        else:
            log.warning(f"MLflow: {self.store} no longer has run {known['run_id']}; creating a new one.")

    def _send_lines(self) -> int:
        """Send the lines of `metrics.jsonl`; return the last step."""
        step, figures = 0, []
        for line in read_json_lines(self.run.metrics, "delete the line") if self.run.metrics.is_file() else []:
            step = line.pop("step")
            del line["epoch"]
            figures += [(name, value, step) for name, value in chart_names(line).items()]
        self._send(figures)
        return step

    def _send(self, figures: Iterable[tuple[str, float | None, int]]) -> None:
        """Send figures (name, value, step) that the store does not have yet."""
        from mlflow.entities import Metric
        from mlflow.utils.validation import MAX_METRICS_PER_BATCH

        now = time.time_ns() // 1_000_000
        metrics = [
            Metric(name, value, now, step)
            for name, value, step in figures
            if value is not None and math.isfinite(value) and (name, step) not in self.sent
        ]
        for start in range(0, len(metrics), MAX_METRICS_PER_BATCH):
            batch = metrics[start : start + MAX_METRICS_PER_BATCH]
            self.client.log_batch(self.active_run.info.run_id, metrics=batch)
            self.sent |= {(metric.key, metric.step) for metric in batch}

    def _send_all(self) -> None:
        """Send missing figures, and the evaluations with their tables."""
        step = self._send_lines()
        for path in (self.run.evaluation, self.run.validation, self.run.choice):
            if path.is_file():
                self.log_artifact(str(path))
        evaluation = _read(self.run.evaluation)
        for found in (evaluation, *([_read(self.run.validation)] if self.run.validation.is_file() else [])):
            self._send((name, value, step) for name, value in _figures(found).items())
        run_id = self.active_run.info.run_id
        self.client.log_text(run_id, per_class_text(evaluation), "evaluation.txt")
        self.client.log_text(run_id, confusion_csv(evaluation), "confusion_matrix.csv")


def chart_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a line of `metrics.jsonl`, named so that trackers group them: `train/loss`."""
    return {name if "/" in name else f"train/{name}": value for name, value in values.items()}


def _figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The figures over all classes; those of each class are in a table, as not every class name can name a metric."""
    found = {name: evaluation[name] for name in ("accuracy", "hamming_loss", "log_loss")}
    for average in ("micro", "macro", "weighted"):
        found |= {f"{average}_{name}": value for name, value in evaluation[average].items()}
    return {f"evaluation/{evaluation['split']}/{name}": value for name, value in found.items()}


def _read(path: Path) -> dict[str, Any]:
    return read_json(path, json_object, "a JSON object", "restore it")


def _database(store: str) -> Path | None:
    """The absolute path of a local store; None: the store is a server."""
    return Path(store.removeprefix(SQLITE)).expanduser().resolve() if store.startswith(SQLITE) else None


def _client(store: str) -> "MlflowClient":
    # By default, MLflow sends telemetry, and waits minutes for a server that is gone.
    for name, value in (
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "30"),
        ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
    ):
        os.environ.setdefault(name, value)
    if (database := _database(store)) is not None:
        # MLflow retries for minutes if it cannot open the file.
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("pragma schema_version")
    import mlflow

    mlflow.set_tracking_uri(store)
    return mlflow.MlflowClient(store)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
