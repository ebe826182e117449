"""Train on the tags from the page: training, report and bundle, by a process of its own that outlives the page."""

import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tagsmith.core.errors import TagsmithError
from tagsmith.core.files import write_json
from tagsmith.core.run import RunFolder
from tagsmith.tag.export import training_words, write_lines_of
from tagsmith.tag.guard import Refused
from tagsmith.tag.store import Store
from tagsmith.tag.web import Nothing, Route, Strict

FOLDER = "trainings"
"""The folder of a project with a folder for each training: its tags, its run, its bundle, what it has printed."""

PYTHON = (sys.executable, "-m", "tagsmith")
"""What `python scripts/NAME.py` stands for in a process whose working directory may be any."""

MARK = ">>> "
"""Begins the lines that are printed between the commands."""

PROGRESS = re.compile(r"(?P<what>[^:]+): (?P<done>[\d,]+) of (?P<total>[\d,]+) (?P<unit>\w+), (?P<detail>.+)")
LEFT = re.compile(r", ([\d,]+) s left$")
TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")

TAIL_BYTES = 1 << 16


class Train(Strict):
    """Start a training; `resume` the last one, or begin another on the tags of now."""

    resume: bool = False


class Training:
    """The trainings of a project, of which one runs at a time.

    What they have printed, `output.txt`, is locked by the process that prints there: that it is locked says that the
    process lives, whichever process has started it, and what it ends with says how it has ended.

    Args:
        words: settings of the command line that are those of the training, too, such as `model=e5`.
    """

    def __init__(self, folder: Path, store: Store, words: Sequence[str] = ()):
        self._folder, self._store, self._words = folder / FOLDER, store, words
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def routes(self) -> Iterator[Route]:
        yield Route("training", Nothing, lambda _body, _person: self.state())
        yield Route("train", Train, lambda body, _: self.start(body.resume))
        yield Route("stop_training", Nothing, lambda _body, _person: self.stop())

    def start(self, resume: bool = False) -> dict[str, Any]:
        """Start the commands; see `state`."""
        with self._lock:
            last = self._last()
            if last is not None and _is_locked(last):
                raise Refused(409, "A training is running.")
            if resume and last is None:
                raise Refused(409, "There is no training to resume.")
            place = self._new(last) if last is None or not resume else last
            about = json.loads((place / "training.json").read_text(encoding="utf-8"))
            with (place / "output.txt").open("ab") as output:
                fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A session of its own: Ctrl-C closes the page, and the training goes on.
                self._process = subprocess.Popen(
                    ["sh", "-c", _script(about["commands"])],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=os.environ | {"TAGSMITH_LOG_SECONDS": "2"},
                )
            write_json(place / "training.json", about | {"process": self._process.pid, "started": time.time()})
            self._stopping = False
        return self.state()

    def _new(self, last: Path | None) -> Path:
        """The folder of a new training, with its tags and commands."""
        place = self._folder / str(1 if last is None else int(last.name) + 1)
        known = self._store.schema()
        assert known is not None  # The page has classes.
        try:
            count = write_lines_of(place / "tags.jsonl", self._store, known[0])
        except TagsmithError as error:
            raise Refused(409, str(error)) from None
        run = place / "run"
        words = [*training_words(self._store, place / "tags.jsonl", run), *self._words, "resume=true"]
        apart = any(word.startswith("data.split_from=") for word in words)
        if last is not None and not apart and (last / "run" / "data").is_dir():
            # The same test documents, so that the figures of two trainings can be compared.
            words += [f"data.split_from={last / 'run'}", "data.split_from_missing=allow"]
        commands = [
            ["train", *words],
            ["evaluate", f"run={run}"],
            ["export", f"run={run}", f"bundle={place / 'bundle'}", "overwrite=true"],
        ]
        write_json(place / "training.json", {"documents": count, "commands": commands})
        return place

    def stop(self) -> dict[str, Any]:
        """Ask the commands to end; a training saves a checkpoint first, from which `start` resumes."""
        with self._lock:
            if (place := self._last()) is not None and _is_locked(place):
                about = json.loads((place / "training.json").read_text(encoding="utf-8"))
                self._stopping = True
                with suppress(ProcessLookupError):
                    os.killpg(about["process"], signal.SIGTERM)
        return self.state()

    def state(self) -> dict[str, Any]:
        """How the last training stands.

        Returns:
            `state`: `none`, `running`, `stopping`, `stopped`, `failed` or `finished`; `commands` as they are typed;
            `command`, the number of the one that runs or ran last; `progress` of what it does, where it says so;
            `lines`, the last ones that were printed; where they are there, `report` and `bundle`, and `figures`.
        """
        if (place := self._last()) is None:
            return {"state": "none"}
        alive = _is_locked(place)
        if self._process is not None and not alive:
            self._process.poll()  # So that it does not stay a zombie.
        about = json.loads((place / "training.json").read_text(encoding="utf-8"))
        lines = _tail(place / "output.txt")
        marks = [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]
        ended = marks and marks[-1].startswith("exit ")
        state = "stopping" if self._stopping else "running"
        if not alive:
            state = "stopped" if not ended else "finished" if marks[-1] == "exit 0" else "failed"
        numbers = [int(mark.split()[0]) for mark in marks if mark[0].isdigit()]
        run = RunFolder(place / "run")
        found = {"run": run.path, "report": run.page, "bundle": place / "bundle"}
        return {
            "state": state,
            "documents": about["documents"],
            "commands": [_typed(words) for words in about["commands"]],
            "command": numbers[-1] if numbers else 1,
            "seconds": round(time.time() - about.get("started", time.time())),
            "progress": _progress(lines) if state == "running" else None,
            "lines": [line for line in lines if not line.startswith(MARK)][-12:],
            "found": {name: str(path) for name, path in found.items() if path.exists()},
            "figures": _figures(run) if run.page.exists() else None,
        }

    def _last(self) -> Path | None:
        """The folder of the newest training."""
        places = [path.parent for path in self._folder.glob("*/training.json") if path.parent.name.isdigit()]
        return max(places, key=lambda path: int(path.name), default=None)


def _script(commands: Sequence[Sequence[str]]) -> str:
    """The commands, one after the other, in the language of the shell; each gives way to what people wait for."""
    steps = [
        f"echo {shlex.quote(f'{MARK}{number} {_typed(words)}')} && nice -n 10 {shlex.join([*PYTHON, *words])}"
        for number, words in enumerate(commands, 1)
    ]
    return f"{' && '.join(steps)}; echo '{MARK}exit '$?"


def _typed(words: Sequence[str]) -> str:
    return shlex.join(["python", f"scripts/{words[0]}.py", *words[1:]])


def _is_locked(place: Path) -> bool:
    try:
        with (place / "output.txt").open("rb") as output:
            fcntl.flock(output, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _tail(path: Path) -> list[str]:
    """The last lines of what was printed, without times."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [TIME.sub("", line) for line in text.splitlines() if line.strip()]


def _progress(lines: Sequence[str]) -> dict[str, Any] | None:
    """What the last line about progress says, unless another command has begun since."""
    for line in reversed(lines):
        if line.startswith(MARK):
            return None
        if found := PROGRESS.fullmatch(line):
            left = LEFT.search(line)
            return {
                "what": found["what"],
                "unit": found["unit"],
                "done": int(found["done"].replace(",", "")),
                "total": int(found["total"].replace(",", "")),
                "rate": LEFT.sub("", found["detail"]),
                "seconds_left": int(left[1].replace(",", "")) if left else None,
            }
    return None


def _figures(run: RunFolder) -> dict[str, float] | None:
    try:
        found = json.loads(run.evaluation.read_text(encoding="utf-8"))
        return {"accuracy": found["accuracy"], "macro_f1": found["macro"]["f1"], "documents": found["documents"]}
    except (OSError, ValueError, KeyError):
        return None
