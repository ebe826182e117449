"""Trainings that the authoring API has started: they wait, run one at a time, and outlive the service."""

import logging
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from tagsmith.config.settings import Recipe, TrainSettings
from tagsmith.core import apart
from tagsmith.core.disk import lacking
from tagsmith.core.errors import DataError, TagsmithError, TryAgainLater
from tagsmith.core.files import read_json, write_json
from tagsmith.core.locations import TextFiles
from tagsmith.core.run import RunFolder
from tagsmith.serve.authoring import Json, TrainingRequest, date, job_state, without_text
from tagsmith.serve.jobs import CANCELLED, CANCELLING, FAILED, RUNNING, SUCCEEDED, UNFINISHED, WAITING

log = logging.getLogger("tagsmith.serve")

TRAININGS, ABOUT, LABELS = "trainings", "training.json", "labels.json"

MOST_STARTS = 3
"""A training that was killed, say by a restart of the machine, or that lacked room, is started again; after so many
starts it has failed."""

AGAIN_SECONDS, STOP_SECONDS = 15 * 60, 5 * 60
"""When one that lacked room is started again, and when one that was asked to end is killed: as the timers of `refresh`
have it."""

KILLED = 128 + 9
"""The exit status of a command that SIGKILL has ended."""

CHECKPOINTS = (Recipe.finetune.value, Recipe.auto.value)
"""Recipes that write checkpoints."""


class About(BaseModel):
    """What is written about a training; times are seconds since 1970.

    Attributes:
        begun: its last start, of `starts`.
        stopped: when it was asked to end: it was `cancelled`, or is `overdue`, which says why.
        process: its id, while it runs.
    """

    label: str
    version: str
    options: Json
    commands: list[list[str]]
    warnings: list[Json] = []
    created: float
    started: float | None = None
    begun: float | None = None
    starts: int = 0
    cancelled: bool = False
    overdue: str | None = None
    stopped: float | None = None
    process: int | None = None


def _about(content: object) -> About:
    try:
        return About.model_validate(content)
    except ValidationError as error:
        found = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, found['loc']))}: {found['msg']}") from error


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

    def about(self) -> About:
        """What was asked for, when, and how often it was started. Raises: DataError, the file is damaged."""
        return read_json(self.path / ABOUT, _about, "a training", "restore it from a copy")

    def note(self, **changes: object) -> None:
        """Change what is written about it."""
        write_json(self.path / ABOUT, self.about().model_dump() | changes)

    @property
    def updated(self) -> float:
        """When something was printed last; before, when it was asked for; seconds since 1970."""
        output = self.path / apart.OUTPUT
        return output.stat().st_mtime if output.exists() else self.about().created

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
        if about.started is not None:
            steps["trainingStatus"]["startDateTime"] = date(about.started)
        if status not in UNFINISHED:
            steps["evaluationStatus"]["endDateTime"] = date(updated)
        errors = [{"code": "InvalidRequest", "message": _error(about, now, private)}] if status == FAILED else []
        found = job_state(self.id, status, about.created, updated, errors, about.warnings)
        return found | {"result": {"modelLabel": about.label, "trainingConfigVersion": about.version, **steps}}


def readable(paths: Iterable[Path]) -> Iterator[Training]:
    """The trainings of these files; one whose file is damaged is set aside, so that it stops no other."""
    for path in paths:
        one = Training(path.parent)
        try:
            one.about()
        except DataError as error:
            if isinstance(error.__cause__, FileNotFoundError):  # It has just been deleted.
                continue
            if isinstance(error.__cause__, OSError):
                raise
            aside = path.with_name(f"{ABOUT}.damaged")
            with suppress(FileNotFoundError):
                path.rename(aside)
                log.error("authoring: %s The file is now %s, and the training in no list.", error, aside.name)
        else:
            yield one


def _status(about: About, now: apart.Standing) -> str:
    if now.running:
        return CANCELLING if about.stopped else RUNNING
    if now.status == 0:
        return SUCCEEDED
    if about.cancelled:
        return CANCELLED
    if about.overdue:
        return FAILED
    if now.status == TryAgainLater.exit_status and about.starts < MOST_STARTS:
        return WAITING
    if now.status is not None:
        return FAILED
    return WAITING if not about.starts else RUNNING if about.starts < MOST_STARTS else FAILED


def _error(about: About, now: apart.Standing, private: Sequence[Path]) -> str:
    """Why a training has failed; mostly the error that its last command has printed."""
    if about.overdue:
        return about.overdue
    if now.status in (None, KILLED):
        return "It was killed; is there enough memory?"
    starts = [i for i, line in enumerate(now.lines) if line.startswith("error: ")]
    text = "\n".join(now.lines[starts[-1] :]).removeprefix("error: ") if starts else "it ended without a message"
    return without(text, private)


def without(text: str, private: Sequence[Path]) -> str:
    """A message without the paths of folders, of no more than 2,000 characters."""
    for folder in private:
        text = text.replace(f"{folder}/", "")
    return text[:2000]


def new_training(place: Path, asked: TrainingRequest, labels: Json, texts: TextFiles, extra: Sequence[str]) -> Training:
    """Write a training, which waits for its turn.

    Args:
        place: the folder in which it gets its own.
        texts: those of the project.
        extra: further settings of `tagsmith train`.
    """
    options, path = asked.evaluationOptions, place / str(uuid.uuid4())
    drawn, documents = options.kind == "percentage", labels["assets"]["documents"]
    warnings = without_text(documents, texts)
    if drawn:
        documents = [{k: v for k, v in one.items() if k != "dataset"} for one in documents]
        labels = labels | {"assets": labels["assets"] | {"documents": documents}}
    path.mkdir(parents=True)
    write_json(path / LABELS, labels)
    run = f"run={path / 'run'}"
    train = ["train", "data=azure", f"data.path={path / LABELS}", f"data.texts={texts.folder}", run, *extra]
    train += ["resume=true", *([f"data.test_share={options.testingSplitPercentage / 100}"] if drawn else [])]
    about = About(
        label=asked.modelLabel,
        version=asked.trainingConfigVersion,
        options=options.model_dump(),
        commands=[train, ["evaluate", run], ["export", run, f"bundle={path / 'bundle'}", "overwrite=true"]],
        warnings=warnings,
        created=time.time(),
    )
    write_json(path / ABOUT, about.model_dump())
    return Training(path)


class Queue:
    """Runs the trainings of a folder of projects, one at a time.

    Args:
        hours: after which a training is ended.
    """

    def __init__(self, folder: Path, hours: float):
        self._folder = folder
        self._hours = hours
        self._lock = threading.Lock()
        self._ended: set[str] = set()  # Their ids, so that they are not looked at again.
        self._processes: list[subprocess.Popen[bytes]] = []

    def step(self) -> None:
        """Start the next of the trainings that wait, if none runs: first one that was killed, then the oldest."""
        with self._lock:
            self._processes = [one for one in self._processes if one.poll() is None]  # So that none stays a zombie.
            waiting = []
            files = self._folder.glob(f"*/{TRAININGS}/*/{ABOUT}")
            for one in readable(file for file in files if file.parent.name not in self._ended):
                about, now = one.about(), apart.standing(one.path)
                if now.running:
                    self._bound(one, about)
                    return
                if _status(about, now) not in UNFINISHED:
                    self._ended.add(one.id)
                elif now.status is None or time.time() - one.updated >= AGAIN_SECONDS:
                    waiting.append((not about.starts, about.created, one))
            if waiting:
                self._start(min(waiting, key=lambda row: row[:2])[2])

    def _start(self, training: Training) -> None:
        about, now = training.about(), time.time()
        training.note(starts=about.starts + 1, started=about.started or now, begun=now)
        if (why := self._lacking()) is not None:
            apart.refuse(training.path, TryAgainLater(why))
            return
        process = apart.start(training.path, about.commands)
        self._processes.append(process)
        training.note(process=process.pid)

    def _lacking(self) -> str | None:
        """Why the disk has no room for a training like the newest one; None: it has, or there is none yet."""
        bundles = self._folder.glob(f"*/{TRAININGS}/*/bundle")
        if (newest := max(bundles, key=lambda path: path.stat().st_mtime, default=None)) is None:
            return None
        model = Training(newest.parent)
        try:
            recipe = model.run.read_record()["settings"].get("train.recipe")
        except TagsmithError:
            recipe = None
        weights = model.run.weights if recipe in CHECKPOINTS else None
        return lacking(model.path, weights, TrainSettings.keep_checkpoints)

    def _bound(self, training: Training, about: About) -> None:
        """End a training that takes too long, and kill one that does not end."""
        now = time.time()
        if about.process is None:
            return
        if about.stopped is not None:
            if now - about.stopped > STOP_SECONDS:
                apart.stop(about.process, signal.SIGKILL)
        elif about.begun is not None and now - about.begun > self._hours * 3600:
            why = f"It was ended, as it took longer than {self._hours:g} hours (serve.authoring_hours)."
            training.note(overdue=why, stopped=now)
            apart.stop(about.process)

    def cancel(self, training: Training) -> bool:
        """Ask a training to end; returns whether it had not ended yet."""
        with self._lock:
            if training.status() not in UNFINISHED:
                return False
            training.note(cancelled=True, stopped=time.time())
            process = training.about().process
            if process is not None and apart.is_running(training.path):
                apart.stop(process)
            return True
