"""How often people accept suggestions, by where these come from and by their place in the list."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from tagsmith.tag.decisions import Decision, Kind


class Source(Enum):
    """Where the suggestions for a document come from: the first of them, where they are mixed."""

    names = "names"  # The names and guidelines of the classes.
    tags = "tags"  # A regression on the tags, and the names while there are few tags.
    run = "run"  # The queue of a run.
    llm = "llm"  # A language model; the others are of names or tags.


@dataclass(frozen=True)
class Accepted:
    """How many documents were tagged that had suggestions, and how many of them with a suggested class.

    Attributes:
        ranks: tags by the place of their class among the suggestions, from the first place on. Multi-label: only
            suggestions that were saved unchanged count, at the first place.
    """

    shown: int
    ranks: tuple[int, ...]


def accepted(decisions: Iterable[Decision], multi_label: bool) -> dict[Source, Accepted]:
    """What people did with suggestions, for the sources that occur.

    Args:
        decisions: those that were not undone. Tags of documents that a person has looked for do not count: they may be
            corrections of tags that were accepted.
    """
    shown: dict[Source, int] = {}
    ranks: dict[Source, list[int]] = {}
    known = {source.value: source for source in Source}
    for one in decisions:
        source = known.get(one.source)
        if one.kind is not Kind.tag or source is None or not one.suggestion or one.reason == "chosen":
            continue
        shown[source] = shown.get(source, 0) + 1
        if (rank := one.rank(multi_label)) is not None:
            counts = ranks.setdefault(source, [])
            counts.extend([0] * (rank - len(counts)))
            counts[rank - 1] += 1
    return {source: Accepted(shown[source], tuple(ranks.get(source, ()))) for source in Source if source in shown}


def accepted_line(found: Mapping[Source, Accepted]) -> str:
    """A sentence for the page and the terminal; "" without suggestions."""
    words = {Source.names: "class names", Source.tags: "tags", Source.run: "the run", Source.llm: "the language model"}
    parts = []
    for source, one in found.items():
        first, any_place = one.ranks[:1], sum(one.ranks)
        listed = f", {any_place / one.shown:.0%} in the list" if len(one.ranks) > 1 else ""
        parts.append(f"by {words[source]} {sum(first) / one.shown:.0%}{listed} (of {one.shown:,})")
    return f"first suggestion accepted: {'; '.join(parts)}" if parts else ""
