"""Read and check: from a source to the documents that can be used. Imports neither datasets nor scikit-learn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagsmith.config.settings import (
    AzureSettings,
    ClassNames,
    DataSettings,
    HubSettings,
    TableSettings,
    TextFoldersSettings,
)
from tagsmith.core.errors import DataError, InputMissing, counted, listing
from tagsmith.core.schema import Task, normal_name
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.data import auto, read_azure, read_hub, read_text_folders
from tagsmith.data.bad_rows import in_order, leave_out, refuse_or_leave_out
from tagsmith.data.changed import Unresolved, change_classes, change_tags
from tagsmith.data.check import check, leave_out_untagged
from tagsmith.data.class_names import folded_name
from tagsmith.data.documents import Document, Problem, Source, one_name_per_class
from tagsmith.data.fingerprint import Fingerprint, fingerprint
from tagsmith.data.ids import begin_anew, short_names
from tagsmith.data.tagged import KnownClasses, ManualTags, check_against, read_tagged

READERS: dict[type[DataSettings], Callable[[Any], Source]] = {
    TableSettings: auto.read,
    TextFoldersSettings: read_text_folders.read,
    AzureSettings: read_azure.read,
    HubSettings: read_hub.read,
}


@dataclass(frozen=True)
class ReadData:
    """Documents that can be used; none of them has been given a split that the source does not name.

    Attributes:
        documents: without problems, each with at least one label in single-label data.
        manual: the tags that `data.tagged` gives, without those of split classes, which `documents` have.
        not_tagged: lines of `data.tagged` without a tag so far.
        declared: the classes that are declared, in their order, if any.
        unresolved: documents whose tags do not follow from `data.schema_changes`.
        problems: rows that cannot be used, in the order of the files.
        remarks: what was left out, one line each, for errors about too little data.
        notes: remarks for the user, one line each.
        bad_rows: the remark on the bad rows that were left out.
        names: see `ids.short_names`.
        sources: the content of the files, as rows and SHA-256.
    """

    documents: list[Document]
    manual: list[Document]
    not_tagged: int
    task: Task
    declared: list[str] | None
    unresolved: Unresolved
    changes: SchemaChanges | None
    problems: list[Problem]
    remarks: list[str]
    notes: list[str]
    bad_rows: str | None
    names: dict[str, str]
    sources: Fingerprint
    text_fields: list[str]


def read_documents(settings: DataSettings, task: Task | None) -> ReadData:
    """Read the documents that `settings` name, and leave out those that cannot be used.

    Raises:
        InputMissing: a file or folder does not exist.
        BadRows: more rows are bad than `on_bad_row` allows.
        DataError: no tagged documents are left.
        SettingsError: a setting does not fit the task.
    """
    source = read_source(settings)
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
        raise too_little("The data holds no documents; check the files that the data. settings name.", remarks)
    if task is None:
        found = f"none of {counted(len(source.documents), 'document')} has one"
        found += f"; the fields are {', '.join(source.fields)}" if source.fields else ""
        remedy = "set data.label_field to the field of the class, or tag documents first"
        raise too_little(f"The data holds no labels: {found}; {remedy}.", remarks)
    manual = unresolved.resolve(leave_out(tags.documents, problems))
    documents = [one for one in leave_out(source.documents, problems) if id(one) not in unresolved.pending]
    if not documents:
        raise too_little("The data holds no usable tagged documents.", remarks)
    notes = source.notes + source.names.notes() + unresolved.notes() + untagged + notes
    return ReadData(
        documents,
        manual,
        tags.untagged,
        task,
        declared,
        unresolved,
        changes,
        problems,
        remarks,
        notes,
        bad_rows,
        names,
        sources,
        source.text_fields,
    )


def read_source(settings: DataSettings) -> Source:
    """What the reader of these settings finds. Raises: InputMissing where a file cannot be read."""
    try:
        return READERS[type(settings)](settings)
    except OSError as error:
        raise InputMissing(f"{error.filename}: cannot be read: {error.strerror}.") from error


def too_little(message: str, remarks: Sequence[str]) -> DataError:
    """The error about data that is not enough, with what was left out of it."""
    return DataError(listing(f"{message} Left out of the data:", remarks) if remarks else message)


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
