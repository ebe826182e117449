"""Tokens of documents, cached on disk.

Why this is not `datasets.map`: README, Decisions and measurements.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import Tokenizer

from tagsmith.config.settings import CacheSettings
from tagsmith.core.progress import meter
from tagsmith.tokens import array_cache, windows
from tagsmith.tokens.array_cache import Arrays, cached_arrays
from tagsmith.tokens.windows import EncodedDocuments, Tokens, WindowRule, encode_chunks, without_limits

FILES = (windows.__file__, array_cache.__file__, __file__)
CODE = hashlib.sha256(b"".join(Path(str(file)).read_bytes() for file in FILES)).hexdigest()
"""Digest of the code that makes and stores tokens, as this process loaded it; part of the key."""

DTYPES = {"ids": np.int32, "window_lengths": np.int64, "windows": np.int64, "tokens": np.int64, "unread": np.int64}
"""The fields of `Tokens`; the file of a field has its name."""

CHUNK = 1000
"""Texts that are tokenised in one call."""


def encode_cached(
    settings: CacheSettings, what: str, texts: Sequence[str], tokenizer: Tokenizer, rule: WindowRule, pad_id: int
) -> EncodedDocuments:
    """As `windows.encode`, but read from the cache if it holds these documents, and written to it otherwise.

    Args:
        what: what the texts are, for the progress bar.
        texts: a column of a data set, or a list; read in chunks.
    """
    without_limits(tokenizer)

    def chunks() -> Iterator[Arrays]:
        with meter(f"tokenising {what}", len(texts), "documents") as progress:
            for chunk in encode_chunks(tokenizer, texts, rule, CHUNK):
                yield vars(chunk)
                progress.advance(len(chunk.windows))

    key = key_of(texts, tokenizer, rule, pad_id) if settings.folder is not None else ""
    return EncodedDocuments(pad_id, Tokens(**cached_arrays(settings, key, DTYPES, chunks)))


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
