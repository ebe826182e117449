"""Texts kept for tagging, where the owner allows it: uncertain documents, and a random audit.

The file is JSON Lines that `pool=` of `scripts/improve.py` reads: `id` (of the text), `text`, `reason` (`uncertain`,
`audit`), `uncertainty`, `suggested` (what was predicted; never a tag), `version` of the bundle, `seen` (the time).
Equal texts count once.

Both parts are reservoirs of fixed size over all documents since the file was begun. The audit is drawn uniformly; the
others with a probability that grows with their uncertainty: Efraimidis and Spirakis, Weighted Random Sampling with a
Reservoir, 2006. The most uncertain ones alone would be of one kind.
"""

import hashlib
import heapq
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.core.files import atomic_path, read_json_lines
from tagsmith.decision.uncertainty import uncertainty
from tagsmith.serve.answers import Answer

log = logging.getLogger("tagsmith.serve")

AUDIT_SHARE = 0.1
"""Share of the documents that are drawn at random, as in `scripts/improve.py`."""

LONGEST = 20_000
"""Characters of the longest text that is kept, so that the file stays small."""

Line = dict[str, Any]


class Reservoir:
    """The documents with the highest keys: log(u) / weight, where u depends on the text alone.

    Args:
        size: how many to keep.
        weight: of a line.
    """

    def __init__(self, reason: str, size: int, weight: Callable[[Line], float]):
        self._reason, self._size, self._weight = reason, size, weight
        self._heap: list[tuple[float, str]] = []
        self.lines: dict[str, Line] = {}

    def offer(self, line: Line) -> Line | None:
        """Draw the document or not; returns the one for which there is no room: this one, another one, or None."""
        name = line["id"]
        drawn = int.from_bytes(hashlib.blake2b(f"{self._reason} {name}".encode(), digest_size=8).digest(), "big")
        key = math.log((drawn + 1) / 2**64) / max(self._weight(line), 1e-6)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, (key, name))
            left = None
        elif self._size and key > self._heap[0][0]:
            left = self.lines.pop(heapq.heapreplace(self._heap, (key, name))[1])
        else:
            return line
        self.lines[name] = line | {"reason": self._reason}
        return left


class Sample:
    """The sample of a deployment. Several threads may add to it.

    Args:
        documents: how many to keep.
    """

    def __init__(self, path: Path, documents: int):
        """Continue the file, or begin it at the first write.

        Raises:
            InputMissing: its folder does not exist.
            SettingsError: the file holds something else, or is not readable.
        """
        self.path, self._documents = path, documents
        if not path.parent.is_dir():
            raise InputMissing(f"serve.keep_texts: the folder {path.parent} does not exist.")
        self._lock = threading.Lock()
        self._changed = self._written = False
        self._begin()
        if path.exists():
            self._continue()

    def _begin(self) -> None:
        audit = round(self._documents * AUDIT_SHARE)
        self._audit = Reservoir("audit", audit, lambda line: 1.0)
        self._uncertain = Reservoir("uncertain", self._documents - audit, lambda line: float(line["uncertainty"]))

    def _continue(self) -> None:
        try:
            for line in read_json_lines(self.path, "name another file"):
                part = {"audit": self._audit, "uncertain": self._uncertain}[line["reason"]]
                if not (isinstance(line["text"], str) and isinstance(line["id"], str)):
                    raise TypeError("an id or a text that is no text")
                part.offer(line)
        except (DataError, KeyError, ValueError, TypeError) as error:
            raise SettingsError(
                f"serve.keep_texts: {self.path} holds something else than texts that the service has kept ({error!r}); "
                f"name another file."
            ) from error
        self._written = True

    @property
    def documents(self) -> int:
        """Number of documents in the sample."""
        with self._lock:
            return len(self._audit.lines) + len(self._uncertain.lines)

    def add(self, version: str, multi_label: bool, texts: Sequence[str], answers: Sequence[Answer]) -> None:
        """Offer classified documents."""
        scores = np.stack([answer.scores for answer in answers])
        unsure = uncertainty(scores, multi_label).tolist()
        seen = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        with self._lock:
            for text, answer, value in zip(texts, answers, unsure, strict=True):
                if len(text) > LONGEST:
                    continue
                name = hashlib.blake2b(" ".join(text.split()).encode(), digest_size=8).hexdigest()
                if name in self._audit.lines or name in self._uncertain.lines:
                    continue
                line = {
                    "id": name,
                    "text": text,
                    "reason": "audit",
                    "uncertainty": round(value, 6),
                    "suggested": list(answer.chosen) if multi_label else next(iter(answer.chosen), None),
                    "version": version,
                    "seen": seen,
                }
                left = self._audit.offer(line)
                if left is not None:
                    left = self._uncertain.offer(left)
                self._changed |= left is not line

    def write(self) -> None:
        """Write the file where the sample has changed; a file that was taken away begins a new sample. Blocks."""
        with self._lock:
            if self._written and not self.path.exists():
                self._begin()
                self._changed = self._written = False
                return
            if not self._changed:
                return
            lines = [*self._uncertain.lines.values(), *self._audit.lines.values()]
            self._changed = False
        try:
            with atomic_path(self.path) as temporary:
                # Readable by the owner alone, as it holds texts.
                temporary.touch(0o600)
                with temporary.open("w", encoding="utf-8") as file:
                    file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            self._written = True
        except OSError as error:
            self._changed = True
            log.error("cannot write the texts kept for tagging: %s", error.strerror)
