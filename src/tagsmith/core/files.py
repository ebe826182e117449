"""Files and folders that are written whole or not at all; JSON; checksums; files inside installed packages."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from glob import has_magic, iglob
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO, TypeVar

from tagsmith.core.errors import DataError, InputMissing

Parsed = TypeVar("Parsed")

MALFORMED = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading and parsing a damaged JSON file may raise."""


def cache_folder() -> Path:
    """The folder of the cache by default, in which `~` is the home folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "tagsmith"


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk, so that no power cut leaves a name without its content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path for a file that is renamed to `path` when the block succeeds, and removed when it fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """Write a text file, whole or not at all.

    A lone surrogate, which UTF-8 cannot encode, is written as its escape.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
        yield file


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON, whole or not at all."""
    with whole_file(path) as file:
        file.write(json_text(content))


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """Write JSON Lines, whole or not at all."""
    with whole_file(path) as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def json_text(content: Any) -> str:
    """Indented JSON with a line end, as `write_json` writes it."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_json(path: Path, parse: Callable[[Any], Parsed], expected: str, remedy: str) -> Parsed:
    """What `parse` returns for the content of a JSON file in UTF-8, UTF-16 or UTF-32.

    Args:
        parse: raises any of `MALFORMED`, or a DataError, where the content is not as `expected`.
        remedy: what the user can do about a damaged file, as an imperative.

    Raises:
        DataError: the file cannot be read, is not JSON, or `parse` has refused its content.
    """
    try:
        return parse(json.loads(path.read_bytes()))
    except (DataError, *MALFORMED) as error:
        raise DataError(f"{path}: expected {expected}, found {error!r}; {remedy}.") from error


def read_json_lines(path: Path, remedy: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file that Tagsmith has written.

    Raises:
        DataError: the file cannot be read, or a line is not a JSON object.
    """
    where = str(path)
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                where = f"{path}:{number}"
                yield json_object(json.loads(line))
    except MALFORMED as error:
        raise DataError(f"{where}: expected a JSON object, found {error!r}; {remedy}.") from error


def json_object(content: Any) -> dict[str, Any]:
    """The content itself. Raises: TypeError where it is not a JSON object."""
    if not isinstance(content, dict):
        raise TypeError(f"a JSON {type(content).__name__}, not an object")
    return content


def json_array(content: Any) -> list[Any]:
    """The content itself. Raises: TypeError where it is not a JSON array."""
    if not isinstance(content, list):
        raise TypeError(f"a JSON {type(content).__name__}, not an array")
    return content


def replace_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder, then rename it to `path`; only then is the old folder removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        write(temporary)
        for written in temporary.rglob("*"):
            sync(written)
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        sync(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def digest(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_package(place: str) -> Path | None:
    """The path of `NAME/sub/folder` in the package NAME, which is not imported; None where it is not installed."""
    name, _, rest = place.partition("/")
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)), rest)


HUB = "hub:"
"""Begins the name of a data set on the hub."""


def locate(path: str, what: str) -> Path:
    """The path that `path` names; `package:NAME/sub/folder` is a folder of an installed package, which is not imported.

    Raises:
        InputMissing: the file, folder or package does not exist.
    """
    if path.startswith("package:"):
        place = path.removeprefix("package:")
        if (found := in_package(place)) is None:
            name = place.partition("/")[0]
            raise InputMissing(f"{what}: the package {name} is not installed; `make install` installs it.")
        located = found
    else:
        located = Path(path)
    try:
        located = located.expanduser()
        there = bool(path) and located.exists()
    except (OSError, RuntimeError):
        there = False
    if not there:
        raise InputMissing(f"{what}: {located} does not exist (looked for it from {Path.cwd()}).")
    return located


def missing(name: str, what: str) -> str:
    """That what a setting names does not exist; "" where it does, or is standard input (`-`) or a data set on the hub.

    Args:
        name: a file, a folder, `package:NAME/file`, `hub:NAME`, or a pattern such as `inbox/*.csv`.
        what: the name of the setting.
    """
    if name == "-" or name.startswith(HUB):
        return ""
    if has_magic(name) and not Path(name).exists():
        found = any(True for _ in iglob(str(Path(name).expanduser()), recursive=True))  # noqa: PTH207  (absolute ones too)
        return "" if found else f"{what}: no file matches {name} (looked for it from {Path.cwd()})."
    try:
        locate(name, what)
    except InputMissing as error:
        return str(error)
    return ""


def shipped_folder(name: str) -> Path:
    """`configs` or `scripts`: a folder of the checkout, or its copy in a package that was installed from a wheel."""
    package = Path(__file__).resolve().parents[1]
    packed = package / name
    return packed if packed.is_dir() else package.parents[1] / name


def remove_leftovers(path: Path) -> None:
    """Remove temporary files and folders that a killed process has left in and next to the folder `path`.

    The caller holds the lock of the folder, so that no other process is writing there.
    """
    of_folder = re.compile(rf"\.{re.escape(path.name)}\.\d+\.(tmp|old)")
    of_files = re.compile(r"\..+\.\d+\.tmp")
    leftovers = [found for found in path.parent.iterdir() if of_folder.fullmatch(found.name)]
    leftovers += [found for found in path.rglob("*") if of_files.fullmatch(found.name)]
    for found in leftovers:
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink()
