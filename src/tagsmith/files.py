"""Files and folders of which a reader never sees half: written under another name, then renamed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """Write a text file that takes its name when the block ends well, and leaves nothing behind when it does not.

    Half of a surrogate pair, which no UTF-8 can hold, is written as its escape.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON, whole or not at all."""
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def replace_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder that then takes the name `path`; what had that name goes only then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        write(beside)
        if path.exists():
            path.rename(old)
        beside.rename(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
