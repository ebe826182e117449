"""Arrays cached on disk, memory-mapped, under a name derived from all that they depend on.

An entry is a folder: a file per array, and `entry.json` with their SHA-256. It is renamed to its name once all of it is
written.
"""

import json
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.config.settings import CacheSettings
from tagsmith.core.files import digest, write_json

log = logging.getLogger("tagsmith")

Arrays = Mapping[str, NDArray[Any]]

ENTRY, UNFINISHED = re.compile("[0-9a-f]{64}"), re.compile(r"\.[0-9a-f]{64}\..+")
"""Names of folders: an entry, and one that is being written or removed."""

ABANDONED = 24 * 60 * 60.0
"""Seconds after which an unfinished folder is removed."""


def cached_arrays(
    settings: CacheSettings, key: str, dtypes: Mapping[str, type], chunks: Callable[[], Iterable[Arrays]]
) -> Arrays:
    """The arrays of an entry by name; those of `chunks()`, joined, if the cache does not hold them or cannot be used.

    Args:
        key: SHA-256, in hex, of all that the arrays depend on.
        dtypes: of the arrays, each of one dimension.
    """
    if settings.folder is None:
        return _joined(dtypes, chunks())
    entry = Path(settings.folder).expanduser() / key
    content = _read(entry, dtypes)
    if content is None:
        problem: object = "another process removed the entry"
        try:
            _write(entry, dtypes, chunks())
            _remove_old(entry, settings.max_gib)
        except OSError as error:
            problem = error
        # If another process wrote the entry first, the rename failed, and that entry is used.
        content = _read(entry, dtypes)
        if content is None:
            log.warning(
                f"cache.folder={settings.folder}: the cache cannot be used ({problem}); its content is kept in memory."
            )
            content = _joined(dtypes, chunks())
    return content


def read_cached(settings: CacheSettings, key: str, dtypes: Mapping[str, type]) -> Arrays | None:
    """The arrays of an entry, as of `cached_arrays`; None if the cache does not hold them."""
    return None if settings.folder is None else _read(Path(settings.folder).expanduser() / key, dtypes)


def _joined(dtypes: Mapping[str, type], chunks: Iterable[Arrays]) -> Arrays:
    parts = list(chunks)
    return {
        name: np.concatenate([np.zeros(0, dtype), *(part[name] for part in parts)]).astype(dtype, copy=False)
        for name, dtype in dtypes.items()
    }


def _read(entry: Path, dtypes: Mapping[str, type]) -> Arrays | None:
    """The entry as memory maps; None where it does not exist or is damaged (it is then removed, if possible)."""
    try:
        expected = json.loads((entry / "entry.json").read_text(encoding="utf-8"))
        if {name: digest(entry / name) for name in dtypes} != expected:
            raise ValueError("a file has changed")
        with suppress(PermissionError):  # The cache of another user is readable.
            os.utime(entry / "entry.json")  # The time of the last use.
        return {name: _mapped(entry / name, dtype) for name, dtype in dtypes.items()}
    except (OSError, ValueError) as error:
        if entry.is_dir():
            log.warning(f"{entry}: damaged ({error}); its content is computed again.")
            with suppress(OSError):
                _remove(entry)
        return None


def _mapped(path: Path, dtype: type) -> NDArray[Any]:
    if not path.stat().st_size:
        return np.zeros(0, dtype)  # An empty file cannot be mapped.
    return np.asarray(np.memmap(path, dtype, mode="r"))


def _write(entry: Path, dtypes: Mapping[str, type], chunks: Iterable[Arrays]) -> None:
    """Write an entry, with one chunk in memory, and rename it to its name.

    Raises:
        OSError: the folder cannot be written, or the entry exists.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _unfinished_name(entry)
    unfinished.mkdir()
    try:
        with ExitStack() as stack:
            files = {name: stack.enter_context((unfinished / name).open("wb")) for name in dtypes}
            for chunk in chunks:
                for name, file in files.items():
                    file.write(chunk[name].tobytes())
        write_json(unfinished / "entry.json", {name: digest(unfinished / name) for name in dtypes})
        unfinished.rename(entry)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _unfinished_name(entry: Path) -> Path:
    # Not the process id, which two machines that share the folder may have in common.
    return entry.with_name(f".{entry.name}.{uuid.uuid4().hex}")


def _remove(folder: Path) -> None:
    """Remove a folder atomically; processes that have mapped its files keep them."""
    try:
        renamed = folder.rename(_unfinished_name(folder))
    except FileNotFoundError:
        return
    shutil.rmtree(renamed, ignore_errors=True)


def _remove_old(kept: Path, max_gib: float) -> None:
    """Remove the least recently used entries until all fit the bound; `kept` stays, whatever its size."""
    entries: list[tuple[float, Path, int]] = []
    for folder in kept.parent.iterdir():
        # The folder may hold other things; folders with other names are not touched.
        if ENTRY.fullmatch(folder.name):
            size = sum(file.stat().st_size for file in folder.iterdir())
            entries.append(((folder / "entry.json").stat().st_mtime, folder, size))
        elif UNFINISHED.fullmatch(folder.name) and time.time() - folder.stat().st_mtime > ABANDONED:
            shutil.rmtree(folder, ignore_errors=True)
    total = sum(size for _, _, size in entries)
    for _, folder, size in sorted(entries):
        if total <= max_gib * 2**30:
            break
        if folder != kept:
            _remove(folder)
            total -= size
