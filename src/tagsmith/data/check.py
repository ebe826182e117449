"""What is wrong with the documents themselves, whatever their format."""

from collections.abc import Collection, Sequence

from tagsmith.core.rows import is_broken
from tagsmith.core.schema import Task
from tagsmith.data.documents import Document, Problem


def same_text(text: str) -> str:
    """The text with each run of white space as one space: two documents with equal forms are the same document.

    Case counts, as a cased encoder reads it; compare `folded_text`.
    """
    joined = " ".join(text.split())
    return text if joined == text else joined  # Most texts have that form already; this keeps no copy.


def folded_text(text: str) -> str:
    """`same_text` without case: the form in which texts are compared for likeness.

    A person tags two texts that differ by case alone alike, although they are not the same document.
    """
    return " ".join(text.casefold().split())


def check(documents: Sequence[Document], task: Task | None, declared: Collection[str] | None) -> list[Problem]:
    """Every problem of every document, in the order of the documents."""
    problems: list[tuple[int, Problem]] = []
    known = set(declared or ())

    def report(position: int, what: str) -> None:
        document = documents[position]
        content = f"{document.text!r} {document.labels}"[:1000]
        problems.append((position, Problem(document.file, document.row, what, content)))

    first_with_id: dict[str, Document] = {}
    first_with_text: dict[str, int] = {}
    repeated: dict[str, list[int]] = {}
    for position, document in enumerate(documents):
        if what := _text_problem(document.text):
            report(position, what)
        else:
            text = same_text(document.text)
            if (before := first_with_text.setdefault(text, position)) != position:
                repeated.setdefault(text, [before]).append(position)
        for name in ("id", "language", "group"):
            if is_broken(getattr(document, name) or ""):
                report(position, f"{name} holds an unpaired surrogate, which is not valid Unicode")
        for name in document.labels:
            if is_broken(name):
                report(position, f"class {name!r} holds an unpaired surrogate, which is not valid Unicode")
        if task is Task.single_label and not document.labels:
            report(position, "no label; single-label data needs one label per document (task=multi_label allows none)")
        if task is Task.single_label and len(document.labels) > 1:
            tags = ", ".join(document.labels)
            report(
                position, f"expected one label, found {len(document.labels)}: {tags} (task=multi_label allows several)"
            )
        for name in document.labels:
            if declared is not None and name not in known:
                report(position, f"unknown class {name!r}; the declared classes are {_first_names(declared)}")
        if document.id is not None:
            first = first_with_id.setdefault(document.id, document)
            if first is not document:
                report(position, f"duplicate id {document.id!r}, first used at {first.file}:{first.row}")
    for positions in repeated.values():
        if all(documents[p].labels == documents[positions[0]].labels for p in positions):
            continue
        first_with_tags: dict[frozenset[str], Document] = {}
        tags_of = {p: frozenset(documents[p].labels) for p in positions}
        for p in positions:
            first_with_tags.setdefault(tags_of[p], documents[p])
        if len(first_with_tags) > 1:
            one, two = list(first_with_tags.items())[:2]
            for p in positions:
                other = two[1] if tags_of[p] == one[0] else one[1]
                tags = f"{_tags(documents[p])} here, {_tags(other)} at {other.file}:{other.row}"
                report(p, f"the same text has different labels: {tags}")
    return [problem for _, problem in sorted(problems, key=lambda item: item[0])]


def _text_problem(text: object) -> str | None:
    if text is None:
        return "the text is missing"
    if not isinstance(text, str):
        return f"expected text, found {type(text).__name__} {text!r}"[:200]
    if not text.strip():
        return "the text is empty"
    if is_broken(text):
        return "the text holds an unpaired surrogate, which is not valid Unicode"
    return None


def _tags(document: Document) -> str:
    return "+".join(document.labels) or "no class"


def _first_names(names: Collection[str], most: int = 10) -> str:
    shown = ", ".join(list(names)[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
