"""The map of the house in the README holds: who imports whom, read from the imports."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "tagsmith"

WITHOUT_TORCH = {
    "errors", "schema", "rows", "files", "windows", "batches", "bundle", "classify", "decision_rule", "golden", "scope",
    "verify", "session", "truncation", "columns", "reference",
}  # fmt: skip
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
    "report": {"errors", "files", "run", "schema"},
    "scoring": {
        "batches", "errors", "metrics", "model", "packed", "processes", "progress", "reading", "schema", "settings",
        "token_cache", "windows",
    },
    "tfidf": set(),
    "guidance": {"errors"},
    "analysis": {
        "amounts", "data", "dataset_folders", "errors", "files", "guidance", "metrics", "model", "pretrained", "probe",
        "processes", "progress", "reading", "run", "schema", "scoring", "settings", "tfidf", "token_cache", "windows",
    },
    "evaluate": {
        "analysis", "dataset_folders", "decision_figures", "decision_rule", "errors", "files", "metrics", "model",
        "reading", "run", "schema", "scope", "scoring", "settings", "windows",
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
        "amounts", "auto", "calibrate", "checkpoint", "data", "dataset_folders", "decision_rule", "dropout", "errors",
        "evaluate", "files", "fitting", "loop", "lora", "model", "pretrained", "processes", "reading", "run", "schema",
        "scoring", "settings", "sharding", "tracking",
    },
    "bundle": {"decision_rule", "errors", "files", "schema", "verify", "windows"},
    "golden": {"decision_rule", "errors", "files", "schema"},
    "graph": {"bundle", "model", "schema"},
    "parity": {"decision_rule", "errors", "metrics", "schema"},
    "quantize": set(),
    "stock": {"errors", "files", "model", "reading", "schema", "settings"},
    "verify": {"bundle", "classify", "errors", "golden"},
    "kills": {"errors", "run", "settings", "train"},
    "classify": {
        "batches", "bundle", "decision_rule", "errors", "files", "golden", "schema", "session", "truncation", "windows",
    },
    "session": {"errors"},
    "truncation": {"windows"},
    "scope": {"errors"},
    "decision_rule": {"errors", "schema", "scope"},
    "calibration": set(),
    "thresholds": set(),
    "conformal": set(),
    "decision_figures": {"calibration", "conformal", "decision_rule", "metrics", "schema", "scope", "thresholds"},
    "recorded": {"errors", "run", "settings"},
    "held_out": {
        "errors", "files", "fitting", "loop", "model", "pretrained", "probe", "processes", "progress", "run", "schema",
        "scope", "scoring", "settings",
    },
    "calibrate": {
        "amounts", "auto", "calibration", "conformal", "dataset_folders", "decision_figures", "decision_rule",
        "dropout", "errors", "files", "fitting", "held_out", "loop", "metrics", "model", "pretrained", "probe",
        "processes", "reading", "recorded", "run", "schema", "scope", "scoring", "settings", "thresholds", "windows",
    },
    "improve": {
        "amounts", "data", "dataset_folders", "errors", "files", "inputs", "metrics", "model", "pretrained", "probe",
        "progress", "reading", "rows", "run", "schema", "scoring", "settings", "token_cache",
    },
    "model_card": {"errors", "parity", "report", "schema", "windows"},
    "classify_files": {"classify", "errors", "inputs", "journal", "progress", "settings", "workers"},
    "inputs": {"errors", "rows"},
    "journal": {"errors", "files"},
    "columns": {"classify", "rows"},
    "reference": {"errors", "files"},
    "ray": {"classify", "columns", "errors"},
    "workers": {"classify", "errors", "inputs", "session"},
    "serve": {"bundle", "classify", "errors", "files", "reference", "schema", "settings"},
    "bench": {
        "amounts", "batches", "data", "errors", "improve", "metrics", "model", "pretrained", "probe", "processes",
        "reading", "run", "schema", "scoring", "settings", "tfidf", "token_cache", "train", "windows",
    },
    "bench_classify": {
        "classify", "errors", "inputs", "model", "reading", "run", "schema", "settings", "windows", "bundle",
    },
    "export": {
        "bundle", "classify", "dataset_folders", "decision_rule", "errors", "evaluate", "files", "golden", "graph",
        "metrics", "model", "model_card", "parity", "quantize", "reading", "reference", "run", "schema", "scoring",
        "settings", "stock", "tracking", "verify", "windows",
    },
    "frozen": {"batches", "errors", "model", "packed", "processes", "progress", "windows"},
    "lora": {"errors", "model", "settings"},
    "losses": {"errors", "schema", "settings"},
    "averages": set(),
    "gradients": {"batches", "errors", "packed", "scoring", "training_log"},
    "optimizer": {"amounts", "checkpoint", "errors", "model", "settings"},
    "dropout": set(),
    "auto": {
        "errors", "evaluate", "files", "fitting", "frozen", "loop", "model", "processes", "run", "schema", "scoring",
        "settings",
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
