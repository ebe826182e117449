"""The folder of a project that is taken out: what came from Azure as it came, and what is made of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tagsmith.core.errors import InputMissing, SettingsError
from tagsmith.core.files import json_object, read_json, write_json

Json = dict[str, Any]

TAKE_AGAIN = "delete the file, and take it again"


class ExitFolder:
    """Paths in the folder that `out=` names.

    Attributes:
        azure: what came from Azure, as it came.
        data: the texts, and the labels file that is the input of a run.
    """

    def __init__(self, path: Path):
        self.path = path
        self.azure = path / "azure"
        self.data = path / "data"
        self.labels = self.data / "labels.json"
        self.export = self.azure / "export.json"
        self.taken = path / "taken.json"
        self.report = path / "report"

    def answers(self, name: str) -> Path:
        """The answers of the deployment, one document a line."""
        return self.path / f"answers_{name}.jsonl"

    def requests(self, name: str) -> Path:
        """The folder of the requests for these answers, as they came."""
        return self.azure / f"answers_{name}"

    def model(self, label: str) -> Path:
        """The folder of the evaluation of a trained model."""
        return self.azure / "models" / quote(label, safe="")

    def read_taken(self) -> Json:
        """What `take` has recorded about the project.

        Raises:
            InputMissing: nothing was taken into this folder.
        """
        if not self.taken.is_file():
            raise InputMissing(f"out={self.path}: nothing was taken into this folder; action=take does.")
        return read_json(self.taken, json_object, "what was taken", TAKE_AGAIN)

    def begin(self, about: Json) -> Json:
        """Record which project is taken; returns what is recorded.

        Raises:
            SettingsError: the folder holds another project.
        """
        if not self.taken.is_file():
            self.data.mkdir(parents=True, exist_ok=True)
            self.azure.mkdir(exist_ok=True)
            write_json(self.taken, about)
            return about
        found = self.read_taken()
        if other := [f"{name}={found.get(name)}" for name, value in about.items() if found.get(name) != value]:
            raise SettingsError(f"out={self.path}: was begun with {', '.join(other)}; name another folder.")
        return found


def kept(path: Path, ask: Callable[[], Any]) -> Any:
    """The content of a JSON file; where there is none, what `ask` returns, which is written first.

    So each answer is asked for once, however often the command is interrupted.
    """
    if path.is_file():
        return read_json(path, lambda content: content, "JSON", TAKE_AGAIN)
    content = ask()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
    return content
