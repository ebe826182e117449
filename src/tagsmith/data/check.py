"""What is wrong with the documents themselves, whatever their format."""

from collections import Counter
from collections.abc import Collection, Sequence

from tagsmith.core.errors import DataError, counted
from tagsmith.core.schema import Task
from tagsmith.core.text import is_broken
from tagsmith.data.documents import Document, Problem, Source

NO_LABEL = "-1"
"""How competitions mark the documents of their test split, whose labels they keep."""


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
    """Every problem of every document, in the order of the documents.

    Documents with the same text and different labels are no problem, see `contradictions`.
    """
    problems: list[Problem] = []
    known = set(declared or ())

    def report(what: str) -> None:
        content = f"{document.text!r} {document.labels}"[:1000]
        problems.append(Problem(document.file, document.row, what, content))

    first_with_id: dict[str, Document] = {}
    for document in documents:
        if what := _text_problem(document.text):
            report(what)
        for name in ("id", "language", "group"):
            if is_broken(getattr(document, name) or ""):
                report(f"{name} holds an unpaired surrogate, which is not valid Unicode")
        for name in document.labels:
            if is_broken(name):
                report(f"class {name!r} holds an unpaired surrogate, which is not valid Unicode")
        if task is Task.single_label and len(document.labels) > 1:
            tags = ", ".join(map(repr, document.labels))
            report(f"expected one label, found {len(document.labels)}: {tags} (task=multi_label allows several)")
        for name in document.labels:
            if declared is not None and name not in known:
                report(f"unknown class {name!r}; the declared classes are {_first_names(declared)}")
        if document.id is not None:
            first = first_with_id.setdefault(document.id, document)
            if first is not document:
                place = f"{first.file}:{first.row}"
                report(f"duplicate id {document.id!r}, first used at {place} (data.id_field=null ignores ids)")
    return problems


def leave_out_untagged(source: Source, task: Task | None) -> list[str]:
    """Leave single-label documents without a label out of the source; returns notes.

    A multi-label document without a label is one of no class, except in a held-out split in which none has a label,
    such as the test split of a competition.

    Raises:
        DataError: no document that may be trained on has a label.
    """
    trained = {name for document in source.documents for name in document.labels if document.split in (None, "train")}
    for document in source.documents:
        if document.labels == [NO_LABEL] and NO_LABEL not in trained:
            document.labels = []
    splits = {document.split for document in source.documents if document.labels} | {None, "train"}
    single = task is Task.single_label
    tagged = [document for document in source.documents if document.labels or (not single and document.split in splits)]
    before = Counter(document.split or "train" for document in source.documents)
    after = Counter(document.split or "train" for document in tagged)
    source.documents = tagged
    count = before.total() - after.total()
    if not count:
        return []
    if single and not after["train"] and before["train"]:
        raise DataError(
            f"None of {counted(before['train'], 'training document')} has a label; expected a class in each tagged "
            "row. Set data.label_field to the field of the class; task=multi_label takes rows without one as documents "
            "of no class."
        )
    whole = "".join(f", all {before[split]:,} of {split}" for split in before if not after[split])
    some = single and any(after[split] for split in before if after[split] < before[split])
    kept = "; task=multi_label would keep them as documents of no class" if some else ""
    return [f"Left out {counted(count, 'document')} without a label{whole}{kept}."]


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


def _first_names(names: Collection[str], most: int = 10) -> str:
    shown = ", ".join(list(names)[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
