"""The map of the house in the README holds: who imports whom, read from the imports."""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "tagsmith"

WITHOUT_TORCH = {
    "cores", "errors", "schema", "rows", "files", "tokens.windows", "tokens.batches", "tokens.truncation",
    "decision.rule", "decision.scope", "bundle.contents", "bundle.golden", "bundle.reference", "bundle.signature",
    "classify.classifier", "classify.session", "classify.columns",
    "classify.prediction", "classify.verify",
}  # fmt: skip
"""Modules that downstream services load: numpy, onnxruntime and tokenizers, and nothing else."""

LIGHT = {"numpy", "onnxruntime", "tokenizers"}

WHERE_ASKED = {"bundle.signature": {"model_signing"}}
"""What a module imports in a function, of an extra: it loads without."""

MAY_IMPORT = {
    "bootstrap": set(),
    "errors": set(),
    "cores": set(),
    "files": set(),
    "interruption": set(),
    "metrics": set(),
    "classification_figures": {"metrics"},
    "probe": set(),
    "progress": set(),
    "sharding": set(),
    "stderr_log": set(),
    "tfidf": set(),
    "guidance": {"errors"},
    "rows": {"errors"},
    "run": {"errors"},
    "sweep": {"errors", "files", "run"},
    "schema": {"errors", "rows"},
    "schema_changes": {"errors"},
    "decision": {"errors", "metrics", "schema"},
    "report": {"errors", "files", "run", "schema"},
    "settings": {"schema"},
    "misspelt": set(),
    "stdout": set(),
    "config": {"errors", "interruption", "misspelt", "settings", "stderr_log", "stdout", "sweep"},
    "data": {"errors", "files", "rows", "schema", "schema_changes", "settings"},
    "processes": {"cores", "errors", "settings"},
    "tokens": {"errors", "files", "progress", "settings"},
    "tracking": {"errors", "files", "report", "run", "settings"},
    "bundle": {"decision", "errors", "files", "schema", "tokens"},
    "model": {"errors", "files", "settings", "sharding", "tokens"},
    "classify": {"bundle", "cores", "decision", "errors", "files", "rows", "schema", "tokens"},
    "scoring": {"errors", "metrics", "model", "processes", "progress", "schema", "settings", "tokens"},
    "amounts": {"scoring", "settings"},
    "classify_files": {"classify", "cores", "errors", "files", "interruption", "progress", "rows", "settings"},
    "ray": {"classify", "errors"},
    "serve": {"bundle", "classify", "errors", "files", "schema", "settings", "tokens"},
    "bench_classify": {
        "bundle", "classify", "classify_files", "errors", "model", "run", "schema", "settings", "tokens",
    },
    "pretrained": {
        "amounts", "data", "errors", "files", "metrics", "model", "probe", "progress", "run", "schema", "scoring",
        "settings", "tokens",
    },
    "analysis": {
        "amounts", "bootstrap", "data", "decision", "errors", "files", "guidance", "metrics", "model", "pretrained",
        "probe", "processes", "progress", "run", "schema", "scoring", "settings", "tfidf", "tokens",
    },
    "evaluate": {
        "analysis", "classification_figures", "data", "decision", "errors", "files", "metrics", "model", "processes",
        "run", "schema", "scoring", "settings", "tokens",
    },
    "export": {
        "bundle", "classify", "data", "decision", "errors", "evaluate", "files", "metrics", "model", "processes",
        "report", "run", "schema", "scoring", "settings", "tokens", "tracking",
    },
    "fitting": {
        "amounts", "data", "errors", "evaluate", "files", "interruption", "metrics", "model", "probe", "processes",
        "progress", "run", "schema", "schema_changes", "scoring", "settings", "sharding", "tokens", "tracking",
    },
    "annotation": {"errors", "files", "progress", "rows", "run", "schema", "settings"},
    "comparison": {
        "analysis", "bootstrap", "errors", "files", "guidance", "report", "run", "schema", "schema_changes", "settings",
    },
    "improve": {
        "amounts", "bootstrap", "classify_files", "data", "decision", "errors", "evaluate", "files", "metrics", "model",
        "pretrained", "probe", "processes", "progress", "rows", "run", "schema", "scoring", "settings", "tokens",
    },
    "calibrate": {
        "amounts", "data", "decision", "errors", "files", "fitting", "metrics", "model", "pretrained", "probe",
        "processes", "progress", "run", "schema", "scoring", "settings", "tokens",
    },
    "train": {
        "amounts", "calibrate", "data", "decision", "errors", "evaluate", "files", "fitting", "model", "pretrained",
        "processes", "run", "schema", "scoring", "settings", "sharding", "tokens", "tracking",
    },
    "bench": {
        "amounts", "analysis", "bootstrap", "data", "decision", "errors", "improve", "interruption", "metrics", "model",
        "pretrained", "probe", "processes", "run", "schema", "scoring", "settings", "tfidf", "tokens", "train",
    },
    "kills": {"errors", "run", "settings", "train"},
}  # fmt: skip
"""What each room may import from the package; a room stands below all that it imports."""


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = PACKAGE.parent.joinpath(*node.module.split("."))
            for (
                alias
            ) in node.names:  # `from tagsmith.classify.bundle import golden` imports a module, not a name of one.
                whole = node.module == "tagsmith" or inside.joinpath(f"{alias.name}.py").is_file()
                found.add(f"{node.module}.{alias.name}" if whole else node.module)
    return found


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


DOORS = {PACKAGE / "__init__.py", *PACKAGE.rglob("__main__.py")}
"""They stand above all rooms, whatever folder Python wants them in."""

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path not in DOORS)


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


def test_the_map_has_no_way_round() -> None:
    TopologicalSorter(MAY_IMPORT).prepare()


@pytest.mark.parametrize("name", sorted(WITHOUT_TORCH))
def test_inference_needs_three_packages(name: str) -> None:
    path = PACKAGE.joinpath(*name.split(".")).with_suffix(".py")
    used = {module.removeprefix("tagsmith.") for module in imports(path) if module.startswith("tagsmith.")}
    outside = {module.split(".")[0] for module in imports(path)} - {"tagsmith"}
    asked = WHERE_ASKED.get(name, set())
    assert outside - set(sys.stdlib_module_names) <= LIGHT | asked
    at_once = ast.parse(path.read_text(encoding="utf-8")).body
    first = {str(node.module).split(".")[0] for node in at_once if isinstance(node, ast.ImportFrom)}
    assert not first & asked
    assert used <= WITHOUT_TORCH


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_can_be_seen_across(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
