"""The held-out documents of an earlier run, held out again: found by their text, or else by their id."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tagsmith.core.errors import DataError, InputMissing, counted, listing
from tagsmith.data.check import same_text
from tagsmith.data.documents import Document
from tagsmith.data.split import FURTHER_HELD_OUT, HELD_OUT

if TYPE_CHECKING:
    import datasets

SHOWN_MISSING = 5


class Before(NamedTuple):
    """A held-out document of the earlier run; its text is as `same_text` returns it."""

    id: str
    text: str
    labels: frozenset[str]


@dataclass(frozen=True)
class HeldOut:
    """What an earlier run held out, by split: documents, and groups; and what it knew.

    Attributes:
        texts, ids: those of its documents of all splits; a text is as `same_text` returns it.
        setting: the setting that names it, for messages.
        kind: what it is.
        draws_beside_named: whether test documents are drawn of new documents although the source names others as test.
    """

    run: str
    documents: Mapping[str, Sequence[Before]]
    groups: Mapping[str, Collection[str]] = field(default_factory=dict)
    texts: Collection[str] = frozenset()
    ids: Collection[str] = frozenset()
    setting: str = "data.split_from"
    kind: str = "run"
    draws_beside_named: bool = False

    def is_new(self, document: Document) -> bool:
        """Whether the earlier run had neither the text nor the id."""
        return same_text(document.text) not in self.texts and (document.id is None or document.id not in self.ids)

    @classmethod
    def load(cls, run: Path) -> "HeldOut":
        """Read the documents of a run.

        Raises:
            InputMissing: the folder is not a run.
            DataError: its documents are damaged.
        """
        if not (run / "data").is_dir():
            raise InputMissing(f"data.split_from={run}: expected the folder of a run, found no folder `data` in it.")
        # Imported here, so that reading does not wait for datasets.
        from tagsmith.data.dataset_folders import load_documents

        try:
            splits = load_documents(run / "data")
        except DataError as error:
            raise DataError(f"data.split_from={run}: {error}") from error
        documents: dict[str, list[Before]] = {}
        groups: dict[str, set[str]] = {}
        for split in HELD_OUT:
            part = splits[split][:] if split in splits else {"id": [], "text": [], "labels": []}
            labels = _names_of_labels(splits[split]) if split in splits else []
            documents[split] = [
                Before(*one) for one in zip(part["id"], map(same_text, part["text"]), labels, strict=True)
            ]
            groups[split] = set(part.get("group", ())) - {None}
        texts = {same_text(text) for part in splits.values() for text in part["text"][:]}
        ids = {name for part in splits.values() for name in part["id"][:]}
        return cls(str(run), documents, groups, texts, ids)


def _names_of_labels(part: "datasets.Dataset") -> list[frozenset[str]]:
    kind = part.features["labels"]
    names = getattr(kind, "feature", kind).names
    found = part["labels"][:]
    return [frozenset(names[i] for i in (one if isinstance(one, list) else [one])) for one in found]


def hold_out_again(
    documents: Sequence[Document], earlier: HeldOut, changed: Iterable[Document], allow_missing: bool, notes: list[str]
) -> list[Document]:
    """Hold out the documents that the earlier run held out, and leave out other documents of their groups.

    Of several documents with the text of one that was held out, only as many are held out as before, those with its id
    or labels first; the others get the split that they would have without it. A document without an id gets the one
    that it had, so that the runs can be compared after rows were added before it.

    Args:
        changed: documents that are left out because their class is deleted or split.

    Raises:
        DataError: documents are missing, and that is not allowed.
    """
    for document in documents:
        document.split = document.split or "train"
    texts = {one.text for split in HELD_OUT for one in earlier.documents.get(split, ())}
    by_text: dict[str, list[Document]] = {}
    by_id: dict[str, Document] = {}
    for document in documents:
        if (text := same_text(document.text)) in texts:
            by_text.setdefault(text, []).append(document)
        if document.id is not None:
            by_id[document.id] = document
    elsewhere = {same_text(one.text) if isinstance(one.text, str) else None for one in changed} - {None}
    elsewhere |= {one.id for one in changed} - {None}
    repeated: set[int] = set()
    missing: list[str] = []
    for split in HELD_OUT:  # Test wins over validation.
        before: dict[str, list[Before]] = {}
        for one in earlier.documents.get(split, ()):
            before.setdefault(one.text, []).append(one)
        lost = 0
        for text, copies in before.items():
            ids = {one.id for one in copies}
            # Without the text, which may have been edited, the id identifies a document.
            alike = by_text.get(text) or [by_id[name] for name in ids if name in by_id]
            alike = sorted(alike, key=lambda document: document.id is not None)  # Another id is another document.
            # Documents of the given split stay in it; others take only the places that these leave.
            found = _as_before(copies, [document for document in alike if document.split == split])
            placed = {one.id for one, _ in found}
            left = [one for one in copies if one.id not in placed]
            found += _as_before(left, [document for document in alike if document.split != split])
            for one, document in found:
                if id(document) not in repeated:
                    document.split = split
                    if document.id is None and one.id not in by_id:
                        document.id = one.id
                    repeated.add(id(document))
            if not found and not (text in elsewhere or ids & elsewhere):
                lost += 1
                missing.append(f"{split} document {copies[0].id!r}: {text[:80]!r}")
        if before:
            of = counted(len(before), f"{split} document")
            found_again = f"found {len(before) - lost:,} of {of} of that {earlier.kind} in this data"
            notes.append(f"{earlier.setting}: {found_again}.")
    if missing and not allow_missing:
        raise DataError(_missing(missing, len(texts), earlier.run))
    groups = {split: set(earlier.groups.get(split, ())) for split in HELD_OUT}
    for document in documents:
        if id(document) in repeated and document.group is not None and document.split is not None:
            groups[document.split].add(document.group)
    kept = list(documents)
    for split, held_out in FURTHER_HELD_OUT:
        siblings = {id(d) for d in kept if d.split == split and d.group in groups[held_out]} - repeated
        if siblings:
            left_out = counted(len(siblings), f"{split} document")
            whose = f"whose group has {held_out} documents in that {earlier.kind}"
            notes.append(f"{earlier.setting}: left out {left_out} {whose}.")
            kept = [d for d in kept if id(d) not in siblings]
    return kept


def _as_before(copies: Sequence[Before], found: Sequence[Document]) -> list[tuple[Before, Document]]:
    """Each of the copies with a document, as long as there are any: with its id, else with its labels, else any."""
    by_id = {document.id: document for document in found}
    by_labels: dict[frozenset[str], list[Document]] = {}
    for document in reversed(found):
        by_labels.setdefault(frozenset(document.labels), []).append(document)
    chosen = {id(by_id[copy.id]): (copy, by_id[copy.id]) for copy in copies if copy.id in by_id}
    left: list[Before] = []
    for copy in copies:
        if copy.id in by_id:
            continue
        alike = by_labels.get(copy.labels, [])
        while alike and id(alike[-1]) in chosen:
            alike.pop()
        if alike:
            document = alike.pop()
            chosen[id(document)] = copy, document
        else:
            left.append(copy)
    others = (document for document in found if id(document) not in chosen)
    return [*chosen.values(), *zip(left, others, strict=False)]


def _missing(missing: Sequence[str], of: int, run: str) -> str:
    headline = (
        f"data.split_from={run}: {len(missing):,} of {counted(of, 'held-out document')} of that run "
        f"{'is' if len(missing) == 1 else 'are'} not in this data, so that figures could not be compared; restore "
        "them, or hold out the others with data.split_from_missing=allow:"
    )
    return listing(headline, missing, SHOWN_MISSING)
