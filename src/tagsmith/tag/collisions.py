"""Pairs of classes that people take for each other, or whose names are nearly the same; pure functions."""

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from tagsmith.data.class_names import folded_name
from tagsmith.tag.decisions import Decision, Kind

TELL = 3
"""Changes of mind between two classes at which the page says so, and at each further three."""

SIMILAR = 0.75
"""Share of equal characters from which two names are nearly the same."""

Pair = tuple[str, str]
"""Two classes in alphabetical order."""


@dataclass(frozen=True)
class Collision:
    """Why two classes may be hard to keep apart.

    Attributes:
        changed: how often a person gave a document the one class and later the other.
        missed: how often one was the first suggestion and a person chose the other.
        similar: whether their names are nearly the same.
    """

    classes: Pair
    changed: int
    missed: int
    similar: bool


def changes_of_mind(decisions: Iterable[Decision]) -> Counter[Pair]:
    """How often a person replaced one class of a document by another.

    Args:
        decisions: in their order, those that were undone included: to undo and choose again is to change one's mind.
    """
    own: defaultdict[tuple[str, str], list[Decision]] = defaultdict(list)
    for one in decisions:
        if one.kind in (Kind.tag, Kind.settle) and one.again is None:
            own[one.document, one.person].append(one)
    return Counter(
        pair
        for given in own.values()
        for before, after in pairwise(given)
        for pair in replaced(before.tags, after.tags)
    )


def replaced(before: Sequence[str], after: Sequence[str]) -> Iterator[Pair]:
    """The pairs of a class that was taken away and one that was given instead."""
    for old in set(before) - set(after):
        for new in set(after) - set(before):
            yield (old, new) if old < new else (new, old)


def missed_suggestions(decisions: Iterable[Decision]) -> Counter[Pair]:
    """How often a class was the first suggestion, and a person gave a single other one."""
    return Counter(
        pair
        for one in decisions
        if one.kind is Kind.tag and one.again is None and one.suggestion and len(one.tags) == 1
        for pair in replaced(one.suggestion[:1], one.tags)
    )


def similar_names(classes: Sequence[str]) -> list[Pair]:
    """The pairs whose names are nearly the same, in the order of the classes."""
    found = []
    names = {name: folded_name(name) for name in classes}
    for one, other in combinations(classes, 2):
        match = difflib.SequenceMatcher(None, names[one], names[other], autojunk=False)
        if match.real_quick_ratio() >= SIMILAR and match.quick_ratio() >= SIMILAR and match.ratio() >= SIMILAR:
            found.append((one, other) if one < other else (other, one))
    return found


def collisions(decisions: Sequence[Decision], classes: Sequence[str]) -> list[Collision]:
    """The pairs of classes that collide, most changes of mind first; a single missed suggestion is none."""
    changed, missed, similar = changes_of_mind(decisions), missed_suggestions(decisions), set(similar_names(classes))
    pairs = {*changed, *(pair for pair, times in missed.items() if times >= TELL), *similar}
    known = set(classes)
    found = [Collision(pair, changed[pair], missed[pair], pair in similar) for pair in pairs if known >= {*pair}]
    return sorted(found, key=lambda one: (-one.changed, -one.missed, one.classes))
