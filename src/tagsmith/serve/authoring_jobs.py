"""Trainings that the authoring API has started: they wait, run one at a time, and outlive the service."""

import subprocess
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tagsmith.core import apart
from tagsmith.core.files import json_object, read_json, write_json
from tagsmith.core.run import RunFolder
from tagsmith.serve.authoring import Json, TrainingRequest, date, job_state
from tagsmith.serve.jobs import CANCELLED, CANCELLING, FAILED, RUNNING, SUCCEEDED, UNFINISHED, WAITING

TRAININGS, ABOUT, LABELS = "trainings", "training.json", "labels.json"

MOST_STARTS = 3
"""A training that was killed, say by a restart of the machine, is started again; after so many starts it has failed."""


@dataclass(frozen=True)
class Training:
    """The folder of a training: the labels that it trains on, its run, its bundle, and what it has printed."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.path / "run")

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    def about(self) -> Json:
        """What was asked for, when, and how often it was started."""
        return read_json(self.path / ABOUT, json_object, "a training", "restore it from a copy, or delete its folder")

    def note(self, **changes: object) -> None:
        """Change what is written about it."""
        write_json(self.path / ABOUT, self.about() | changes)

    @property
    def updated(self) -> float:
        """When something was printed last; before, when it was asked for; seconds since 1970."""
        output = self.path / apart.OUTPUT
        return output.stat().st_mtime if output.exists() else float(self.about()["created"])

    def status(self) -> str:
        """One of Azure's states of a job."""
        return _status(self.about(), apart.standing(self.path))

    def state(self, private: Sequence[Path]) -> Json:
        """The state of the job.

        Args:
            private: folders whose paths are left out of error messages.
        """
        about, now = self.about(), apart.standing(self.path)
        status, updated = _status(about, now), self.updated
        done = 4 if status == SUCCEEDED else now.command
        steps = {}
        for number, name in ((1, "training"), (2, "evaluation")):
            part = SUCCEEDED if done > number else status if done == number else WAITING
            step: Json = {"percentComplete": 100 if done > number else 0, "status": part}
            if done == number and now.progress is not None:
                step["percentComplete"] = int(99 * now.progress["done"] / max(1, now.progress["total"]))
            steps[f"{name}Status"] = step
        if about["started"] is not None:
            steps["trainingStatus"]["startDateTime"] = date(about["started"])
        if status not in UNFINISHED:
            steps["evaluationStatus"]["endDateTime"] = date(updated)
        errors = [{"code": "InvalidRequest", "message": _error(now.lines, private)}] if status == FAILED else []
        found = job_state(self.id, status, about["created"], updated, errors)
        return found | {"result": {"modelLabel": about["label"], "trainingConfigVersion": about["version"], **steps}}


def _status(about: Json, now: apart.Standing) -> str:
    if now.running:
        return CANCELLING if about["cancelled"] else RUNNING
    if now.status is not None:
        return FAILED if now.status else SUCCEEDED
    if about["cancelled"]:
        return CANCELLED
    return WAITING if not about["starts"] else RUNNING if about["starts"] < MOST_STARTS else FAILED


def _error(lines: Sequence[str], private: Sequence[Path]) -> str:
    """The error that the last command has printed."""
    starts = [i for i, line in enumerate(lines) if line.startswith("error: ")]
    text = "\n".join(lines[starts[-1] :]).removeprefix("error: ") if starts else "it ended without a message"
    return without(text, private)


def without(text: str, private: Sequence[Path]) -> str:
    """A message without the paths of folders, of no more than 2,000 characters."""
    for folder in private:
        text = text.replace(f"{folder}/", "")
    return text[:2000]


def new_training(place: Path, asked: TrainingRequest, labels: Json, texts: Path, extra: Sequence[str]) -> Training:
    """Write a training, which waits for its turn.

    Args:
        place: the folder in which it gets its own.
        texts: the folder of the texts.
        extra: further settings of `tagsmith train`.
    """
    options, path = asked.evaluationOptions, place / str(uuid.uuid4())
    drawn = options.kind == "percentage"
    if drawn:
        documents = [{k: v for k, v in one.items() if k != "dataset"} for one in labels["assets"]["documents"]]
        labels = labels | {"assets": labels["assets"] | {"documents": documents}}
    path.mkdir(parents=True)
    write_json(path / LABELS, labels)
    run = f"run={path / 'run'}"
    train = ["train", "data=azure", f"data.path={path / LABELS}", f"data.texts={texts}", run, *extra, "resume=true"]
    train += [f"data.test_share={options.testingSplitPercentage / 100}"] if drawn else []
    commands = [train, ["evaluate", run], ["export", run, f"bundle={path / 'bundle'}", "overwrite=true"]]
    about = {"label": asked.modelLabel, "version": asked.trainingConfigVersion, "options": options.model_dump()}
    times = {"created": time.time(), "started": None, "starts": 0, "cancelled": False}
    write_json(path / ABOUT, about | times | {"commands": commands})
    return Training(path)


class Queue:
    """Runs the trainings of a folder of projects, one at a time."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.Lock()
        self._ended: set[str] = set()  # Their ids, so that they are not looked at again.
        self._processes: list[subprocess.Popen[bytes]] = []

    def step(self) -> None:
        """Start the next of the trainings that wait, if none runs: first one that was killed, then the oldest."""
        with self._lock:
            self._processes = [one for one in self._processes if one.poll() is None]  # So that none stays a zombie.
            waiting = []
            for path in self._folder.glob(f"*/{TRAININGS}/*/{ABOUT}"):
                one = Training(path.parent)
                if one.id in self._ended:
                    continue
                if apart.is_running(one.path):
                    return
                if one.status() in UNFINISHED:
                    about = one.about()
                    waiting.append((not about["starts"], about["created"], one))
                else:
                    self._ended.add(one.id)
            if waiting:
                self._start(min(waiting, key=lambda row: row[:2])[2])

    def _start(self, training: Training) -> None:
        about = training.about()
        training.note(starts=about["starts"] + 1, started=about["started"] or time.time())
        process = apart.start(training.path, about["commands"])
        self._processes.append(process)
        training.note(process=process.pid)

    def cancel(self, training: Training) -> bool:
        """Ask a training to end; returns whether it had not ended yet."""
        with self._lock:
            if training.status() not in UNFINISHED:
                return False
            training.note(cancelled=True)
            if apart.is_running(training.path) and "process" in training.about():
                apart.stop(training.about()["process"])
            return True
