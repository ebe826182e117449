"""The map of the house in the README holds: who imports whom, read from the imports."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "tagsmith"

WITHOUT_TORCH = {"errors", "schema", "rows", "files", "windows", "batches", "bundle", "classify"}
"""Rooms that downstream services load: numpy, onnxruntime and tokenizers, and nothing else."""

LIGHT = {"numpy", "onnxruntime", "tokenizers"}

MAY_IMPORT = {
    "errors": set(),
    "schema": {"errors", "rows"},
    "rows": {"errors"},
    "files": set(),
    "dataset_folders": {"errors", "schema"},
    "checkpoint": {"files"},
    "interruption": set(),
    "metrics": set(),
    "windows": set(),
    "batches": set(),
    "probe": set(),
    "settings": {"schema"},
    "compare": {"errors", "files", "run"},
    "config": {"compare", "errors", "interruption", "settings", "stderr_log"},
    "stderr_log": set(),
    "data": {"dataset_folders", "errors", "files", "rows", "schema", "settings"},
    "amounts": {"scoring", "settings"},
    "packed": {"windows"},
    "reading": {"errors", "settings", "windows"},
    "model": {"errors", "files", "packed", "reading", "settings", "sharding", "windows"},
    "processes": {"errors", "settings"},
    "progress": set(),
    "run": {"errors"},
    "report": {"errors"},
    "scoring": {
        "batches", "errors", "metrics", "packed", "processes", "progress", "reading", "schema", "settings",
        "token_cache", "windows",
    },
    "evaluate": {
        "dataset_folders", "errors", "files", "metrics", "model", "reading", "run", "schema", "scoring", "settings",
    },
    "pretrained": {
        "amounts", "data", "errors", "files", "metrics", "model", "probe", "progress", "reading", "run", "schema",
        "scoring", "settings", "token_cache",
    },
    "tracking": {"errors", "files", "report", "run", "settings"},
    "training_log": {"checkpoint", "errors", "files", "run", "tracking", "windows"},
    "token_cache": {"files", "progress", "settings", "windows"},
    "loop": {
        "averages", "batches", "checkpoint", "evaluate", "gradients", "interruption", "losses", "metrics", "model",
        "optimizer", "processes", "progress", "run", "saving", "schema", "scoring", "settings", "training_log",
    },
    "saving": {"averages", "checkpoint", "errors", "interruption", "model", "settings", "sharding", "training_log"},
    "sharding": set(),
    "train": {
        "amounts", "auto", "checkpoint", "data", "dataset_folders", "dropout", "errors", "evaluate", "files", "fitting",
        "loop", "lora", "model", "pretrained", "processes", "reading", "run", "schema", "scoring", "settings",
        "sharding", "tracking",
    },
    "bundle": {"errors", "files", "schema", "windows"},
    "kills": {"errors", "run", "settings", "train"},
    "classify": {"batches", "bundle", "errors", "schema", "windows"},
    "classify_files": {"classify", "errors", "files", "progress", "rows", "settings"},
    "serve": {"bundle", "classify", "errors", "files", "schema", "settings"},
    "model_card": {"errors", "schema"},
    "bench": {
        "batches", "data", "errors", "metrics", "model", "probe", "processes", "reading", "run", "schema", "settings",
        "train", "windows",
    },
    "export": {
        "bundle", "classify", "dataset_folders", "errors", "evaluate", "files", "metrics", "model", "model_card", "run",
        "schema", "scoring", "settings", "tracking", "windows",
    },
    "frozen": {"batches", "errors", "model", "packed", "processes", "progress", "windows"},
    "lora": {"errors", "model", "settings"},
    "losses": {"errors", "schema", "settings"},
    "averages": set(),
    "gradients": {"batches", "errors", "packed", "scoring", "training_log"},
    "optimizer": {"amounts", "checkpoint", "errors", "model", "settings"},
    "dropout": set(),
    "auto": {
        "errors", "evaluate", "files", "fitting", "frozen", "loop", "model", "probe", "processes", "run", "schema",
        "scoring", "settings",
    },
    "fitting": {
        "errors", "frozen", "loop", "lora", "model", "packed", "probe", "processes", "run", "schema", "scoring",
        "settings", "sharding", "windows",
    },
}  # fmt: skip


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"tagsmith.{alias.name}" for alias in node.names] if node.module == "tagsmith" else [node.module]
            found |= set(names)
    return found


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_every_room_is_on_the_map() -> None:
    assert {room(path) for path in FILES} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_room_imports_what_the_map_says(path: Path) -> None:
    used = {name.split(".")[1] for name in imports(path) if name.startswith("tagsmith.")}
    assert used - {room(path)} <= MAY_IMPORT[room(path)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_hydra_is_known_at_the_door_alone(path: Path) -> None:
    known = {name.split(".")[0] for name in imports(path)} & {"hydra", "omegaconf"}
    assert not known or room(path) == "config"


@pytest.mark.parametrize("name", sorted(WITHOUT_TORCH))
def test_inference_needs_three_packages(name: str) -> None:
    import sys

    outside = {module.split(".")[0] for module in imports(PACKAGE / f"{name}.py")} - {"tagsmith"}
    assert outside - set(sys.stdlib_module_names) <= LIGHT
    assert MAY_IMPORT[name] <= WITHOUT_TORCH


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_can_be_seen_across(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
