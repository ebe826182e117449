"""Tokens kept on disk, as memory-mapped Arrow files under a name that follows from all that they depend on.

An entry is a folder: `ids.arrow`, `windows.arrow` and `documents.arrow`, each one record batch, so that a column
becomes an array without a copy, and `entry.json` with their SHA-256. It takes its name when all of it is written.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tokenizers
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tagsmith.config.settings import CacheSettings
from tagsmith.core.files import digest, write_json
from tagsmith.core.progress import meter
from tagsmith.tokens import windows
from tagsmith.tokens.windows import EncodedDocuments, Tokens, WindowRule, encode_chunks, joined, without_limits

log = logging.getLogger("tagsmith")

CODE = hashlib.sha256(b"".join(Path(str(file)).read_bytes() for file in (windows.__file__, __file__))).hexdigest()
"""Of the code that makes tokens and that stores them, as this process has loaded it: changed code, other entries."""

FILES = {
    "ids.arrow": ("ids",),
    "windows.arrow": ("window_lengths",),
    "documents.arrow": ("windows", "tokens", "unread"),
}
"""The files of an entry and their columns, fields of `Tokens`."""

ENTRY, UNFINISHED = re.compile("[0-9a-f]{64}"), re.compile(r"\.[0-9a-f]{64}\..+")
"""Names of folders: of an entry, and of one that is being written or removed."""

TEXTS_AT_ONCE = 1000

A_DAY = 24 * 60 * 60.0
"""Seconds after which a folder that nobody finished is taken for one that nobody will."""


def encode_cached(
    settings: CacheSettings, what: str, texts: Sequence[str], tokenizer: Tokenizer, rule: WindowRule, pad_id: int
) -> EncodedDocuments:
    """As `windows.encode`, but from the cache where it holds these documents, and into it where it does not.

    Args:
        what: whose tokens these are, for the progress.
        texts: a column of a data set, or a list; read in parts.
    """
    without_limits(tokenizer)

    def chunks() -> Iterator[Tokens]:
        with meter(f"tokenising {what}", len(texts), "documents") as progress:
            for chunk in encode_chunks(tokenizer, texts, rule, TEXTS_AT_ONCE):
                yield chunk
                progress.advance(len(chunk.windows))

    if settings.folder is None:
        return EncodedDocuments(pad_id, joined(chunks()))
    entry = Path(settings.folder).expanduser() / key_of(texts, tokenizer, rule, pad_id)
    content = _read(entry)
    if content is None:
        problem: object = "it went as soon as it was written"
        try:
            _write(entry, chunks())
            _remove_old(entry, settings.max_gib)
        except OSError as error:
            problem = error
        # Where another process was faster, its entry stands in the way of this one, and is as good.
        content = _read(entry)
        if content is None:
            log.warning(f"cache.folder={settings.folder}: cannot be used: {problem}; tokens are kept in memory.")
            content = joined(chunks())
    return EncodedDocuments(pad_id, content)


def key_of(texts: Sequence[str], tokenizer: Tokenizer, rule: WindowRule, pad_id: int) -> str:
    """SHA-256, as hex, of all that the tokens depend on."""
    about = [CODE, tokenizers.__version__, tokenizer.to_str(), rule.as_dict(), pad_id, len(texts)]
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        raw = [text.encode() for text in texts[start : start + TEXTS_AT_ONCE]]
        # The lengths say where one text ends: ["ab", "c"] is not ["a", "bc"].
        total.update(np.asarray([len(text) for text in raw], dtype="<i8").tobytes())
        total.update(b"".join(raw))
    return total.hexdigest()


def _read(entry: Path) -> Tokens | None:
    """The entry as memory maps; None where there is none, or where it is damaged (it is then removed, if it can be)."""
    try:
        expected = json.loads((entry / "entry.json").read_text(encoding="utf-8"))
        found = {name: digest(entry / name) for name in FILES}
        if found != expected:
            raise ValueError("a file is not as it was written")
        with suppress(PermissionError):  # Another person's cache may be read.
            os.utime(entry / "entry.json")  # The time of its last use.
        columns: dict[str, Any] = {}
        for name in FILES:
            batch = pa.ipc.open_file(pa.memory_map(str(entry / name))).get_batch(0)
            columns |= {column: batch.column(column).to_numpy() for column in batch.schema.names}
        return Tokens(**columns)
    except (OSError, ValueError) as error:
        if entry.is_dir():
            log.warning(f"{entry}: damaged ({error}); its tokens are made anew.")
            with suppress(OSError):
                _remove(entry)
        return None


def _write(entry: Path, chunks: Iterable[Tokens]) -> None:
    """Write an entry, in memory that does not grow with its ids, and let it take its name.

    Raises:
        OSError: the folder cannot be written, or there is such an entry.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: processes on two machines with one folder may have the same process id.
    beside = entry.with_name(f".{entry.name}.{uuid.uuid4().hex}")
    beside.mkdir()
    try:
        raw = beside / "ids.raw"
        with raw.open("wb") as file:
            content = joined(_spilled(chunks, file))
        size = raw.stat().st_size
        ids = np.memmap(raw, dtype=np.int32, mode="r") if size else np.zeros(0, dtype=np.int32)
        columns = {**vars(content), "ids": ids}
        for name, fields in FILES.items():
            _write_arrow(beside / name, {field: columns[field] for field in fields})
        raw.unlink()
        write_json(beside / "entry.json", {name: digest(beside / name) for name in FILES})
        beside.rename(entry)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _spilled(chunks: Iterable[Tokens], file: Any) -> Iterator[Tokens]:
    """The chunks without their ids, which go to the file."""
    for chunk in chunks:
        file.write(chunk.ids.tobytes())
        yield Tokens(chunk.ids[:0], chunk.window_lengths, chunk.windows, chunk.tokens, chunk.unread)


def _write_arrow(path: Path, columns: dict[str, NDArray[Any]]) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(values) for values in columns.values()], list(columns))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _remove(folder: Path) -> None:
    """Remove a folder so that nobody sees half of it; whoever has mapped its files keeps them."""
    try:
        gone = folder.rename(folder.with_name(f".{folder.name}.{uuid.uuid4().hex}"))
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def _remove_old(kept: Path, max_gib: float) -> None:
    """Remove the entries that were used longest ago until all are within the bound; `kept` stays whatever its size."""
    entries: list[tuple[float, Path, int]] = []
    for folder in kept.parent.iterdir():
        # The folder may be shared with other things: whatever has another kind of name is not touched.
        if ENTRY.fullmatch(folder.name):
            size = sum(file.stat().st_size for file in folder.iterdir())
            entries.append(((folder / "entry.json").stat().st_mtime, folder, size))
        elif UNFINISHED.fullmatch(folder.name) and time.time() - folder.stat().st_mtime > A_DAY:
            shutil.rmtree(folder, ignore_errors=True)
    total = sum(size for _, _, size in entries)
    for _, folder, size in sorted(entries):
        if total <= max_gib * 2**30:
            break
        if folder != kept:
            _remove(folder)
            total -= size
