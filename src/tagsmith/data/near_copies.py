"""Near-copies: those of test documents leave the other splits, and those of one another are drawn together."""

from collections.abc import Callable, Collection, Iterable, Sequence

from tagsmith.core.errors import counted
from tagsmith.data.check import folded_text
from tagsmith.data.documents import Document

Near = Callable[[Sequence[str], int], Iterable[tuple[int, int]]]
"""From distinct texts, in the form of `folded_text`, to the pairs of positions of near-copies of which at least one is
among the first so many."""


def leave_out_near_copies(
    documents: Sequence[Document], manual: Sequence[Document], new: Collection[int], near: Near, notes: list[str]
) -> tuple[list[Document], list[Document], list[tuple[Document, Document]]]:
    """Leave out the documents, and the manual tags, whose text is nearly that of a test document.

    Texts that differ by case alone are near-copies too.

    Args:
        documents: each with a split.
        manual: documents that may become training documents later.
        new: `id()` of the documents of which test documents may be drawn.

    Returns:
        The documents and the manual tags that are kept, and the pairs of near-copies among them of which one is new; a
        text has a pair with one document of each other text.
    """
    tags = {id(one) for one in manual}
    together: dict[str, list[Document]] = {}
    for rank in (0, 1, 2):  # Near-copies are searched among the texts of test documents, then of new ones, alone.
        for document in (*documents, *manual):
            if _rank(document, new, tags) == rank and document.text:
                together.setdefault(folded_text(document.text), []).append(document)
    groups = list(together.values())
    searched = sum(_rank(group[0], new, tags) < 2 for group in groups)
    pairs = [(i, i) for i, group in enumerate(groups[:searched]) if len(group) > 1]
    if searched and len(groups) > 1:
        pairs += near(list(together), searched)
    left_out: set[int] = set()
    for i, j in pairs:
        if any(_rank(one, new, tags) == 0 for one in (*groups[i], *groups[j])):
            left_out |= {id(one) for one in (*groups[i], *groups[j]) if _rank(one, new, tags) != 0}
    links = []
    for i, j in pairs:
        here, there = ([one for one in groups[at] if id(one) not in left_out] for at in (i, j))
        links += [(here[0], other) for other in there if here and other is not here[0]]
    if dropped := sum(id(one) in left_out for one in documents):
        notes.append(f"Left out {counted(dropped, 'document')} with nearly the same text as a test document.")
    kept = [one for one in documents if id(one) not in left_out]
    return kept, [one for one in manual if id(one) not in left_out], links


def _rank(document: Document, new: Collection[int], tags: Collection[int]) -> int:
    """0: a test document; 1: a new one; 2: any other."""
    if id(document) in tags:
        return 2
    return 0 if document.split == "test" else 1 if id(document) in new else 2
