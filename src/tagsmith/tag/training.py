"""Train on the tags from the page: training, report and bundle, by a process of its own that outlives the page."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tagsmith.core import apart
from tagsmith.core.errors import TagsmithError
from tagsmith.core.files import write_json
from tagsmith.core.run import RunFolder
from tagsmith.tag.export import training_words, write_lines_of
from tagsmith.tag.guard import Refused
from tagsmith.tag.store import Store
from tagsmith.tag.web import Nothing, Route, Strict

FOLDER = "trainings"
"""The folder of a project with a folder for each training: its tags, its run, its bundle, what it has printed."""


class Train(Strict):
    """Start a training; `resume` the last one, or begin another on the tags of now."""

    resume: bool = False


class Training:
    """The trainings of a project, of which one runs at a time.

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
            if last is not None and apart.is_running(last):
                raise Refused(409, "A training is running.")
            if resume and last is None:
                raise Refused(409, "There is no training to resume.")
            place = self._new(last) if last is None or not resume else last
            about = json.loads((place / "training.json").read_text(encoding="utf-8"))
            self._process = apart.start(place, about["commands"])
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
        own_split = any(word.startswith("data.split_from=") for word in words)
        if last is not None and not own_split and (last / "run" / "data").is_dir():
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
            if (place := self._last()) is not None and apart.is_running(place):
                about = json.loads((place / "training.json").read_text(encoding="utf-8"))
                self._stopping = True
                apart.stop(about["process"])
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
        now = apart.standing(place)
        if self._process is not None and not now.running:
            self._process.poll()  # So that it does not stay a zombie.
        about = json.loads((place / "training.json").read_text(encoding="utf-8"))
        state = "stopping" if self._stopping else "running"
        if not now.running:
            state = "stopped" if now.status is None else "failed" if now.status else "finished"
        run = RunFolder(place / "run")
        found = {"run": run.path, "report": run.page, "bundle": place / "bundle"}
        return {
            "state": state,
            "documents": about["documents"],
            "commands": [apart.typed(words) for words in about["commands"]],
            "command": now.command,
            "seconds": round(time.time() - about.get("started", time.time())),
            "progress": now.progress if state == "running" else None,
            "lines": now.lines[-12:],
            "found": {name: str(path) for name, path in found.items() if path.exists()},
            "figures": _figures(run) if run.page.exists() else None,
        }

    def _last(self) -> Path | None:
        """The folder of the newest training."""
        places = [path.parent for path in self._folder.glob("*/training.json") if path.parent.name.isdigit()]
        return max(places, key=lambda path: int(path.name), default=None)


def _figures(run: RunFolder) -> dict[str, float] | None:
    try:
        found = json.loads(run.evaluation.read_text(encoding="utf-8"))
        return {"accuracy": found["accuracy"], "macro_f1": found["macro"]["f1"], "documents": found["documents"]}
    except (OSError, ValueError, KeyError):
        return None
