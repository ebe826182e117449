"""Which tokens of a document the encoder reads: the same rule in training, evaluation and the bundle.

A document is a list of windows, and a window is a list of token ids between the encoder's special tokens. A short
document has one window. This module uses only numpy and tokenizers, so that inference needs nothing else.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class WindowRule:
    """How a document longer than `max_tokens` is read: its head, head and tail, or overlapping windows.

    Attributes:
        max_tokens: most tokens of a window, special tokens included.
        long_documents: "head", "head_tail" or "windows".
        overlap: tokens that adjacent windows share.
        max_windows: most windows of one document; of more, this many are read, evenly spread.
    """

    max_tokens: int
    long_documents: str = "head"
    overlap: int = 32
    max_windows: int = 8

    def spans(self, tokens: int, room: int) -> list[list[tuple[int, int]]]:
        """The (start, end) spans that each window joins, for a document of `tokens` tokens and `room` per window."""
        if tokens <= room:
            return [[(0, tokens)]]
        if self.long_documents == "head":
            return [[(0, room)]]
        if self.long_documents == "head_tail":
            # Half and half: texts state their topic at the beginning and again at the end.
            head = room - room // 2
            return [[(0, head), (tokens - (room - head), tokens)]]
        step = room - min(self.overlap, room - 1)
        starts = [*range(0, tokens - room, step), tokens - room]
        if len(starts) > self.max_windows:
            keep = np.linspace(0, len(starts) - 1, self.max_windows).round().astype(int)
            starts = [starts[i] for i in keep]
        return [[(start, start + room)] for start in starts]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Batch:
    """Padded windows of some documents.

    Attributes:
        inputs: int64 [windows, tokens], token ids padded on the right (or their states, see `frozen.TokenStates`).
        attention_mask: int64 [windows, tokens], 1 for a token and 0 for padding.
        document: int64 [windows], position in the batch of the document of each window.
        windows: int64 [documents], number of windows of each document.
    """

    inputs: NDArray[Any]
    attention_mask: Ints
    document: Ints
    windows: Ints


@dataclass(frozen=True)
class Places:
    """Positions of the tokens of some documents.

    Attributes:
        mask: bool [windows, tokens], which positions of a padded batch hold a token.
        tokens: int64 [tokens], the position of each token among all tokens.
        document, windows: as in `Batch`.
    """

    mask: NDArray[np.bool_]
    tokens: Ints
    document: Ints
    windows: Ints


@dataclass(frozen=True)
class Tokens:
    """Token ids of documents without padding, in the order of the documents.

    Attributes:
        ids: int32 [tokens], window after window.
        window_lengths: int64 [windows], tokens of each window.
        windows: int64 [documents], windows of each document.
        tokens: int64 [documents], tokens of the whole document, special tokens included.
        unread: int64 [documents], tokens outside all windows.
    """

    ids: NDArray[np.int32]
    window_lengths: Ints
    windows: Ints
    tokens: Ints
    unread: Ints


class EncodedDocuments:
    """Token ids of many documents without padding: 4 bytes a token, in one array, which may be a memory map.

    Attributes:
        lengths: int64 [documents], tokens of each document's longest window.
        windows, tokens, unread: int64 [documents], see `Tokens`.
    """

    def __init__(self, pad_id: int, content: Tokens):
        self.pad_id = pad_id
        self.ids, self.window_lengths, self.windows = content.ids, content.window_lengths, content.windows
        self.tokens, self.unread = content.tokens, content.unread
        self.window_starts = np.cumsum(self.window_lengths) - self.window_lengths
        self.first_window = np.cumsum(self.windows) - self.windows
        self.lengths = np.maximum.reduceat(self.window_lengths, self.first_window) if len(self) else self.windows

    def __len__(self) -> int:
        return len(self.windows)

    def content(self, document: int) -> bytes:
        """The tokens of all windows of a document (position): equal for two documents that are read as the same."""
        first = self.first_window[document]
        lengths = self.window_lengths[first : first + self.windows[document]]
        start = self.window_starts[first]
        return lengths.tobytes() + self.ids[start : start + lengths.sum()].tobytes()

    def places(self, documents: Ints) -> Places:
        """The places of the tokens of these documents (positions), here and in a padded batch."""
        counts = self.windows[documents]
        first = np.repeat(self.first_window[documents], counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        chosen = first + within
        lengths = self.window_lengths[chosen]
        mask = np.arange(lengths.max()) < lengths[:, None]
        tokens = (self.window_starts[chosen][:, None] + np.arange(lengths.max()))[mask]
        return Places(mask, tokens, np.repeat(np.arange(len(documents)), counts), counts)

    def batch(self, documents: Ints) -> Batch:
        """The windows of these documents (positions), padded to the longest of them."""
        places = self.places(documents)
        ids = np.full(places.mask.shape, self.pad_id, dtype=np.int64)
        ids[places.mask] = self.ids[places.tokens]
        return Batch(ids, places.mask.astype(np.int64), places.document, places.windows)


Special = tuple[list[int], list[int]]
"""The ids before and after a text."""


def special_tokens(tokenizer: Tokenizer) -> Special:
    """The ids that the tokenizer adds before and after a text, such as ([CLS], [SEP])."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    full = tokenizer.encode("a", add_special_tokens=True).ids
    start = next(i for i in range(len(full) - len(bare) + 1) if full[i : i + len(bare)] == bare)
    return full[:start], full[start + len(bare) :]


def without_limits(tokenizer: Tokenizer) -> Tokenizer:
    """Switch off the tokenizer's own truncation and padding.

    Tokenizer files often carry limits that would truncate a document silently. A tokenizer without limits is not
    modified, so that several threads may share it.
    """
    if tokenizer.truncation is not None:
        tokenizer.no_truncation()
    if tokenizer.padding is not None:
        tokenizer.no_padding()
    return tokenizer


def room_for(tokenizer: Tokenizer, rule: WindowRule) -> int:
    """Tokens of a document that fit a window in addition to the special tokens."""
    before, after = special_tokens(tokenizer)
    return rule.max_tokens - len(before) - len(after)


ToIds = Callable[[Sequence[str]], list[list[int]]]
"""From texts to the ids of their tokens, without special tokens."""


def ids_by(tokenizer: Tokenizer) -> ToIds:
    """A function that returns all ids of each text; uses all cores."""

    def to_ids(texts: Sequence[str]) -> list[list[int]]:
        return [found.ids for found in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    return to_ids


def encode(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    rule: WindowRule,
    pad_id: int,
    to_ids: ToIds | None = None,
    special: Special | None = None,
) -> EncodedDocuments:
    """Tokenise `texts` (on all cores) and cut them into windows, in memory; arguments as in `encode_chunks`."""
    return EncodedDocuments(pad_id, joined(encode_chunks(tokenizer, texts, rule, to_ids=to_ids, special=special)))


def encode_chunks(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    rule: WindowRule,
    size: int = 1000,
    to_ids: ToIds | None = None,
    special: Special | None = None,
) -> Iterator[Tokens]:
    """Tokenise `texts` (on all cores), `size` per chunk, and cut them into windows.

    Args:
        to_ids: replaces the tokenizer where documents need not be tokenised whole (`truncation.ids_as_read`).
        special: `special_tokens` of the tokenizer, which take longer to find than a short text to tokenise.
    """
    without_limits(tokenizer)
    before, after = special or special_tokens(tokenizer)
    around = len(before) + len(after)
    room = rule.max_tokens - around
    to_ids = to_ids or ids_by(tokenizer)
    for start in range(0, len(texts), size):
        ids: list[int] = []
        window_lengths: list[int] = []
        windows: list[int] = []
        tokens: list[int] = []
        unread: list[int] = []
        for document in to_ids(texts[start : start + size]):
            tokens.append(len(document) + around)
            if len(document) <= room:  # The common case: one window holds the document.
                ids += before
                ids += document
                ids += after
                window_lengths.append(len(document) + around)
                windows.append(1)
                unread.append(0)
                continue
            spans = rule.spans(len(document), room)
            for window in spans:
                inside = [i for a, b in window for i in document[a:b]]
                ids += [*before, *inside, *after]
                window_lengths.append(len(inside) + around)
            windows.append(len(spans))
            unread.append(len(document) - _covered(spans))
        yield Tokens(np.asarray(ids, dtype=np.int32), *map(_ints, (window_lengths, windows, tokens, unread)))


def joined(chunks: Iterable[Tokens]) -> Tokens:
    """Join chunks of documents."""
    given = list(chunks)
    if len(given) == 1:
        return given[0]
    parts = [Tokens(np.zeros(0, np.int32), *map(_ints, ([], [], [], []))), *given]
    return Tokens(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Tokens)))


def _ints(values: list[int]) -> Ints:
    return np.asarray(values, dtype=np.int64)


def _covered(windows: list[list[tuple[int, int]]]) -> int:
    """Number of tokens in the union of the spans, which are in ascending order."""
    covered = end = 0
    for start, stop in (span for window in windows for span in window):
        covered += max(0, stop - max(start, end))
        end = max(end, stop)
    return covered
