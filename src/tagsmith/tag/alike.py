"""Documents that are nearly the same as another one, so that a person who has seen them may tag all of them alike.

An n-gram of a text is hashed to 64 bits; the smallest hashes of two texts are the same in the share in which their
n-grams are (bottom-k sketches; Broder, On the Resemblance and Containment of Documents, 1997). Documents that share
them are compared in full.

The audit stays unbiased: which documents belong to it does not depend on how they were tagged, and its figures count
documents that were tagged alike as one group, so that none of them is predicted from the others.
"""

import threading

import numpy as np
from numpy.typing import NDArray

from tagsmith.data.check import folded_text
from tagsmith.evaluate.analysis.near_duplicates import HASHED, ngrams, similarity
from tagsmith.tag.decisions import StoredDocument
from tagsmith.tag.store import Store

SKETCH = 24
"""Hashes of a sketch."""

SHARED = 0.65
"""Share of a sketch from which two texts are compared in full; of texts that are just nearly the same it is 0.89."""

LEAST = 0.8
"""Share of common n-grams from which two texts are nearly the same."""

MOST = 100
"""Near-copies of a document that are shown; of twice as many candidates, those that share most of the sketch."""

CHUNK = 1000


def sketch(text: str) -> NDArray[np.uint64]:
    """The smallest hashes of the n-grams of a text, uint64 [at most SKETCH]."""
    return ngrams(folded_text(text[: 2 * HASHED])[:HASHED])[:SKETCH]


class Copies:
    """The near-copies among the documents of a project; a thread reads them, and until it has, there are none."""

    def __init__(self, store: Store):
        self._store = store
        self._names: list[str] = []
        self._hashes: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        self._rows: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.read, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def read(self) -> None:
        """Sketch all documents."""
        names, hashes, last = [], [], 0
        while not self._stop.is_set() and (documents := self._store.documents(last, CHUNK)):
            last = documents[-1].number
            names += [one.id for one in documents]
            hashes += [sketch(one.text) for one in documents]
        if hashes:
            flat = np.concatenate(hashes)
            rows = np.repeat(np.arange(len(hashes)), [len(one) for one in hashes])
            order = np.argsort(flat, kind="stable")
            self._rows, self._hashes, self._names = rows[order], flat[order], names

    def candidates(self, text: str) -> list[str]:
        """The documents that share at least `SHARED` of the sketch of a text, those that share most of it first."""
        own, hashes, rows = sketch(text), self._hashes, self._rows
        bounds = zip(np.searchsorted(hashes, own, "left"), np.searchsorted(hashes, own, "right"), strict=True)
        parts = [rows[low:high] for low, high in bounds]
        shared = np.bincount(np.concatenate(parts), minlength=len(self._names))
        found = np.flatnonzero(shared >= SHARED * len(own))
        return [self._names[row] for row in found[np.argsort(-shared[found], kind="stable")]]

    def of(self, document: StoredDocument, person: str) -> list[StoredDocument]:
        """The near-copies of a document that the person may tag too, at most `MOST`."""
        states, found, own = self._store.states, list[StoredDocument](), folded_text(document.text)
        if not self._names:
            return []
        for name in self.candidates(document.text)[: 2 * MOST]:
            state = states.get(name)
            if name == document.id or (state is not None and (state.full or person in state.answers)):
                continue
            other = self._store.document(name)
            if other is not None and other.given is None and similarity(own, folded_text(other.text)) >= LEAST:
                found.append(other)
                if len(found) == MOST:
                    break
        return found
