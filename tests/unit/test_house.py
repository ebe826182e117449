"""The map of the house: who imports whom, read from the imports and compared with the README of the package."""

import ast
import functools
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "tagsmith"

TOOLS = {"core", "config", "rows", "decision", "tokens"}
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "config": {"core"},
    "rows": {"core"},
    "decision": {"core"},
    "tokens": {"core", "config"},
    "data": {"core", "config", "rows"},
    "model": {*TOOLS, "data"},
    "classify": TOOLS,
    "serve": {"core", "config", "decision", "tokens", "classify"},
    "evaluate": {*TOOLS, "data", "model"},
    "train": {*TOOLS, "data", "model", "evaluate", "classify"},
    "improve": {*TOOLS, "data", "model", "evaluate", "classify"},
    "export": {*TOOLS, "data", "model", "evaluate", "classify"},
    "azure": {*TOOLS, "data", "model", "evaluate"},
    "refresh": {*TOOLS, "data", "model", "evaluate", "classify", "train", "improve", "export"},
    "tag": {*TOOLS, "data", "model", "evaluate", "classify", "improve"},
    "bench": {*TOOLS, "data", "model", "evaluate", "classify", "train", "improve", "export", "refresh", "tag"},
}
"""What each room may import from the package."""

LIGHT = {"numpy", "onnxruntime", "tokenizers"}
"""What a downstream service installs."""

OPTIONAL = {"model_signing", "pyarrow", "chardet", "python_calamine", "openvino"}
"""What the extra `sign` adds, and what reads files of some formats; imported inside a function."""

PUBLISHED = {"__init__.py", "__main__.py", "bundle.py", "ray.py"}
"""Names that users import; they stand above all rooms."""

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Full names of the modules that a file imports, in functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from tagsmith.classify.bundle import golden` imports a module, not a name of one.
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} if not inner & MODULES.keys() else inner & MODULES.keys()
    return frozenset(found)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def test_the_rooms_are_those_of_the_table() -> None:
    assert {room(path) for path in FILES} == set(MAY_IMPORT)
    assert len(MAY_IMPORT) <= 17
    assert {path.name for path in PACKAGE.glob("*.py")} == PUBLISHED


def levels() -> list[set[str]]:
    """The rooms by level: those of a level import rooms of lower ones."""
    sorter = TopologicalSorter(MAY_IMPORT)
    sorter.prepare()
    found: list[set[str]] = []
    while sorter.is_active():
        found.append(set(sorter.get_ready()))
        sorter.done(*found[-1])
    return found


def test_there_are_eight_levels_at_most_and_no_cycle() -> None:
    assert len(levels()) <= 8


def test_the_picture_in_the_readme_shows_the_levels() -> None:
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    assert [set(rooms.split()) for rooms in re.findall(r"^\d +(\w.*)$", text, flags=re.MULTILINE)] == levels()


def test_the_map_in_the_readme_is_the_table() -> None:
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`(\w+)/`\]\((\w+)/README\.md\) \|.*\| ([^|]*) \|$", text, flags=re.MULTILINE)
    assert {name: set(re.findall(r"\w+", may)) for name, link, may in rows if name == link} == MAY_IMPORT


@pytest.mark.parametrize("name", sorted(MAY_IMPORT))
def test_the_readme_of_a_room_names_its_files(name: str) -> None:
    text = (PACKAGE / name / "README.md").read_text(encoding="utf-8")
    table = text.split("| file |")[1].split("\n\n")[0]
    listed = set(re.findall(r"^\| `([\w/]+\.py)` \|", table, flags=re.MULTILINE))
    there = {path.relative_to(PACKAGE / name) for path in FILES if room(path) == name and path.name != "__init__.py"}
    assert listed == {path.as_posix() for path in there}


def test_a_room_imports_what_the_table_says() -> None:
    for path in FILES:
        used = {name.split(".")[1] for name in imports(path) if name.startswith("tagsmith.")}
        assert used - {room(path)} <= MAY_IMPORT[room(path)], path
        known = {name.split(".")[0] for name in imports(path)} & {"hydra", "omegaconf"}
        assert not known or room(path) == "config", path


def test_inference_needs_three_packages() -> None:
    names = {name for name in MODULES if name.startswith(("tagsmith.classify.bundle", "tagsmith.classify.c"))}
    names |= {"tagsmith", "tagsmith.bundle", "tagsmith.classify.verify"}
    reached: set[str] = set()
    while names:
        name = names.pop()
        reached.add(name)
        used = imports(MODULES[name])
        at_once = {
            str(node.module).split(".")[0]
            for node in ast.parse(MODULES[name].read_text(encoding="utf-8")).body
            if isinstance(node, ast.ImportFrom)
        }
        outside = {module.split(".")[0] for module in used} - {"tagsmith", *sys.stdlib_module_names}
        assert outside <= LIGHT | OPTIONAL, name
        assert not at_once & OPTIONAL, name
        parents = {used_name.rpartition(".")[0] for used_name in used & MODULES.keys()}
        names |= ((used | parents) & MODULES.keys()) - reached
    assert "tagsmith.decision.rule" in reached
    assert "tagsmith.tokens.windows" in reached


def test_a_module_can_be_seen_across() -> None:
    assert [path for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 300] == []
