"""The table of a sweep's jobs: which settings differ, and their figures."""

import csv
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagsmith.config.settings import BestMetric
from tagsmith.core.errors import DataError, InputMissing, counted
from tagsmith.core.files import json_object, read_json, whole_file
from tagsmith.core.run import RunFolder


class CompareJobs(Callback):
    """Prints and writes the table of a sweep after its last job; `configs/experiment/sweep.yaml` names it."""

    def __init__(self) -> None:
        self._failed: set[str] = set()

    def on_job_end(self, config: DictConfig, job_return: Any, **_: Any) -> None:
        if job_return.return_value is None:  # A job that has not failed returns its objective.
            self._failed.add(Path(config.run).name)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        if os.environ.get("RANK", "0") != "0":
            return  # One process of a launch is enough.
        folder = Path(config.hydra.sweep.dir)
        comparison = compare(folder, BestMetric(config.objective).value, self._failed)
        Console(width=max(Console().width, 130)).print(comparison_table(comparison))
        print(f"comparison: {folder / 'comparison.csv'}")


@dataclass(frozen=True)
class Job:
    """A run of a sweep; its figures are None where it has none yet, or where its job has just failed."""

    run: RunFolder
    settings: Mapping[str, Any]
    objective: float | None
    test_accuracy: float | None
    test_macro_f1: float | None


@dataclass(frozen=True)
class Comparison:
    """The jobs, in the order of their folders, and the names of the settings in which they differ."""

    metric: str
    differing: list[str]
    jobs: list[Job]

    @property
    def best(self) -> Job | None:
        """The job that is best on the validation split, the first of equals; None where no job has figures."""
        sign = -1 if self.metric == "log_loss" else 1
        judged = [(sign * job.objective, job) for job in self.jobs if job.objective is not None]
        return max(judged, key=lambda pair: pair[0])[1] if judged else None

    @property
    def header(self) -> list[str]:
        return ["run", *self.differing, f"validation {self.metric}", "test accuracy", "test macro_f1"]

    def cells(self, job: Job) -> list[Any]:
        """The job's values for the `header`; None where it has none."""
        settings = [job.settings.get(name) for name in self.differing]
        return [str(job.run.path), *settings, job.objective, job.test_accuracy, job.test_macro_f1]


def judged(run: RunFolder, metric: str) -> float:
    """What a sweep maximises: the metric on the validation split; of log loss, the negative.

    Every process of a launch gets the same value, so that their sweeps choose the same next job.

    Raises:
        InputMissing, DataError: the run has no figures, or lacks this metric.
    """
    value = _validation(run, metric)
    if value is None:
        raise InputMissing(f"{run.validation}: expected the figures of the validation split, found no file.")
    return -value if metric == "log_loss" else value


def compare(folder: Path, metric: str, failed: Collection[str] = ()) -> Comparison:
    """Read the runs in a sweep's folder and write `comparison.csv` next to them.

    Args:
        metric: macro_f1, micro_f1, accuracy or log_loss.
        failed: folders of jobs that have just failed; figures in them are of an earlier command and are ignored.

    Raises:
        DataError: a file of a run is damaged.
    """
    runs = [RunFolder(path) for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    jobs = [_read(run, metric) for run in sorted(runs, key=_place) if run.holds_run]
    jobs = [Job(job.run, job.settings, None, None, None) if job.run.path.name in failed else job for job in jobs]
    names = list(dict.fromkeys(name for job in jobs for name in job.settings))
    differing = [name for name in names if len({json.dumps(job.settings.get(name)) for job in jobs}) > 1]
    comparison = Comparison(metric, differing, jobs)
    with whole_file(folder / "comparison.csv") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(comparison.header)
        rows.writerows(comparison.cells(job) for job in jobs)
    return comparison


def comparison_table(comparison: Comparison) -> Table:
    """One row per job; the best on the validation split is bold."""
    best = comparison.best
    title = counted(len(comparison.jobs), "job")
    if without := sum(job.objective is None for job in comparison.jobs):
        title += f", {without:,} of them failed or unfinished"
    if best is not None:
        title += f", best by validation {comparison.metric}: {best.run.path}"
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in comparison.header:
        table.add_column(name, overflow="fold")
    for job in comparison.jobs:
        cells = (Text(_shown(value)) for value in comparison.cells(job))
        table.add_row(*cells, style="bold" if job is best else None)
    return table


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _place(run: RunFolder) -> tuple[bool, int, str]:
    """Sort key: job 2 before job 10, folders with other names last."""
    name = run.path.name
    return (False, int(name), "") if name.isdecimal() else (True, 0, name)


def _read(run: RunFolder, metric: str) -> Job:
    test = _figures(run.evaluation)
    if test is None or test.get("split") != "test":
        test = {}
    macro = test.get("macro", {})
    settings = run.read_record()["settings"]
    return Job(run, settings, _validation(run, metric), test.get("accuracy"), macro.get("f1"))


def _validation(run: RunFolder, metric: str) -> float | None:
    """The metric on the validation split; None where training has not finished."""
    figures = _figures(run.validation)
    if figures is None:
        return None
    average, _, name = metric.rpartition("_")
    try:
        return float(figures[average][name] if name == "f1" else figures[metric])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{run.validation}: expected the metric {metric}, found {error!r}; train it again.") from error


def _figures(path: Path) -> dict[str, Any] | None:
    return read_json(path, json_object, "figures", "evaluate the run again") if path.is_file() else None
