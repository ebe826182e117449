"""What is new in the documents since the last refresh: without datasets, torch or scikit-learn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tagsmith.config.settings import RefreshRun
from tagsmith.core.errors import DataError, counted
from tagsmith.core.files import read_json_lines, write_lines
from tagsmith.core.text_files import visible_files
from tagsmith.data.check import same_text
from tagsmith.data.documents import Document
from tagsmith.data.read import ReadData, read_documents
from tagsmith.refresh.incoming.seen import Matched, Seen, match
from tagsmith.refresh.incoming.sources import Digests, digests, of_files, unchanged_files, write_sources
from tagsmith.refresh.store import Json, Store, Version

__all__ = ["News", "look", "nothing_new", "remember", "unchanged_files"]

EXAMPLES = 3
"""Documents of each kind that are named."""


@dataclass(frozen=True)
class News:
    """The documents of today beside those of the last refresh.

    Attributes:
        documents: of today, all that can be used.
        before: those of the last refresh; none before the first one.
        read: the documents as they were read, to be trained on, so that nothing unseen is.
        files: digests of the files, taken before they were read; None where they cannot be known to be unchanged.
    """

    documents: list[Seen]
    before: list[Seen]
    matched: Matched
    read: ReadData
    files: Digests | None

    @property
    def first(self) -> bool:
        """Whether this is the first refresh of the store."""
        return not self.before

    @property
    def new(self) -> list[Seen]:
        return self.matched.new

    @property
    def retagged(self) -> list[tuple[Seen, Seen]]:
        return self.matched.retagged

    @property
    def withdrawn(self) -> list[Seen]:
        return self.matched.withdrawn

    @property
    def changes(self) -> int:
        """Documents that are new, changed or withdrawn."""
        return len(self.new) + len(self.matched.changed) + len(self.withdrawn)

    def enough(self, min_new: int) -> bool:
        """Whether a refresh is due."""
        return self.changes >= min_new

    @property
    def sentence(self) -> str:
        """The counts in words."""
        edited = len(self.matched.edited)
        parts = [
            f"{len(self.new):,} new",
            f"{len(self.retagged):,} tagged otherwise",
            *([f"{edited:,} edited"] if edited else []),
            f"{len(self.withdrawn):,} withdrawn",
        ]
        of = f"{counted(len(self.documents), 'document')}, {len(self.before):,} before"
        return f"{', '.join(parts[:-1])} and {parts[-1]} of {of}."

    def as_json(self) -> Json:
        """The counts, and examples of each kind."""
        lists: dict[str, Sequence[Seen]] = {
            "new": self.new,
            "retagged": [other for _, other in self.retagged],
            "edited": [other for _, other in self.matched.edited],
            "withdrawn": self.withdrawn,
            "copies": self.matched.copies,
        }
        examples = {name: [one.example() for one in found[:EXAMPLES]] for name, found in lists.items() if found}
        for example, (before, _) in zip(examples.get("retagged", ()), self.retagged, strict=False):
            example["labels_before"] = list(before.labels)
        counts = {name: len(found) for name, found in lists.items()}
        return {"documents": len(self.documents), "before": len(self.before), **counts, "examples": examples}


def look(settings: RefreshRun, store: Store) -> News:
    """Read the documents that the settings name, and compare them with what the newest version was made from.

    Raises:
        InputMissing, DataError, SettingsError: see `read_documents`.
    """
    newest = store.newest()
    # Before reading, so that a file that is written meanwhile counts as changed the next time.
    files = digests(settings)
    read = read_documents(settings.data, settings.task)
    before = read_seen(newest) if newest is not None else []
    documents = _with_tags(read.documents, read.manual)
    if files is not None:
        files |= of_files(path for path in _beside(read.documents) if str(path) not in files)
    return News(documents, before, match(before, documents), read, files)


def _beside(documents: Sequence[Document]) -> Iterator[Path]:
    """The files in and below the folder of a labels file, which names text files that the settings do not."""
    for labels_file in sorted({one.file.partition("#")[0] for one in documents if "#" in one.file}):
        if Path(labels_file).is_file():
            yield from visible_files(Path(labels_file).parent)


def remember(settings: RefreshRun, news: News, version: Version) -> None:
    """Write what was seen into a version, before it is trained: a version that is dropped takes it along."""
    write_lines(version.seen, (one.as_json() for one in news.documents))
    if news.files is not None:
        write_sources(version.sources, settings, version, news.files, 0)


def nothing_new(settings: RefreshRun, store: Store, news: News) -> None:
    """Write that these files hold too little that is new, so that the next look at the same ones takes no time."""
    newest = store.newest()
    if newest is not None and news.files is not None:
        write_sources(store.sources, settings, newest, news.files, news.changes)


def read_seen(version: Version) -> list[Seen]:
    """What the refresh of a version saw. Raises: DataError where the file is damaged."""
    remedy = "restore it from a copy, or remove the version"
    try:
        return [Seen.of_json(line) for line in read_json_lines(version.seen, remedy)]
    except KeyError as error:
        raise DataError(f"{version.seen}: expected documents with the field {error}; {remedy}.") from error


def _with_tags(documents: Sequence[Document], manual: Sequence[Document]) -> list[Seen]:
    """The documents with the tags of `data.tagged`, and the documents that these tags add."""
    if not manual:
        return [Seen.of(one, one.labels) for one in documents]
    by_id = {one.id: one.labels for one in manual if one.id is not None}
    by_text = {same_text(one.text): one.labels for one in manual if one.text}
    found = []
    for one in documents:
        labels = by_id.get(one.id or "") or by_text.get(same_text(one.text)) or one.labels
        found.append(Seen.of(one, labels))
    ids, texts = {one.id for one in documents}, {same_text(one.text) for one in documents}
    added = {same_text(one.text): one for one in manual if one.text and (one.id is None or one.id not in ids)}
    return [*found, *(Seen.of(one, one.labels) for text, one in added.items() if text not in texts)]
