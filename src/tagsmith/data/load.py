"""Read, check, order the classes, split: from a source to the DatasetDict."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from tagsmith.config.settings import (
    AzureSettings,
    ClassNames,
    DataSettings,
    HubSettings,
    OnMissing,
    TableSettings,
    TextFoldersSettings,
)
from tagsmith.core.errors import DataError, InputMissing, counted, listing
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, Task, indicators_of_names, normal_name, ordered_classes
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.data import auto, read_azure, read_hub, read_text_folders
from tagsmith.data.bad_rows import in_order, leave_out, refuse_or_leave_out
from tagsmith.data.changed import Unresolved, change_classes, change_tags
from tagsmith.data.check import check, leave_out_untagged
from tagsmith.data.class_names import folded_name
from tagsmith.data.contradictions import settle_contradictions
from tagsmith.data.dataset_folders import load_documents
from tagsmith.data.documents import Document, Problem, Source, one_name_per_class
from tagsmith.data.fingerprint import Fingerprint, changes_since, fingerprint
from tagsmith.data.held_out import HeldOut, hold_out_again
from tagsmith.data.ids import assign_ids, begin_anew, short_names
from tagsmith.data.read_texts import read_texts
from tagsmith.data.split import assign
from tagsmith.data.tagged import KnownClasses, ManualTags, apply_tags, check_against, read_tagged

SPLITS = ("train", "validation", "test")

READERS: dict[type[DataSettings], Callable[[Any], Source]] = {
    TableSettings: auto.read,
    TextFoldersSettings: read_text_folders.read,
    AzureSettings: read_azure.read,
    HubSettings: read_hub.read,
}


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
    """

    splits: datasets.DatasetDict
    schema: Schema
    rejected: list[Problem]
    notes: list[str]
    out_of_scope: list[str] = field(default_factory=list)
    unresolved: list[dict[str, Any]] = field(default_factory=list)
    changes: SchemaChanges | None = None
    contradictions: list[dict[str, Any]] = field(default_factory=list)
    sources: Fingerprint = field(default_factory=dict)
    text_fields: list[str] = field(default_factory=lambda: ["text"])


def load(settings: DataSettings, task: Task | None, seed: int) -> TaggedData:
    """Load the tagged documents that `settings` name.

    Raises:
        InputMissing: a file or folder does not exist.
        BadRows: more rows are bad than `on_bad_row` allows.
        DataError: too few documents are left to train on.
        SettingsError: a setting does not fit the task.
    """
    source = _read(settings)
    sources = fingerprint(settings, source)
    task = task or source.task
    declared = settings.classes if settings.classes is not None else source.classes
    declared = None if declared is None else [normal_name(name) for name in declared]
    if declared is not None and settings.classes is None:
        declared = list(dict.fromkeys(declared))
    for document in source.documents:
        document.labels = [source.names.name(name) or name for name in document.labels]
    changes = None
    if settings.schema_changes is not None:
        changes = SchemaChanges.read(Path(settings.schema_changes)).normalised()
    unresolved = Unresolved()
    if changes is not None:
        declared = change_classes(source.documents, declared, changes)
        source.documents, unresolved = change_tags(source.documents, task, changes)
    declared = one_name_per_class(source, declared, settings.classes is not None, settings.class_names)
    untagged = leave_out_untagged(source, task)
    notes = begin_anew(source.documents)
    problems = source.problems + check(source.documents, task, declared)
    tags = _manual_tags(settings, source, declared, problems, task, changes)
    problems = in_order(problems + tags.problems, source.documents)
    names = short_names([*source.documents, *tags.documents])
    bad_rows = refuse_or_leave_out(
        settings, problems, [*source.documents, *tags.documents], {problem.file for problem in tags.problems}
    )
    remarks = untagged + [str(problem) for problem in problems]
    if not source.documents:
        raise _too_little("The data holds no documents; check the files that the data. settings name.", remarks)
    if task is None:
        found = f"none of {counted(len(source.documents), 'document')} has one"
        remedy = "set data.label_field to the field of the class, or tag documents first"
        raise _too_little(f"The data holds no labels: {found}; {remedy}.", remarks)
    manual = unresolved.resolve(leave_out(tags.documents, problems))
    documents = [one for one in leave_out(source.documents, problems) if id(one) not in unresolved.pending]
    if not documents:
        raise _too_little("The data holds no usable tagged documents.", remarks)
    schema = Schema(ordered_classes(declared, (name for d in documents for name in d.labels)), task)
    _require_classes(schema, remarks)
    usable, shares = documents, (settings.test_share, settings.validation_share)
    if settings.split_from is not None:
        changed = [*unresolved.deleted, *unresolved.documents]
        allow_missing = settings.split_from_missing is OnMissing.allow
        earlier = HeldOut.load(Path(settings.split_from))
        documents = hold_out_again(documents, earlier, changed, allow_missing, notes)
        shares = (0.0, 0.0)
    has_class = indicators_of_names([document.labels for document in documents], schema.classes)
    documents, about_splits = assign(documents, has_class, *shares, seed)
    notes += about_splits
    if settings.tagged:
        # After the splits are drawn, so that manual tags move no document from one split to another.
        documents, note = apply_tags(manual, usable, documents)
        notes.append(note)
        if tags.untagged:
            notes.append(f"data.tagged: {counted(tags.untagged, 'line')} not tagged yet.")
    _require_enough(documents, schema, remarks)
    assign_ids(documents, names)
    assign_ids(unresolved.documents, names)
    contradictory = settle_contradictions(usable, documents, settings.contradictions, task, notes)
    notes = (
        source.notes + source.names.notes() + unresolved.notes() + untagged + notes + _class_notes(documents, schema)
    )
    notes += [bad_rows] if bad_rows else []
    out_of_scope = read_texts(settings.out_of_scope, settings) if settings.out_of_scope is not None else []
    splits = _dataset_dict(documents, schema)
    return TaggedData(
        splits,
        schema,
        problems,
        notes,
        out_of_scope,
        unresolved.lines(),
        changes,
        contradictory,
        sources,
        source.text_fields,
    )


def _read(settings: DataSettings) -> Source:
    try:
        return READERS[type(settings)](settings)
    except OSError as error:
        raise InputMissing(f"{error.filename}: cannot be read: {error.strerror}.") from error


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
    source = _read(settings)
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


def _manual_tags(
    settings: DataSettings,
    source: Source,
    declared: Sequence[str] | None,
    problems: list[Problem],
    task: Task | None,
    changes: SchemaChanges | None,
) -> ManualTags:
    """What `data.tagged` holds; a class that is neither declared nor used by a usable document is a problem."""
    if not settings.tagged:
        return ManualTags()
    usable = leave_out(source.documents, problems)
    known = set(declared) if declared is not None else {name for document in usable for name in document.labels}
    alike = {folded_name(name): name for name in known} if settings.class_names is ClassNames.merge else {}
    tags = read_tagged(settings.tagged, KnownClasses(known, task, changes, alike))
    tags.problems += check_against(tags.documents, usable)
    return tags


def _too_little(message: str, remarks: Sequence[str]) -> DataError:
    """The error about data that is not enough, with what was left out of it."""
    return DataError(listing(f"{message} Left out of the data:", remarks) if remarks else message)


def _require_classes(schema: Schema, remarks: Sequence[str]) -> None:
    if schema.task is Task.single_label and len(schema.classes) < 2:
        found = ", ".join(schema.classes) or "none"
        raise _too_little(f"Single-label data needs at least two classes, found {found}.", remarks)
    if not schema.classes:
        raise _too_little("The data holds no labels; multi-label data needs at least one class.", remarks)


def _require_enough(documents: Sequence[Document], schema: Schema, remarks: Sequence[str]) -> None:
    train = [document for document in documents if document.split == "train"]
    seen = {name for document in train for name in document.labels}
    if not train or len(seen) < (2 if schema.task is Task.single_label else 1):
        message = (
            f"The training split holds {counted(len(train), 'document')} of the classes "
            f"{', '.join(sorted(seen)) or 'none'}, too few to train on. Tag more documents, or lower data.test_share "
            "and data.validation_share."
        )
        raise _too_little(message, remarks)


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


def _dataset_dict(documents: Sequence[Document], schema: Schema) -> datasets.DatasetDict:
    label = datasets.ClassLabel(names=list(schema.classes))
    features: dict[str, Any] = {
        "id": datasets.Value("string"),
        "text": datasets.Value("string"),
        "labels": datasets.List(label) if schema.multi_label else label,
    }
    for name in ("language", "group"):
        if any(getattr(document, name) is not None for document in documents):
            features[name] = datasets.Value("string")
    ids = schema.label2id
    splits = datasets.DatasetDict()
    for split in SPLITS:
        part = [document for document in documents if document.split == split]
        if not part:
            continue
        columns: dict[str, list[Any]] = {
            name: [getattr(document, name) for document in part] for name in features if name != "labels"
        }
        labels = [sorted(ids[name] for name in document.labels) for document in part]
        columns["labels"] = labels if schema.multi_label else [label[0] for label in labels]
        # Faster than Dataset.from_dict, which inspects each value.
        schema_of_table = datasets.Features({name: features[name] for name in columns}).arrow_schema
        table = pa.table(columns, schema=schema_of_table)
        splits[split] = datasets.Dataset(datasets.table.InMemoryTable(table))
    return splits
