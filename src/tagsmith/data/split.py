"""Which document goes to which split: given splits are kept, missing ones are drawn by share."""

import math
from collections.abc import Sequence

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

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
    splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=size, random_state=seed)
    _, drawn = next(splitter.split(np.zeros(len(unit_indicators)), unit_indicators))
    return np.flatnonzero(np.isin(units, drawn))


def draw_folds(
    texts: Sequence[str], groups: Sequence[str | None], indicators: NDArray[np.int8], folds: int, seed: int
) -> NDArray[np.int64]:
    """The fold of each document, int64 [documents], stratified by class.

    Documents of one group, and equal texts, share a fold. With fewer such units than `folds`, there are fewer folds.
    """
    units = _units(texts, groups)
    unit_indicators = _unit_indicators(indicators, units)
    folds = min(folds, len(unit_indicators))
    of_unit = np.zeros(len(unit_indicators), dtype=np.int64)
    if folds > 1:
        splitter = MultilabelStratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
        for fold, (_, drawn) in enumerate(splitter.split(np.zeros(len(unit_indicators)), unit_indicators)):
            of_unit[drawn] = fold
    return of_unit[units]


def _units(texts: Sequence[str], groups: Sequence[str | None]) -> NDArray[np.int64]:
    """The unit of each document, int64 [documents]: documents linked by shared groups or texts form one unit."""
    numbers: dict[str, int] = {}
    of_text = np.asarray([numbers.setdefault(same_text(text), len(numbers)) for text in texts])
    grouped = [i for i, group in enumerate(groups) if group is not None]
    if not grouped:
        return of_text
    group_numbers: dict[str | None, int] = {}
    of_group = np.asarray([group_numbers.setdefault(groups[i], len(group_numbers)) for i in grouped])
    rows = np.concatenate([np.arange(len(texts)), grouped])
    columns = np.concatenate([of_text, of_group + len(numbers)])
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
