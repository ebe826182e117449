"""Order the classes and split: from the documents of a source to the DatasetDict."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.config.settings import DataSettings, OnMissing
from tagsmith.core.errors import DataError, counted, listing
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, Task, indicators_of_names, ordered_classes
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.data.contradictions import settle_contradictions
from tagsmith.data.documents import Document, Problem
from tagsmith.data.fingerprint import Fingerprint, changes_since
from tagsmith.data.held_out import HeldOut, hold_out_again
from tagsmith.data.ids import assign_ids
from tagsmith.data.near_copies import Near, leave_out_near_copies
from tagsmith.data.read import ReadData, read_documents, read_source, too_little
from tagsmith.data.read_texts import read_texts
from tagsmith.data.split import HELD_OUT, assign, draw_new
from tagsmith.data.tagged import apply_tags

if TYPE_CHECKING:
    import datasets

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class TaggedData:
    """Tagged documents, ready to be encoded.

    Attributes:
        splits: train, and validation and test where they have documents; columns `id`, `text`, `labels`
            (ClassLabel, or List of ClassLabel), and `language` and `group` where any document has one.
        rejected: rows that were left out because they cannot be used.
        notes: remarks for the user, one line each.
        out_of_scope: texts of none of the classes, to test on.
        unresolved: one record per untagged document of a class that `data.schema_changes` splits.
        changes: what `data.schema_changes` holds.
        contradictions: one record per text that is tagged in several ways.
        sources: the content of the files, as rows and SHA-256.
        pool: texts without tags, for a teacher.
    """

    splits: "datasets.DatasetDict"
    schema: Schema
    rejected: list[Problem]
    notes: list[str]
    out_of_scope: list[str] = field(default_factory=list)
    unresolved: list[dict[str, Any]] = field(default_factory=list)
    changes: SchemaChanges | None = None
    contradictions: list[dict[str, Any]] = field(default_factory=list)
    sources: Fingerprint = field(default_factory=dict)
    text_fields: list[str] = field(default_factory=lambda: ["text"])
    pool: list[str] = field(default_factory=list)


def load(settings: DataSettings, task: Task | None, seed: int) -> TaggedData:
    """Load the tagged documents that `settings` name.

    Raises:
        InputMissing: a file or folder does not exist.
        BadRows: more rows are bad than `on_bad_row` allows.
        DataError: too few documents are left to train on.
        SettingsError: a setting does not fit the task.
    """
    read = read_documents(settings, task)
    held_out = HeldOut.load(Path(settings.split_from)) if settings.split_from is not None else None
    return divide(read, settings, seed, held_out)


def divide(
    read: ReadData, settings: DataSettings, seed: int, held_out: HeldOut | None = None, near: Near | None = None
) -> TaggedData:
    """Order the classes, and give each document a split; the documents are changed.

    Args:
        held_out: what was held out before, which is held out again; shares are drawn of documents that are new then.
        near: finds near-copies; those of test documents are left out of the other splits, and near-copies of one
            another are drawn together.

    Raises:
        DataError: too few documents are left to train on, or held-out documents are missing.
        SettingsError: a setting does not fit the task.
    """
    # Imported here, so that reading does not wait for datasets.
    from tagsmith.data.dataset_folders import dataset_dict

    documents, manual, notes = read.documents, read.manual, list(read.notes)
    schema = Schema(ordered_classes(read.declared, (name for d in documents for name in d.labels)), read.task)
    _require_classes(schema, read.remarks)
    usable, shares = documents, (settings.test_share, settings.validation_share)
    if held_out is None:
        documents, about_splits = assign(documents, _indicators(documents, schema), *shares, seed)
    else:
        new = {id(one) for one in documents if held_out.is_new(one)}
        named = {one.split for one in documents if id(one) in new or not held_out.draws_beside_named}
        to_draw = {split: share for split, share in zip(HELD_OUT, shares, strict=True) if split not in named}
        changed = [*read.unresolved.deleted, *read.unresolved.documents]
        allow_missing = settings.split_from_missing is OnMissing.allow
        documents = hold_out_again(documents, held_out, changed, allow_missing, notes)
        links: list[tuple[Document, Document]] = []
        if near is not None:
            documents, manual, links = leave_out_near_copies(documents, manual, new, near, notes)
        draw_new(documents, _indicators(documents, schema), new, links, to_draw, seed)
        for split in to_draw:
            if drawn := sum(one.split == split for one in documents if id(one) in new):
                of = counted(len(new), "new document")
                notes.append(f"{held_out.setting}: drew {drawn:,} of {of} for the {split} split.")
        documents, about_splits = assign(documents, _indicators(documents, schema), 0.0, 0.0, seed)
    notes += about_splits
    if settings.tagged:
        # After the splits are drawn, so that manual tags move no document from one split to another.
        documents, note = apply_tags(manual, usable, documents)
        notes.append(note)
        if read.not_tagged:
            notes.append(f"data.tagged: {counted(read.not_tagged, 'line')} not tagged yet.")
    _require_enough(documents, schema, read.remarks)
    assign_ids(documents, read.names)
    assign_ids(read.unresolved.documents, read.names)
    contradictory = settle_contradictions(usable, documents, settings.contradictions, read.task, notes)
    notes += _class_notes(documents, schema)
    notes += [read.bad_rows] if read.bad_rows else []
    out_of_scope = read_texts(settings.out_of_scope, settings) if settings.out_of_scope is not None else []
    return TaggedData(
        dataset_dict(documents, schema),
        schema,
        read.problems,
        notes,
        out_of_scope,
        read.unresolved.lines(),
        read.changes,
        contradictory,
        read.sources,
        read.text_fields,
    )


def _indicators(documents: Sequence[Document], schema: Schema) -> NDArray[np.int8]:
    return indicators_of_names([document.labels for document in documents], schema.classes)


def require_unchanged(
    settings: DataSettings, recorded: Fingerprint, changes: dict[str, Any] | None, run: RunFolder
) -> None:
    """Check that the sources hold what they held when the run was made.

    Args:
        recorded: `TaggedData.sources` of that time.
        changes: `TaggedData.changes` of that time as a dict; None where the run uses them whatever the file says now.

    Raises:
        InputMissing: a file or folder does not exist any more.
        DataError: the content of a source has changed.
    """
    from tagsmith.data.dataset_folders import load_documents

    source = read_source(settings)
    changed = changes_since(recorded, settings, source, load_documents(run.data))
    if changes is not None and settings.schema_changes is not None:
        now = SchemaChanges.read(Path(settings.schema_changes)).normalised().as_dict()
        if now != changes:
            changed.append(f"{settings.schema_changes}: other changes of classes")
    if changed:
        headline = (
            f"run={run.path} resumes only with the data that it was made from, which has changed; restore it, name "
            "another run=, or replace the run with overwrite=true instead of resume=true:"
        )
        raise DataError(listing(headline, changed))


def _require_classes(schema: Schema, remarks: Sequence[str]) -> None:
    if schema.task is Task.single_label and len(schema.classes) < 2:
        found = ", ".join(schema.classes) or "none"
        raise too_little(f"Single-label data needs at least two classes, found {found}.", remarks)
    if not schema.classes:
        raise too_little("The data holds no labels; multi-label data needs at least one class.", remarks)


def _require_enough(documents: Sequence[Document], schema: Schema, remarks: Sequence[str]) -> None:
    train = [document for document in documents if document.split == "train"]
    seen = {name for document in train for name in document.labels}
    if not train or len(seen) < (2 if schema.task is Task.single_label else 1):
        message = (
            f"The training split holds {counted(len(train), 'document')} of the classes "
            f"{', '.join(sorted(seen)) or 'none'}, too few to train on. Tag more documents, or lower data.test_share "
            "and data.validation_share."
        )
        raise too_little(message, remarks)


def _class_notes(documents: Sequence[Document], schema: Schema) -> list[str]:
    counts = {
        split: Counter(name for document in documents if document.split == split for name in document.labels)
        for split in SPLITS
    }
    held_out = counts["test"] + counts["validation"]
    unseen = [name for name in schema.classes if not counts["train"][name]]
    notes = []
    if in_test := [name for name in unseen if held_out[name]]:
        found = f"({len(in_test):,}): {', '.join(in_test)}"
        notes.append(f"Classes found only in held-out documents, which the model cannot learn {found}.")
    if nowhere := [name for name in unseen if not held_out[name]]:
        notes.append(f"Declared classes without documents ({len(nowhere):,}): {', '.join(nowhere)}.")
    if counts["test"]:
        untested = [name for name in schema.classes if counts["train"][name] and not counts["test"][name]]
        if untested:
            found = f"({len(untested):,}): {', '.join(untested)}"
            notes.append(f"Classes without test documents, which cannot be evaluated {found}.")
    return notes
