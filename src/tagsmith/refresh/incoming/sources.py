"""The files that the data settings name, by their content: a timer that finds them unchanged need not read them."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from enum import Enum
from glob import has_magic, iglob
from pathlib import Path
from typing import Any

import tagsmith
from tagsmith.config.settings import HubSettings, RefreshRun
from tagsmith.config.settings.fields import names, walk
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.files import digest, json_object, locate, read_json, write_json
from tagsmith.core.text_files import visible_files
from tagsmith.refresh.store import Store, Version

FORMAT = 1

Digests = dict[str, str]
"""From a file to its SHA-256."""


def unchanged_files(settings: RefreshRun, store: Store) -> bool:
    """Whether the files hold what the newest version was made from, or what a later look found too little new in.

    Reads the bytes of the files alone. A data set of the hub, or standard input, is never known to be unchanged.
    """
    if (newest := store.newest()) is None or (now := digests(settings)) is None:
        return False
    return any(path.is_file() and _holds(path, settings, newest, now) for path in (store.sources, newest.sources))


def _holds(path: Path, settings: RefreshRun, newest: Version, now: Digests) -> bool:
    try:
        found = read_json(path, json_object, "the digests of files", "remove it")
        files, changes = dict(found["files"]), int(found["changes"])
        if (found["format"], found["settings"], found["version"]) != (FORMAT, key(settings), newest.name):
            return False
    except (DataError, KeyError, TypeError, ValueError):
        return False  # A look at the documents writes it anew.
    if changes >= settings.min_new or not now.items() <= files.items():
        return False
    # Files that are not named themselves, such as the texts beside a labels file.
    return all(Path(name).is_file() and digest(Path(name)) == files[name] for name in files.keys() - now.keys())


def write_sources(path: Path, settings: RefreshRun, version: Version, files: Digests, changes: int) -> None:
    """Write the digests for `unchanged_files`.

    Args:
        version: the newest one, to which the documents in these files were compared, or which was made from them.
        changes: how many documents are new, changed or withdrawn against it.
    """
    content = {"format": FORMAT, "settings": key(settings), "version": version.name, "changes": changes, "files": files}
    write_json(path, content)


def digests(settings: RefreshRun) -> Digests | None:
    """The SHA-256 of every file that the data settings name, all visible files of a folder included.

    Returns:
        None where they name something other than files.

    Raises:
        InputMissing: a file does not exist, or cannot be read.
    """
    if isinstance(settings.data, HubSettings) and settings.data.name is not None:
        return None
    found: Digests = {}
    for name, item, value in walk(settings.data):
        if item.metadata.get("reads") and value is not None:
            for one in names(value):
                if one == "-":
                    return None
                found |= of_files(_files(one, f"data.{name}"))
    return found


def of_files(paths: Iterable[Path]) -> Digests:
    """The SHA-256 of each of these files. Raises: InputMissing where one cannot be read."""
    found = {}
    for path in paths:
        try:
            found[str(path)] = digest(path)
        except OSError as error:
            raise InputMissing(f"{path}: cannot be read: {error.strerror}.") from error
    return found


def _files(name: str, what: str) -> Iterator[Path]:
    if has_magic(name) and not Path(name).exists():
        places = [Path(one) for one in sorted(iglob(str(Path(name).expanduser()), recursive=True))]  # noqa: PTH207  (absolute patterns too)
    else:
        places = [locate(name, what)]
    for place in places:
        if place.is_dir():
            yield from visible_files(place)
        else:
            yield place


def key(settings: RefreshRun) -> str:
    """What identifies the settings that decide which documents are read, and the program that reads them."""
    plain: dict[str, Any] = {
        name: value.value if isinstance(value, Enum) else value for name, _, value in walk(settings.data)
    }
    plain |= {"kind": type(settings.data).__name__, "task": settings.task and settings.task.value}
    return hashlib.sha256(json.dumps([tagsmith.__version__, plain], sort_keys=True).encode()).hexdigest()
