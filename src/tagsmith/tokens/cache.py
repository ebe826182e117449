"""Tokens cached on disk, as memory-mapped arrays under a name derived from all that they depend on.

An entry is a folder: a file per field of `Tokens`, and `entry.json` with their SHA-256. It is renamed to its name once
all of it is written. Why this is not `datasets.map`: README, Decisions and measurements.
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
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
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
"""Digest of the code that makes and stores tokens, as this process loaded it; part of the key."""

DTYPES = {"ids": np.int32, "window_lengths": np.int64, "windows": np.int64, "tokens": np.int64, "unread": np.int64}
"""The fields of `Tokens`; the file of a field has its name."""

ENTRY, UNFINISHED = re.compile("[0-9a-f]{64}"), re.compile(r"\.[0-9a-f]{64}\..+")
"""Names of folders: an entry, and one that is being written or removed."""

CHUNK = 1000
"""Texts that are tokenised in one call."""

ABANDONED = 24 * 60 * 60.0
"""Seconds after which an unfinished folder is removed."""


def encode_cached(
    settings: CacheSettings, what: str, texts: Sequence[str], tokenizer: Tokenizer, rule: WindowRule, pad_id: int
) -> EncodedDocuments:
    """As `windows.encode`, but read from the cache if it holds these documents, and written to it otherwise.

    Args:
        what: what the texts are, for the progress bar.
        texts: a column of a data set, or a list; read in chunks.
    """
    without_limits(tokenizer)

    def chunks() -> Iterator[Tokens]:
        with meter(f"tokenising {what}", len(texts), "documents") as progress:
            for chunk in encode_chunks(tokenizer, texts, rule, CHUNK):
                yield chunk
                progress.advance(len(chunk.windows))

    if settings.folder is None:
        return EncodedDocuments(pad_id, joined(chunks()))
    entry = Path(settings.folder).expanduser() / key_of(texts, tokenizer, rule, pad_id)
    content = _read(entry)
    if content is None:
        problem: object = "another process removed the entry"
        try:
            _write(entry, chunks())
            _remove_old(entry, settings.max_gib)
        except OSError as error:
            problem = error
        # If another process wrote the entry first, the rename failed, and that entry is used.
        content = _read(entry)
        if content is None:
            log.warning(
                f"cache.folder={settings.folder}: the cache cannot be used ({problem}); tokens are kept in memory."
            )
            content = joined(chunks())
    return EncodedDocuments(pad_id, content)


def key_of(texts: Sequence[str], tokenizer: Tokenizer, rule: WindowRule, pad_id: int) -> str:
    """SHA-256, in hex, of all that the tokens depend on."""
    about = [CODE, tokenizers.__version__, tokenizer.to_str(), rule.as_dict(), pad_id, len(texts)]
    total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for start in range(0, len(texts), CHUNK):
        raw = [text.encode() for text in texts[start : start + CHUNK]]
        # With the lengths, so that ["ab", "c"] differs from ["a", "bc"].
        total.update(np.asarray([len(text) for text in raw], dtype="<i8").tobytes())
        total.update(b"".join(raw))
    return total.hexdigest()


def _read(entry: Path) -> Tokens | None:
    """The entry as memory maps; None where it does not exist or is damaged (it is then removed, if possible)."""
    try:
        expected = json.loads((entry / "entry.json").read_text(encoding="utf-8"))
        if {name: digest(entry / name) for name in DTYPES} != expected:
            raise ValueError("a file has changed")
        with suppress(PermissionError):  # The cache of another user is readable.
            os.utime(entry / "entry.json")  # The time of the last use.
        return Tokens(**{name: _mapped(entry / name, dtype) for name, dtype in DTYPES.items()})
    except (OSError, ValueError) as error:
        if entry.is_dir():
            log.warning(f"{entry}: damaged ({error}); its documents are tokenised again.")
            with suppress(OSError):
                _remove(entry)
        return None


def _mapped(path: Path, dtype: type) -> NDArray[Any]:
    if not path.stat().st_size:
        return np.zeros(0, dtype)  # An empty file cannot be mapped.
    return np.asarray(np.memmap(path, dtype, mode="r"))


def _write(entry: Path, chunks: Iterable[Tokens]) -> None:
    """Write an entry, with one chunk in memory, and rename it to its name.

    Raises:
        OSError: the folder cannot be written, or the entry exists.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _unfinished_name(entry)
    unfinished.mkdir()
    try:
        with ExitStack() as stack:
            files = {name: stack.enter_context((unfinished / name).open("wb")) for name in DTYPES}
            for chunk in chunks:
                for name, file in files.items():
                    file.write(getattr(chunk, name).tobytes())
        write_json(unfinished / "entry.json", {name: digest(unfinished / name) for name in DTYPES})
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
