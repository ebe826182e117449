"""What people have said of documents, and what follows where they disagree; pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from tagsmith.config.settings import OnDisagreement


class Kind(Enum):
    """What an answer is worth."""

    tag = "tag"
    ignored = "ignored"
    """Skipped, cancelled, discarded: the person has looked, and says nothing."""
    unreviewed = "unreviewed"
    """A suggestion that was stored as a person's without anyone having looked at it."""


IGNORE, NONE = "ignore", "none"
"""What a person says who skips a document, or (multi-label) finds that it has no class, where a tool has no other way
to say it. A class of that name is that class."""


@dataclass(frozen=True)
class Answer:
    """One person's answer to one document.

    Attributes:
        id: of the document in the queue; None where the tool has lost it.
        place: file and row, or task, for messages.
        labels: the classes, of an answer that is a tag.
        annotator: who, as the tool calls them; "": not known.
        at: when, as text whose order is that of time; "": not known.
    """

    id: str | None
    text: str
    kind: Kind
    labels: tuple[str, ...] = ()
    annotator: str = ""
    place: str = ""
    at: str = ""


@dataclass(frozen=True)
class Settled:
    """What follows from all answers to a document.

    Attributes:
        labels: the tag; None: a person has to be asked again.
        why: in a word, where there is no tag: ignored, unreviewed, disagreement.
        answers: how often each tag was given, by its classes.
    """

    id: str | None
    text: str
    labels: tuple[str, ...] | None
    why: str
    answers: tuple[tuple[tuple[str, ...], int], ...] = ()


def said(names: Sequence[str], classes: Sequence[str], multi_label: bool) -> tuple[Kind, tuple[str, ...]] | str:
    """What names that a person has chosen or written come to; a text: that they cannot be meant together."""
    names = tuple(dict.fromkeys(names))
    words = [name for name in names if name not in classes and name.casefold() in _words(multi_label)]
    if not words:
        return Kind.tag, names
    if len(names) > 1:
        return f"{words[0]!r} beside {', '.join(repr(name) for name in names if name != words[0])}"
    return (Kind.ignored if words[0].casefold() == IGNORE else Kind.tag), ()


def offered(classes: Sequence[str], multi_label: bool) -> list[str]:
    """The words that a tool can offer beside the classes."""
    return [word for word in _words(multi_label) if word not in classes]


def _words(multi_label: bool) -> tuple[str, ...]:
    return (IGNORE, NONE) if multi_label else (IGNORE,)


def settle(
    answers: Iterable[Answer], multi_label: bool, on_disagreement: OnDisagreement, accept_unreviewed: bool = False
) -> list[Settled]:
    """One result a document, in the order in which the documents first come.

    A tag that more than half of those who gave one have given holds (multi-label: each class that more than half have
    given, and no tag where a class has exactly half); with `ask`, only what all have given. Who ignored a document does
    not count beside others who tagged it. Of several answers of one person, the latest counts. Where
    `accept_unreviewed`, what nobody has looked at counts as a tag where no person has said anything.
    """
    together: dict[tuple[str | None, str], list[Answer]] = {}
    for answer in answers:
        key = (answer.id, "") if answer.id is not None else (None, answer.text)
        together.setdefault(key, []).append(answer)
    return [_settled(each, multi_label, on_disagreement, accept_unreviewed) for each in together.values()]


def _settled(answers: Sequence[Answer], multi_label: bool, on_disagreement: OnDisagreement, accept: bool) -> Settled:
    first, answers = answers[0], _one_a_person(answers)
    ignored = any(answer.kind is Kind.ignored for answer in answers)
    counted = {Kind.tag} if ignored or not accept or any(answer.kind is Kind.tag for answer in answers) else set(Kind)
    tags = [tuple(sorted(answer.labels)) for answer in answers if answer.kind in counted]
    if not tags:
        return Settled(first.id, first.text, None, (Kind.ignored if ignored else Kind.unreviewed).value)
    given = Counter(tags)
    if len(given) == 1:
        return Settled(first.id, first.text, tags[0], "")
    found = None if on_disagreement is OnDisagreement.ask else _majority(tags, multi_label)
    return Settled(
        first.id, first.text, found, "" if found is not None else "disagreement", tuple(sorted(given.items()))
    )


def _one_a_person(answers: Sequence[Answer]) -> list[Answer]:
    """The latest answer of each person; what was looked at goes before what was not. Those of nobody known all stay."""
    last: dict[str, Answer] = {}
    for answer in answers:
        before = last.get(answer.annotator)
        if before is None or _rank(answer) >= _rank(before):
            last[answer.annotator] = answer
    return [answer for answer in answers if not answer.annotator or last[answer.annotator] is answer]


def _rank(answer: Answer) -> tuple[bool, str]:
    return answer.kind is not Kind.unreviewed, answer.at


def _majority(tags: Sequence[tuple[str, ...]], multi_label: bool) -> tuple[str, ...] | None:
    votes = Counter(name for tag in tags for name in tag) if multi_label else Counter(tags)
    if multi_label:
        if any(2 * count == len(tags) for count in votes.values()):
            return None
        return tuple(sorted(str(name) for name, count in votes.items() if 2 * count > len(tags)))
    best, count = votes.most_common(1)[0]
    return tuple(best) if 2 * count > len(tags) else None
