"""Documents that are nearly the same: within a split, across splits, and with different tags.

Candidates come from MinHash signatures in a locality-sensitive index (Broder, On the Resemblance and Containment of
Documents, 1997), by datasketch. Every candidate is then compared in full, so reported similarities are exact.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

from tagsmith.core.progress import meter
from tagsmith.data.check import folded_text

log = logging.getLogger("tagsmith")

NGRAM = 5
"""Characters of an n-gram; two texts are compared by the n-grams that they share."""

HASHED = 2000
"""Characters of a text that its signature covers; candidates are compared in full."""

PERMUTATIONS = 128

FALSE_NEGATIVE_WEIGHTS = (0.01, 0.99)
"""Weights of a needless comparison and of a missed pair: the index finds 98.5 % of the pairs at the very limit."""

MOST_OF_INDEX = 0.95
"""The index rejects a higher threshold (too few bands); the full comparison drops what it finds below the real one."""

MOST_CANDIDATES = 100
"""Candidates per text: thousands of texts from one template would otherwise be compared each with each."""

MOST_KEPT = 4_000_000
"""N-grams that are kept for the next comparison, in all: 32 MB."""

MOST_LISTED = 1000
"""Pairs of each kind that are listed."""

HELD_OUT_FIRST = ("test", "validation", "train")

MULTIPLIERS = np.random.default_rng(5).integers(2**62, 2**63, NGRAM, dtype=np.uint64) | np.uint64(1)
"""Of the polynomial that hashes an n-gram to 64 bits."""


@dataclass(frozen=True)
class Side:
    """A document of a pair of near-duplicates."""

    split: str
    id: str
    text: str
    labels: tuple[str, ...]


def ngrams(text: str) -> NDArray[np.uint64]:
    """The distinct character n-grams of a text, hashed and sorted, uint64 [n-grams].

    Hashed, as an n-gram takes 8 bytes in an array and 120 in a set of strings.
    """
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    characters = points.astype(np.uint64) + np.uint64(1)
    if len(characters) < NGRAM:  # A shorter text is one n-gram of its own.
        characters = np.pad(characters, (0, NGRAM - len(characters)))
    last = len(characters) - NGRAM + 1
    # Not a product of matrices, which numpy computes in a slow loop for integers.
    return np.unique(sum((characters[i : last + i] * by for i, by in enumerate(MULTIPLIERS)), np.uint64(0)))


def jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """The share of n-grams that two texts have in common, of their `ngrams`."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def similarity(one: str, other: str) -> float:
    """The Jaccard similarity of two texts in the form of `folded_text`."""
    return jaccard(ngrams(one), ngrams(other))


def similar_pairs(texts: Sequence[str], least: float, searched: int | None = None) -> Iterator[tuple[int, int, float]]:
    """Positions of two texts, the earlier one first, and their similarity, from `least` up.

    Args:
        texts: distinct ones, in the form of `folded_text`.
        searched: the earlier one of a pair is among so many first texts; None: among all.
    """
    index = MinHashLSH(threshold=min(least, MOST_OF_INDEX), num_perm=PERMUTATIONS, weights=FALSE_NEGATIVE_WEIGHTS)
    ngrams_at = _kept_ngrams(texts)
    with meter("near-duplicates", len(texts), "texts") as progress:
        hashed = (_mixed(ngrams(text[:HASHED])).tolist() for text in texts)
        signatures = MinHash.generator(hashed, num_perm=PERMUTATIONS, hashfunc=int)
        for i, signature in enumerate(signatures):
            for j in sorted(index.query(signature))[:MOST_CANDIDATES]:
                if (found := jaccard(ngrams_at(j), ngrams_at(i))) >= least:
                    yield j, i, found
            if searched is None or i < searched:
                index.insert(i, signature)
            progress.advance(1)


def _mixed(grams: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The 32 bits of each hash that signatures take, mixed as by MurmurHash3: those of a polynomial follow the text."""
    mixed = (grams ^ (grams >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return mixed >> np.uint64(32)


def _kept_ngrams(texts: Sequence[str]) -> Callable[[int], NDArray[np.uint64]]:
    """From a position to the n-grams of its text, of which `MOST_KEPT` stay in memory while texts are compared.

    The many texts of one template are all compared with the first `MOST_CANDIDATES` of them, so few need to be kept.
    """
    kept: dict[int, NDArray[np.uint64]] = {}
    room = MOST_KEPT

    def ngrams_at(place: int) -> NDArray[np.uint64]:
        nonlocal room
        if place not in kept:
            found = ngrams(texts[place])
            if len(found) > room:
                kept.clear()
                room = MOST_KEPT
            kept[place] = found
            room -= len(found)
        return kept[place]

    return ngrams_at


def near_duplicates(documents: Sequence[Side], least: float) -> dict[str, Any]:
    """Find near-duplicates.

    Args:
        documents: each once; of a pair, the earlier one is named first.
        least: similarity from which two documents are near-duplicates.

    Returns:
        within: split -> documents with a near-duplicate in the same split; across: for each document of test and
        validation with near-duplicates in a less held-out split, the most similar one; differently_tagged: pairs with
        different labels, at most one of equal texts; the most similar pairs first. `across_documents` and
        `differently_tagged_pairs` count them, `same_text_differently_tagged` the pairs of equal texts.
    """
    groups: dict[str, list[Side]] = {}
    for document in documents:
        groups.setdefault(folded_text(document.text), []).append(document)
    members = list(groups.values())
    neighbours: list[list[tuple[int, float]]] = [[(i, 1.0)] for i in range(len(members))]
    pairs = [(i, i, 1.0) for i, group in enumerate(members) if len(group) > 1]
    for i, j, found in similar_pairs(list(groups), least):
        pairs.append((i, j, found))
        neighbours[i].append((j, found))
        neighbours[j].append((i, found))
    splits = [Counter(side.split for side in group) for group in members]
    within: Counter[str] = Counter({side.split: 0 for side in documents})
    across: list[dict[str, Any]] = []
    for i, group in enumerate(members):
        for split, count in splits[i].items():
            if count > 1 or any(splits[j][split] for j, _ in neighbours[i] if j != i):
                within[split] += count
        across += [line for side in group if (line := _less_held_out(side, neighbours[i], members))]
    across.sort(key=lambda line: (-line["similarity"], line["split"], line["id"]))
    same = [line for i, j, _ in pairs if i == j and (line := _differently_tagged(members[i], members[i], 1.0))]
    near = [line for i, j, s in pairs if i != j and (line := _differently_tagged(members[i], members[j], s))]
    for lines in (same, near):
        lines.sort(key=lambda line: (-line["similarity"], line["id"], line["other_id"]))
    return {
        "within": dict(within),
        "across": across,
        "across_documents": dict(Counter(line["split"] for line in across)),
        "differently_tagged": [*same, *near],
        "differently_tagged_pairs": len(same) + len(near),
        "same_text_differently_tagged": len(same),
    }


def _less_held_out(side: Side, near: list[tuple[int, float]], members: list[list[Side]]) -> dict[str, Any] | None:
    """The most similar document in a split that is less held out than the document's own, train before validation."""
    lower = HELD_OUT_FIRST[HELD_OUT_FIRST.index(side.split) + 1 :]
    found = [(lower.index(other.split), s, other) for j, s in near for other in members[j] if other.split in lower]
    if not found:
        return None
    _, share, other = max(found, key=lambda one: (one[0], one[1]))
    return _pair(side, other, share)


def _differently_tagged(group: list[Side], others: list[Side], share: float) -> dict[str, Any] | None:
    """The first pair with different labels, from two groups of equal texts or within one."""
    for side in group:
        for other in others:
            if set(side.labels) != set(other.labels):
                return _pair(side, other, share)
    return None


def _pair(side: Side, other: Side, share: float) -> dict[str, Any]:
    return {
        "id": side.id,
        "other_id": other.id,
        "split": side.split,
        "other_split": other.split,
        "similarity": round(share, 4),
        "text": side.text,
        "other_text": other.text,
        "labels": list(side.labels),
        "other_labels": list(other.labels),
    }


def documents_to_compare(sizes: dict[str, int], first: str, most: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Positions of the documents of each split to compare, at most `most` in all, those of split `first` first.

    From a split that does not fit, as many as there is room for are drawn at random.
    """
    random = np.random.default_rng(seed)
    room, chosen = most, {}
    for split in sorted(sizes, key=lambda name: (name != first, name != "train", name)):
        size = min(sizes[split], room)
        drawn = random.permutation(sizes[split])[:size] if size < sizes[split] else np.arange(size)
        chosen[split] = np.sort(drawn)
        room -= size
    return chosen
