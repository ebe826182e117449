"""Text files of a folder that people filled: without the hidden files that systems leave there, and in any case."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def visible_files(folder: Path) -> list[Path]:
    """All files in and below a folder, sorted, without hidden files and folders (`._x.txt`, `.git`, `__MACOSX`)."""
    found: list[Path] = []
    for inside, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        found += [Path(inside, name) for name in names if not is_hidden(name)]
    return sorted(found)


def matching_files(folder: Path, pattern: str) -> list[Path]:
    """The visible files of a folder that match a pattern such as `*.txt`, in upper or lower case."""
    letters = re.compile(r"\[[^]]*\]|([a-zA-Z])")
    any_case = letters.sub(lambda found: f"[{found[1].lower()}{found[1].upper()}]" if found[1] else found[0], pattern)
    paths = [path for path in folder.glob(any_case) if path.is_file()]
    return [path for path in paths if not any(map(is_hidden, path.relative_to(folder).parts))]


def is_hidden(name: str) -> bool:
    """Whether systems hide a file or folder of this name, or write it beside the files of people."""
    return name.startswith((".", "__"))


def kinds_of(paths: Iterable[Path]) -> str:
    """How many files of which kind, the commonest first: `12 .md, 3 .docx, 1 without a suffix`."""
    kinds = Counter(path.suffix.lower() or "without a suffix" for path in paths)
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} {kind}" for kind, number in ordered)
