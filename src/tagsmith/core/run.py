"""The run folder: settings, schema, documents by split, checkpoints, figures, weights, evaluation."""

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tagsmith.core.errors import InputMissing, SettingsError, listing
from tagsmith.core.files import read_json

RECORDED = (
    "tagsmith",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "accelerate",
    "peft",
    "scikit-learn",
    "numpy",
)


@dataclass(frozen=True)
class RunFolder:
    """The paths of the files of a run."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "settings.json"

    @property
    def schema(self) -> Path:
        return self.path / "schema.json"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def pool(self) -> Path:
        return self.path / "pool"

    @property
    def rejected(self) -> Path:
        return self.path / "rejected.jsonl"

    @property
    def rejected_beside(self) -> Path:
        """The bad rows of data that no run was made from."""
        return self.path.with_name(f"{self.path.name}.rejected.jsonl")

    @property
    def contradictions(self) -> Path:
        return self.path / "contradictions.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "train.log"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def mlflow(self) -> Path:
        return self.path / "mlflow.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def soup(self) -> Path:
        return self.path / "soup"

    @property
    def curves(self) -> list[Path]:
        """The figures of each training; there are several where their weights are averaged."""
        return [self.metrics, *sorted(self.soup.glob("*/metrics.jsonl"))]

    @property
    def frozen_states(self) -> Path:
        return self.path / "frozen_states"

    @property
    def comparison(self) -> Path:
        return self.path / "comparison"

    @property
    def choice(self) -> Path:
        return self.path / "choice.json"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def weights(self) -> Path:
        return self.model / "model.safetensors"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def validation(self) -> Path:
        return self.path / "validation.json"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.jsonl"

    @property
    def analysis(self) -> Path:
        return self.path / "analysis.json"

    @property
    def guidance(self) -> Path:
        return self.path / "guidance.json"

    @property
    def page(self) -> Path:
        return self.path / "report.html"

    @property
    def vectors(self) -> Path:
        return self.path / "vectors"

    @property
    def logits(self) -> Path:
        return self.path / "logits"

    @property
    def decision(self) -> Path:
        return self.path / "decision.json"

    @property
    def references(self) -> Path:
        return self.path / "scope.npy"

    @property
    def folds(self) -> Path:
        return self.path / "folds"

    @property
    def out_of_fold(self) -> Path:
        return self.path / "out_of_fold.jsonl"

    @property
    def out_of_scope(self) -> Path:
        return self.path / "out_of_scope.jsonl"

    @property
    def split_classes(self) -> Path:
        return self.path / "split_classes.jsonl"

    @property
    def improve(self) -> Path:
        return self.path / "improve"

    @property
    def holds_run(self) -> bool:
        return self.settings.is_file()

    def require(self) -> None:
        """Raises: InputMissing where the folder is not a run."""
        if not self.holds_run:
            raise InputMissing(f"run={self.path}: no run here (looked for {self.settings}).")

    def read_record(self) -> dict[str, Any]:
        """What `record` returned when the run was made.

        Raises:
            InputMissing: the folder is not a run.
            DataError: `settings.json` is damaged.
        """
        self.require()
        remedy = "restore it from a copy, or train again with overwrite=true"
        return read_json(self.settings, _complete_record, "the settings and versions of the run", remedy)


def _complete_record(content: dict[str, Any]) -> dict[str, Any]:
    encoder = [content["settings"][f"model.{name}"] for name in ("path", "name", "package")]
    versions = [content["versions"][name] for name in ("tagsmith", "torch", "transformers")]
    if not any(encoder) or not all(isinstance(text, str) for text in (*versions, content["started"])):
        raise ValueError("values of another kind")
    # Older versions did not record these.
    text_field = content["settings"].get("data.text_field", "text")
    older = {"processes": "not recorded", "precision": "not recorded", "text_fields": [text_field]}
    return older | content


def fresh_path(name: str) -> Path:
    """A folder under runs/ that does not exist yet: `runs/2026-11-22_14-03-59_NAME`."""
    first = Path("runs", f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{name}")
    path, number = first, 2
    while path.exists():
        path, number = Path(f"{first}-{number}"), number + 1
    return path


def refuse_or_allow(run: RunFolder, resume: bool, overwrite: bool) -> bool:
    """Whether to resume the run in the folder; False where a new run is to be made.

    Raises:
        SettingsError: the folder is a run and neither setting is on, or it is something else, or a mount point.
    """
    if run.path.is_mount():
        raise SettingsError(f"run={run.path}: is a mount point, which cannot be replaced; name a folder inside it.")
    if run.holds_run:
        if not (resume or overwrite):
            raise SettingsError(
                f"run={run.path}: already a run; resume it with resume=true, replace it with overwrite=true, "
                "or name another folder."
            )
        return resume
    if run.path.exists() and (not run.path.is_dir() or any(run.path.iterdir())):
        raise SettingsError(f"run={run.path}: exists but is not a run; name another folder.")
    return False


def record(settings: dict[str, Any], made_from: dict[str, Any], processes: int, precision: str) -> dict[str, Any]:
    """What is needed to repeat the run: the settings, the command, the versions, the commit, the machine.

    Args:
        made_from: content of files named by the settings, which is compared when the run is resumed.
    """
    versions = {}
    for name in RECORDED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "settings": settings,
        "made_from": made_from,
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "processes": processes,
        "precision": "fp32" if precision == "no" else precision,
        "versions": versions,
        "commit": git_commit(),
    }


def git_commit() -> str | None:
    """The commit of the code; None where it does not run from a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def require_same(run: RunFolder, settings: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Check that a run is resumed with the settings that it was made with.

    Args:
        defaults: values of settings that did not exist yet when the run was made, or that are constants now.

    Raises:
        SettingsError: settings differ.
        DataError: `settings.json` is damaged.
    """
    recorded = run.read_record()["settings"]
    stored, now = (
        {name: defaults.get(name) for name in recorded.keys() | settings.keys()} | values
        for values in (recorded, settings)
    )
    changed = [
        f"{name}: {stored[name]} in the run, {now[name]} now" for name in sorted(now) if stored[name] != now[name]
    ]
    if changed:
        raise SettingsError(
            listing(
                f"run={run.path} resumes only with its own settings; restore these, name another run=, or replace "
                "the run with overwrite=true:",
                changed,
            )
        )
