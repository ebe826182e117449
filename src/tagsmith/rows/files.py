"""Which files a setting names, and their bytes: lists, folders, patterns, packages, archives, standard input."""

import atexit
import bz2
import gzip
import io
import lzma
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from glob import has_magic, iglob
from pathlib import Path
from typing import IO, Any, TextIO

from tagsmith.core.errors import DataError, InputMissing, SettingsError, counted
from tagsmith.core.files import locate
from tagsmith.core.schema import natural_order
from tagsmith.core.text_files import is_hidden, kinds_of, visible_files

STANDARD_INPUT = "standard input"
"""What messages call it; settings call it `-`."""


@dataclass(frozen=True)
class StandardInput:
    """Standard input, copied to a file, since formats are detected before the rows are read."""

    copy: Path
    name: str = "stdin"

    def __str__(self) -> str:
        return STANDARD_INPUT

    def open(self, mode: str = "rb") -> IO[bytes]:
        return self.copy.open(mode)


File = Path | zipfile.Path | StandardInput
"""A file on disk, a member of a zip archive, or standard input."""

FORMATS = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".tab": "TSV",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".json": "JSON",
    ".parquet": "Parquet",
    ".arrow": "Arrow",
    ".feather": "Arrow",
    ".xlsx": "Excel",
    ".xls": "Excel",
    ".ods": "OpenDocument",
}
"""Suffixes of the files that hold rows."""

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of compressed files."""

PACKED = {".gz", ".bz2", ".xz", ".zst", ".zip"}


def files_of(named: str | Sequence[str], what: str) -> tuple[list[File], list[str]]:
    """The files with rows that a setting names, and notes for the user.

    A name is a file, a folder, a pattern such as `inbox/*.csv`, `package:NAME/file`, or `-` for standard input.

    Raises:
        InputMissing: a file does not exist, or a pattern matches none.
        DataError: a folder or archive has no file of rows.
    """
    files: list[File] = []
    notes: list[str] = []
    for name in [named] if isinstance(named, str) else named:
        if name == "-":
            files.append(_copied(sys.stdin))
        elif has_magic(name) and not Path(name).exists():
            paths = natural_order(iglob(str(Path(name).expanduser()), recursive=True))  # noqa: PTH207  (absolute patterns too)
            if not paths:
                raise InputMissing(f"{what}: no file matches {name} (looked for it from {Path.cwd()}).")
            files += [file for path in paths for file in _members(Path(path))]
        elif (place := locate(name, what)).is_dir():
            found, note = _in_folder(place, what)
            files += found
            notes += note
        else:
            files += _members(place)
    return list(dict.fromkeys(files)), notes


def _in_folder(folder: Path, what: str) -> tuple[list[File], list[str]]:
    """The files of rows in a folder and below; hidden ones are left out, files of other kinds are counted."""
    inside = visible_files(folder)
    rows = {path.relative_to(folder).as_posix(): path for path in inside if kind_of(path.name)}
    if not rows:
        raise DataError(
            f"{what}: {folder}: expected files such as .csv, .jsonl, .parquet or .xlsx, "
            f"found {kinds_of(inside) if inside else 'no files'}."
        )
    others = [path for path in inside if not kind_of(path.name)]
    notes = [f"{folder}: left out {counted(len(others), 'file')} of other kinds: {kinds_of(others)}."] if others else []
    return [file for name in natural_order(rows) for file in _members(rows[name])], notes


def kind_of(name: str) -> str | None:
    """The format that a name stands for, without the suffix of a compression; None for any other name."""
    path = Path(name.lower())
    if path.suffix in PACKED:
        return FORMATS.get(path.with_suffix("").suffix) or ("zip" if path.suffix == ".zip" else None)
    return FORMATS.get(path.suffix)


def _members(path: Path) -> list[File]:
    """The file itself, or the files of rows in a zip archive that is no spreadsheet."""
    if kind_of(path.name) in ("Excel", "OpenDocument") or not zipfile.is_zipfile(path):
        return [path]
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if kind_of(name) and not any(map(is_hidden, Path(name).parts))]
        if "xl/workbook.xml" in archive.namelist() or "content.xml" in archive.namelist():
            return [path]
    if not names:
        raise DataError(f"{path}: expected a file with rows in the archive ({', '.join(FORMATS)}), found none.")
    return [zipfile.Path(path, name) for name in natural_order(names)]


@lru_cache(maxsize=1)
def _copied(stream: TextIO) -> StandardInput:
    """Standard input, which can be read only once, for all who ask for it."""
    folder = tempfile.TemporaryDirectory(prefix="tagsmith-")
    atexit.register(folder.cleanup)
    path = Path(folder.name, "stdin")
    with path.open("wb") as file:
        shutil.copyfileobj(stream.buffer, file)
    return StandardInput(path)


def open_bytes(file: File) -> IO[bytes]:
    """The bytes of a file, decompressed.

    Raises:
        SettingsError: the file is compressed by zstd, and pyarrow is not installed.
    """
    raw: Any = file.open("rb")
    first = raw.read(6)
    raw.seek(0)
    compression = next((name for magic, name in COMPRESSIONS.items() if first.startswith(magic)), None)
    if compression == "gzip":
        return io.BufferedReader(gzip.GzipFile(fileobj=raw))
    if compression == "bzip2":
        return io.BufferedReader(bz2.BZ2File(raw))
    if compression == "xz":
        return io.BufferedReader(lzma.LZMAFile(raw))
    if compression == "zstd":
        try:
            import pyarrow as pa
        except ImportError as error:
            raise SettingsError(f"{file}: zstd needs pyarrow: pip install 'tagsmith[parquet]'.") from error
        return io.BufferedReader(pa.CompressedInputStream(raw, "zstd"))
    return raw  # type: ignore[no-any-return]
