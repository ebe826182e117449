"""Answers of annotators, and the tag that follows from all answers to a document; pure functions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from tagsmith.config.settings import OnDisagreement
from tagsmith.core.errors import counted


class Kind(Enum):
    """How an answer counts."""

    tag = "tag"
    ignored = "ignored"
    """Skipped, cancelled or discarded: the annotator saw the document and gave no tag."""
    unreviewed = "unreviewed"
    """A suggestion that was stored as an annotation without anybody reviewing it."""


IGNORE, NONE = "ignore", "none"
"""What an annotator writes to skip a document, or (multi-label) to give it no class, where a tool has no other way. A
class of that name takes precedence."""


@dataclass(frozen=True)
class Answer:
    """The answer of one annotator to one document.

    Attributes:
        id: id of the document in the queue; None where the tool lost it.
        kind: how the answer counts.
        labels: the classes, where the answer is a tag.
        annotator: name in the tool; "" if unknown.
        place: file and row, or task, for messages.
        at: time, as text that sorts by time; "" if unknown.
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
    """The result of all answers to a document.

    Attributes:
        labels: the tag; None where the document still needs one.
        why: why there is no tag: ignored, unreviewed or disagreement.
        answers: (tag, number of annotators who gave it), where they disagree.
    """

    id: str | None
    text: str
    labels: tuple[str, ...] | None
    why: str
    answers: tuple[tuple[tuple[str, ...], int], ...] = ()


def interpret(names: Sequence[str], classes: Sequence[str], multi_label: bool) -> tuple[Kind, tuple[str, ...]] | str:
    """The kind and classes of an answer with these names; a text says which names contradict each other."""
    names = tuple(dict.fromkeys(names))
    words = [name for name in names if name not in classes and name.casefold() in _words(multi_label)]
    if not words:
        return Kind.tag, names
    if len(names) > 1:
        others = ", ".join(repr(name) for name in names if name != words[0])
        return f"{words[0]!r} cannot be combined with {others}"
    return (Kind.ignored if words[0].casefold() == IGNORE else Kind.tag), ()


def interpreted(answer: Answer, classes: Sequence[str], multi_label: bool) -> Answer | str:
    """The answer with the meaning of its special words; a message where its names contradict each other."""
    if answer.kind is Kind.ignored:
        return answer
    found = interpret(answer.labels, classes, multi_label)
    if isinstance(found, str):
        return f"{answer.place}: {found}"
    kind, labels = found
    return replace(answer, kind=kind if kind is Kind.ignored else answer.kind, labels=labels)


def special_words(classes: Sequence[str], multi_label: bool) -> list[str]:
    """The words that a tool offers in addition to the classes."""
    return [word for word in _words(multi_label) if word not in classes]


def _words(multi_label: bool) -> tuple[str, ...]:
    return (IGNORE, NONE) if multi_label else (IGNORE,)


def describe(counts: Mapping[str, int]) -> str:
    """The number of documents per result, in one line."""
    words = {name: name for name in ("tagged", "ignored", "unreviewed")} | {
        "disagreement": "without agreement",
        "unanswered": "without an answer",
    }
    return ", ".join(f"{counted(counts[name], 'document')} {word}" for name, word in words.items() if name in counts)


def settle(
    answers: Iterable[Answer], multi_label: bool, on_disagreement: OnDisagreement, accept_unreviewed: bool = False
) -> list[Settled]:
    """One result per document, in the order in which the documents first occur.

    The tag is the one that more than half of the annotators gave (multi-label: each class that more than half gave, and
    no tag where a class has exactly half); with `ask`, all of them have to agree. Annotators who ignored a document do
    not count if others tagged it. Of several answers of one annotator, the latest counts. With `accept_unreviewed`, an
    unreviewed suggestion counts as a tag where no annotator answered.
    """
    together: dict[tuple[str | None, str], list[Answer]] = {}
    for answer in answers:
        key = (answer.id, "") if answer.id is not None else (None, answer.text)
        together.setdefault(key, []).append(answer)
    return [_settled(each, multi_label, on_disagreement, accept_unreviewed) for each in together.values()]


def _settled(answers: Sequence[Answer], multi_label: bool, on_disagreement: OnDisagreement, accept: bool) -> Settled:
    first, answers = answers[0], _latest(answers)
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


def _latest(answers: Sequence[Answer]) -> list[Answer]:
    """The latest answer of each annotator, reviewed ones first; all answers of unknown annotators."""
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
