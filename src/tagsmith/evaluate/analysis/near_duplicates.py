"""Documents that are nearly the same: within a split, across splits, and tagged differently.

Candidates come from MinHash signatures in a locality-sensitive index (Broder, On the Resemblance and Containment of
Documents, 1997), by datasketch; what is said of them is the similarity of the texts themselves.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

from tagsmith.core.progress import meter

log = logging.getLogger("tagsmith")

CHARACTERS = 5
"""Length of the character n-grams that two texts are compared by."""

HASHED = 2000
"""Characters of a text that its signature is made of; candidates are compared in full."""

PERMUTATIONS = 128

MISSED_OVER_FALSE = (0.01, 0.99)
"""How the index weighs a needless comparison against a missed pair: it finds 98.5 % of the pairs at the very limit."""

MOST_OF_INDEX = 0.95
"""Similarity above which the index, of too few bands, would be refused; what it finds beyond is compared away."""

MOST_CANDIDATES = 100
"""Texts that one is compared with: thousands made from one template would else be compared each with each."""

MOST_LISTED = 1000
"""Pairs of a kind that are listed."""

HELD_OUT_FIRST = ("test", "validation", "train")


@dataclass(frozen=True)
class Side:
    """A document that has a near-duplicate."""

    split: str
    id: str
    text: str
    labels: tuple[str, ...]


def normal(text: str) -> str:
    """The form in which texts are compared: small letters, runs of white space as one space."""
    return " ".join(text.casefold().split())


@lru_cache(maxsize=20_000)
def shingles(text: str) -> frozenset[str]:
    """The character n-grams of a text in the form of `normal`; of a shorter one the text itself."""
    return frozenset(text[i : i + CHARACTERS] for i in range(max(1, len(text) - CHARACTERS + 1)))


def similarity(one: str, other: str) -> float:
    """The share of n-grams that two texts have in common (Jaccard), of texts in the form of `normal`."""
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def similar_pairs(texts: Sequence[str], least: float) -> Iterator[tuple[int, int, float]]:
    """Positions of two texts, the first one earlier, and their similarity, from `least` up.

    Args:
        texts: different ones, in the form of `normal`.
    """
    index = MinHashLSH(threshold=min(least, MOST_OF_INDEX), num_perm=PERMUTATIONS, weights=MISSED_OVER_FALSE)
    with meter("near-duplicates", len(texts), "texts") as progress:
        signatures = MinHash.generator(
            ([gram.encode(errors="replace") for gram in shingles(text[:HASHED])] for text in texts),
            num_perm=PERMUTATIONS,
        )
        for i, signature in enumerate(signatures):
            for j in sorted(index.query(signature))[:MOST_CANDIDATES]:
                if (found := similarity(texts[j], texts[i])) >= least:
                    yield j, i, found
            index.insert(i, signature)
            progress.advance(1)


def near_duplicates(documents: Sequence[Side], least: float) -> dict[str, Any]:
    """What the documents have in common.

    Args:
        documents: each once; the order decides which of two is named first.
        least: similarity from which two are nearly the same.

    Returns:
        within: split -> documents with a near-duplicate in it; across: for each document of test and validation with
        one in a split that is less held out, the most similar one; differently_tagged: pairs with different labels; the
        most similar first. `across_documents` and `differently_tagged_pairs` count them.
    """
    groups: dict[str, list[Side]] = {}
    for document in documents:
        groups.setdefault(normal(document.text), []).append(document)
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
    different = [line for i, j, found in pairs if (line := _differently_tagged(members[i], members[j], found))]
    different.sort(key=lambda line: (-line["similarity"], line["id"], line["other_id"]))
    return {
        "within": dict(within),
        "across": across,
        "across_documents": dict(Counter(line["split"] for line in across)),
        "differently_tagged": different,
        "differently_tagged_pairs": len(different),
    }


def _less_held_out(side: Side, near: list[tuple[int, float]], members: list[list[Side]]) -> dict[str, Any] | None:
    """The document most like this one in a split that is less held out than its own, train before validation."""
    lower = HELD_OUT_FIRST[HELD_OUT_FIRST.index(side.split) + 1 :]
    found = [(lower.index(other.split), s, other) for j, s in near for other in members[j] if other.split in lower]
    if not found:
        return None
    _, share, other = max(found, key=lambda one: (one[0], one[1]))
    return {
        "id": side.id, "split": side.split, "other_id": other.id, "other_split": other.split,
        "similarity": round(share, 4), "text": side.text, "other_text": other.text, "labels": list(side.labels),
        "other_labels": list(other.labels),
    }  # fmt: skip


def _differently_tagged(group: list[Side], others: list[Side], share: float) -> dict[str, Any] | None:
    """The first two documents of two groups of equal texts, or of one, that have different labels."""
    for side in group:
        for other in others:
            if set(side.labels) != set(other.labels):
                return {
                    "id": side.id, "other_id": other.id, "split": side.split, "other_split": other.split,
                    "labels": list(side.labels), "other_labels": list(other.labels), "text": side.text,
                    "other_text": other.text, "similarity": round(share, 4),
                }  # fmt: skip
    return None


def compared(sizes: dict[str, int], first: str, most: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Positions of the documents of each split that are compared: of `first` before the others, `most` in all.

    Of a split that does not fit, so many as there is room for are drawn.
    """
    random = np.random.default_rng(seed)
    room, chosen = most, {}
    for split in sorted(sizes, key=lambda name: (name != first, name != "train", name)):
        size = min(sizes[split], room)
        drawn = random.permutation(sizes[split])[:size] if size < sizes[split] else np.arange(size)
        chosen[split] = np.sort(drawn)
        room -= size
    return chosen
