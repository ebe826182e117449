"""Which document goes to which split: given splits are kept, missing ones are drawn by share.

scikit-learn and SciPy are imported where documents are drawn, so that reading does not wait for them.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.errors import counted
from tagsmith.data.check import same_text
from tagsmith.data.documents import Document

HELD_OUT = ("test", "validation")
FURTHER_HELD_OUT = (("train", "test"), ("validation", "test"), ("train", "validation"))
"""(split, a split held out from it): documents of the second must not appear in the first."""


def assign(
    documents: Sequence[Document], indicators: NDArray[np.int8], test_share: float, validation_share: float, seed: int
) -> tuple[list[Document], list[str]]:
    """Set `split` on every document, and leave out copies that would leak from one split to another.

    Args:
        documents: without problems (see `check`).
        indicators: int8 [documents, classes], 1 where a document has a class.

    Returns:
        The documents that are kept, and notes for the user.
    """
    notes: list[str] = []
    shares = {"test": test_share, "validation": validation_share}
    for split in HELD_OUT:
        named = any(document.split == split for document in documents)
        pool = [i for i, document in enumerate(documents) if document.split in (None, "train")]
        if named or not shares[split] or not pool:
            continue
        drawn = _draw([documents[i] for i in pool], indicators[pool], shares[split], seed)
        for i in drawn:
            documents[pool[i]].split = split
    for document in documents:
        document.split = document.split or "train"
    kept = _without_copies(documents, notes)
    _note_shared_groups(kept, notes)
    return kept, notes


def _draw(documents: Sequence[Document], indicators: NDArray[np.int8], share: float, seed: int) -> NDArray[np.int64]:
    """Positions of about `share` of the documents, stratified by class.

    Documents of one group, and equal texts, are drawn together. Iterative stratification: Sechidis, Tsoumakas
    and Vlahavas, On the Stratification of Multi-Label Data, 2011.
    """
    units = _units([document.text for document in documents], [document.group for document in documents])
    unit_indicators = _unit_indicators(indicators, units)
    if len(unit_indicators) < 2:
        return np.zeros(0, dtype=np.int64)
    size = min(math.ceil(share * len(unit_indicators)), len(unit_indicators) - 1)
    return np.flatnonzero(np.isin(units, _stratified(unit_indicators, size, seed)))


def _stratified(indicators: NDArray[np.int8], size: int, seed: int) -> NDArray[np.int64]:
    """Positions of `size` units, fewer than there are, stratified by class."""
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=size, random_state=seed)
    _, drawn = next(splitter.split(np.zeros(len(indicators)), indicators))
    return np.asarray(drawn)


def draw_new(
    documents: Sequence[Document],
    indicators: NDArray[np.int8],
    new: Collection[int],
    links: Sequence[tuple[Document, Document]],
    shares: Mapping[str, float],
    seed: int,
) -> None:
    """Move about a share of the new training documents to each held-out split, whatever the order of the documents.

    A class without a document in the split comes first: it gets one as soon as another one is left to train on. The
    rest is stratified. Of a number of documents that the share does not divide, the fraction is drawn: 20 % of 3
    documents each day is 20 % in a year. No class loses its last training document.

    Args:
        documents: each with a split.
        indicators: int8 [documents, classes], 1 where a document has a class.
        new: `id()` of the new documents. Those that belong to one group with others, or have their text, stay.
        links: documents that are drawn together, or stay with one that is not new.
        shares: by split, in the order in which they are drawn.
    """
    for split, share in shares.items():
        pool = [i for i, document in enumerate(documents) if document.split == "train"]
        if not share or not pool:
            continue
        place = {id(documents[i]): at for at, i in enumerate(pool)}
        joined = [(place[id(a)], place[id(b)]) for a, b in links if id(a) in place and id(b) in place]
        units = _units([documents[i].text for i in pool], [documents[i].group for i in pool], joined)
        of_unit = _unit_indicators(indicators[pool], units)
        ranks: dict[int, str] = {}
        for unit, i in zip(units.tolist(), pool, strict=True):
            rank = _rank(documents[i], split, seed)
            ranks[unit] = min(ranks.get(unit, rank), rank)
        fixed = {unit for unit, i in zip(units.tolist(), pool, strict=True) if id(documents[i]) not in new}
        free = sorted(ranks.keys() - fixed, key=ranks.__getitem__)
        there = [i for i, document in enumerate(documents) if document.split == split]
        lacking = np.flatnonzero(~indicators[there].any(axis=0)).tolist()
        drawn = _new_units(of_unit, free, lacking, _whole(share * len(free), [ranks[unit] for unit in free]), seed)
        for unit, i in zip(units.tolist(), pool, strict=True):
            if unit in drawn:
                documents[i].split = split


def _new_units(
    of_unit: NDArray[np.int8], free: Sequence[int], lacking: Sequence[int], size: int, seed: int
) -> set[int]:
    """The units that are drawn of those that are `free`, about `size`: first of the `lacking` classes, rarest first."""
    left = of_unit.sum(axis=0, dtype=np.int64)
    drawn: set[int] = set()
    covered = np.zeros(of_unit.shape[1], dtype=bool)

    def draw(unit: int) -> bool:
        if np.any(left[of_unit[unit] == 1] < 2) or len(drawn) + 1 >= len(of_unit):
            return False  # The last one of a class, or of all, is trained on.
        left[of_unit[unit] == 1] -= 1
        covered[of_unit[unit] == 1] = True
        drawn.add(unit)
        return True

    for one in sorted(lacking, key=lambda one: (left[one], one)):
        if not covered[one]:
            next((unit for unit in free if of_unit[unit, one] and draw(unit)), None)
    rest = [unit for unit in free if unit not in drawn and left[of_unit[unit] == 1].min(initial=2) > 1]
    some: Sequence[int] = ()
    if 0 < size - len(drawn) < len(rest):
        some = _stratified(of_unit[rest], size - len(drawn), seed).tolist()
    for unit in [*(rest[at] for at in some), *rest]:
        if len(drawn) < size and unit not in drawn:
            draw(unit)
    return drawn


def _rank(document: Document, split: str, seed: int) -> str:
    """A random number for a document, the same in whatever order documents are read."""
    identity = same_text(document.text) if document.id is None else document.id
    return sha256(f"{seed} {split} {identity}".encode("utf-8", "backslashreplace")).hexdigest()


def _whole(number: float, ranks: Sequence[str]) -> int:
    """The number, with a chance of its fraction rounded up; the chance is decided by the documents."""
    chance = int.from_bytes(sha256("".join(ranks).encode()).digest()[:8]) / 2**64
    return math.floor(number) + (chance < number % 1)


def draw_folds(
    texts: Sequence[str], groups: Sequence[str | None], indicators: NDArray[np.int8], folds: int, seed: int
) -> NDArray[np.int64]:
    """The fold of each document, int64 [documents], stratified by class.

    Documents of one group, and equal texts, share a fold. With fewer such units than `folds`, there are fewer folds.
    """
    units = _units(texts, groups)
    unit_indicators = _unit_indicators(indicators, units)
    folds = min(folds, len(unit_indicators))
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    of_unit = np.zeros(len(unit_indicators), dtype=np.int64)
    if folds > 1:
        splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
        for fold, (_, drawn) in enumerate(splitter.split(np.zeros(len(unit_indicators)), unit_indicators)):
            of_unit[drawn] = fold
    return of_unit[units]


def _units(
    texts: Sequence[str], groups: Sequence[str | None], links: Sequence[tuple[int, int]] = ()
) -> NDArray[np.int64]:
    """The unit of each document, int64 [documents]: documents linked by shared groups or texts form one unit.

    Args:
        links: further pairs of positions that are linked.
    """
    numbers: dict[str, int] = {}
    of_text = np.asarray([numbers.setdefault(same_text(text), len(numbers)) for text in texts])
    grouped = [i for i, group in enumerate(groups) if group is not None]
    if not grouped and not links:
        return of_text
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    group_numbers: dict[str | None, int] = {}
    of_group = np.asarray([group_numbers.setdefault(groups[i], len(group_numbers)) for i in grouped], dtype=np.int64)
    pairs = np.asarray(links, dtype=np.int64).reshape(-1, 2)
    rows = np.concatenate([np.arange(len(texts)), np.asarray(grouped, dtype=np.int64), pairs[:, 0]])
    # The nodes are the documents, then the texts, then the groups.
    columns = np.concatenate([of_text, of_group + len(numbers), pairs[:, 1] - len(texts)])
    count = len(texts) + len(numbers) + len(group_numbers)
    graph = coo_array((np.ones(len(rows)), (rows, columns + len(texts))), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    return np.unique(component[: len(texts)], return_inverse=True)[1]


def _unit_indicators(indicators: NDArray[np.int8], units: NDArray[np.int64]) -> NDArray[np.int8]:
    """Which classes the documents of each unit have, int8 [units, classes]; at least two columns, padded with 0."""
    # The splitters do not take a single column for indicators.
    classes = indicators.shape[1]
    found = np.zeros((units.max() + 1, max(classes, 2)), dtype=np.int8)
    np.maximum.at(found[:, :classes], units, indicators)
    return found


def _without_copies(documents: Sequence[Document], notes: list[str]) -> list[Document]:
    """Drop documents whose text is in a split that is held out from theirs, and note how many."""
    texts = {split: {same_text(d.text) for d in documents if d.split == split} for split in HELD_OUT}
    kept = list(documents)
    for split, held_out in FURTHER_HELD_OUT:
        known = texts[held_out]
        copies = {id(d) for d in kept if d.split == split and same_text(d.text) in known} if known else set()
        if copies:
            left_out = counted(len(copies), f"{split} document")
            notes.append(f"Left out {left_out} with the same text as a {held_out} document.")
            kept = [d for d in kept if id(d) not in copies]
    return kept


def _note_shared_groups(documents: Sequence[Document], notes: list[str]) -> None:
    groups: dict[str, set[str]] = {}
    for document in documents:
        if document.group is not None:
            groups.setdefault(document.group, set()).add(document.split or "")
    if divided := sum(len(splits) > 1 for splits in groups.values()):
        notes.append(f"Groups that span several of the given splits: {divided:,}.")
