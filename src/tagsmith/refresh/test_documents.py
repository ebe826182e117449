"""The test documents of a store: the frozen ones of the beginning, and a slice of each refresh; none is trained on."""

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tagsmith.config.settings import OnMissing, RefreshRun
from tagsmith.config.settings.analysis import AnalysisSettings
from tagsmith.core.errors import DataError, counted, listing
from tagsmith.core.files import read_json_lines, write_lines
from tagsmith.data import TaggedData
from tagsmith.data.check import same_text
from tagsmith.data.dataset_folders import load_documents
from tagsmith.data.held_out import Before, HeldOut
from tagsmith.data.load import divide
from tagsmith.data.read import read_documents
from tagsmith.evaluate.analysis.near_duplicates import similar_pairs
from tagsmith.refresh.incoming.whats_new import News
from tagsmith.refresh.store import Json, Store, Version

FROZEN = "frozen"

ENOUGH_OF_CLASS = 20
"""Test documents of a class that are enough, however many there were."""

REMEDY = "restore the file from a copy"


def held_out(store: Store) -> HeldOut:
    """What the store holds out, and all documents that its versions have; nothing before the first version."""
    lines = list(_lines(store))
    test = [Before(line["id"], same_text(line["text"]), frozenset(line["labels"])) for line in lines]
    groups = {line["group"] for line in lines if line.get("group") is not None}
    validation: list[Before] = []
    validation_groups: set[str] = set()
    texts, ids = {one.text for one in test}, {one.id for one in test}
    newest = store.newest()
    # Any of them may be in production again: what one was trained on must not test the next one.
    for version in store.versions():
        if version.finished and version.run.data.is_dir():
            earlier = HeldOut.load(version.run.path)
            texts |= set(earlier.texts)
            ids |= set(earlier.ids)
            if newest is not None and version.name == newest.name:
                validation = list(earlier.documents["validation"])
                validation_groups = set(earlier.groups["validation"])
    return HeldOut(
        str(store.path),
        {"test": test, "validation": validation},
        {"test": groups, "validation": validation_groups},
        texts,
        ids,
        setting="store",
        kind="store",
        draws_beside_named=True,
    )


def load_for(settings: RefreshRun, store: Store, news: News | None = None) -> TaggedData:
    """The documents of a new version: those of the store's test set stay test documents, and some new ones join them.

    Of the first version, `data.test_share` become test documents; of later ones, `slice_share` of what is new. Near
    copies of test documents are left out of the training documents.

    Args:
        news: what a look at the data has found; None: the data is read.

    Raises:
        InputMissing, DataError, SettingsError: see `data.load`.
        DataError: there is no test document.
    """
    earlier = held_out(store)
    read = news.read if news is not None else read_documents(settings.data, settings.task)
    share = settings.slice_share if earlier.documents["test"] else settings.data.test_share
    test = {one.text for one in earlier.documents["test"]} | {one.id for one in earlier.documents["test"]}
    given = 0
    for document in read.documents:
        known = document.split == "test" and not earlier.is_new(document)
        if known and test.isdisjoint((same_text(document.text), document.id)):
            document.split = None
            given += 1
    data = replace(settings.data, test_share=share, split_from_missing=OnMissing.allow)
    similarity = AnalysisSettings().similarity

    def near(texts: Sequence[str], searched: int) -> Iterator[tuple[int, int]]:
        return ((i, j) for i, j, _ in similar_pairs(texts, similarity, searched))

    tagged = divide(read, data, settings.seed, earlier, near)
    if given:
        which = f"{counted(given, 'document')} that the data names as test"
        tagged.notes.append(f"store: trained on {which}: earlier versions were, or renew_test has replaced them.")
    if "test" not in tagged.splits:
        raise DataError(
            "The data has no test documents, so that no version could be judged; set data.test_share=0.2, or name a "
            "test file. Each class needs two documents at least."
        )
    return tagged


def record_slice(store: Store, version: Version) -> int:
    """Write the test documents of a version that no file has yet: the frozen ones, or those of a slice.

    Calling it again changes nothing.

    Returns:
        How many were added.
    """
    known = list(_lines(store))
    ids, texts = {line["id"] for line in known}, {same_text(line["text"]) for line in known}
    added = [line for line in _test_split(version) if line["id"] not in ids and same_text(line["text"]) not in texts]
    if not added:
        return 0
    files = _files(store)
    name = FROZEN if not files else f"{version.name}_{time.strftime('%Y-%m-%d')}"
    # The version's number may be that of one that was dropped; its test documents stay test documents.
    path = next((one for one in files if one.stem.startswith(f"{version.name}_")), store.test / f"{name}.jsonl")
    before = list(read_json_lines(path, REMEDY)) if path.is_file() else []
    write_lines(path, [*before, *added])
    return len(added)


def slices(store: Store, version: Version | None = None) -> dict[str, set[str]]:
    """The ids of the test documents by slice: `frozen`, `0007_2026-11-29`, ...

    Args:
        version: where given, a document that has another id in its run has that one.
    """
    now = {same_text(line["text"]): line["id"] for line in _test_split(version)} if version is not None else {}
    found: dict[str, set[str]] = {}
    for path in _files(store):
        lines = read_json_lines(path, REMEDY)
        found[path.stem] = {name for line in lines for name in (line["id"], now.get(same_text(line["text"]))) if name}
    return found


def renew(store: Store) -> str:
    """Make the slices the frozen test documents; the former ones may be trained on from the next refresh on.

    Returns:
        What was done, as a sentence.

    Raises:
        DataError: the slices hold less than half as many documents as the frozen ones, in all or of a class of which
            they hold fewer than 20.
    """
    newest = store.newest()
    if newest is None:
        raise DataError(f"store={store.path}: no version yet, and so no test documents to renew.")
    there = {key: line for line in _test_split(newest) for key in (same_text(line["text"]), line["id"])}
    frozen: list[Json] = []
    new: list[Json] = []
    for path in _files(store):
        for line in read_json_lines(path, REMEDY):
            # By the text first: the ids may have changed. With the tags of today.
            if (today := there.get(same_text(line["text"])) or there.get(line["id"])) is not None:
                (frozen if path.stem == FROZEN else new).append(today)
    problems = []
    if len(new) < (needed := math.ceil(len(frozen) / 2)):
        problems.append(f"{counted(len(new), 'document')} of the {needed:,} that are needed")
    counts = [Counter(name for line in some for name in line["labels"]) for some in (frozen, new)]
    for name, before in sorted(counts[0].items()):
        if counts[1][name] < (needed := min(ENOUGH_OF_CLASS, math.ceil(before / 2))):
            problems.append(f"class {name}: {counted(counts[1][name], 'document')} of {needed:,}")
    if problems:
        headline = (
            f"store={store.path}: the slices hold too few test documents to replace the {len(frozen):,} frozen ones; "
            "further refreshes with new documents add to them:"
        )
        raise DataError(listing(headline, problems))
    write_lines(store.test / f"{FROZEN}.jsonl", new)
    for path in _files(store):
        if path.stem != FROZEN:
            path.unlink()
    return (
        f"The {len(new):,} documents of the slices are the frozen test documents now; the {len(frozen):,} former ones "
        "may be trained on from the next refresh on."
    )


def _files(store: Store) -> list[Path]:
    """The files of test documents, the frozen ones first."""
    return sorted(store.test.glob("*.jsonl"), key=lambda path: (path.stem != FROZEN, path.stem))


def _lines(store: Store) -> Iterator[Json]:
    for path in _files(store):
        yield from read_json_lines(path, REMEDY)


def _test_split(version: Version) -> list[Json]:
    """The test documents of a version: `id`, `text`, the names of the `labels`, and `group` where there is one."""
    part = load_documents(version.run.data).get("test")
    if part is None:
        return []
    label: Any = part.features["labels"]
    classes = getattr(label, "feature", label).names
    found = []
    for row in part:
        some = row["labels"] if isinstance(row["labels"], list) else [row["labels"]]
        line = {"id": row["id"], "text": row["text"], "labels": [classes[i] for i in some]}
        found.append(line | ({"group": row["group"]} if row.get("group") is not None else {}))
    return found
