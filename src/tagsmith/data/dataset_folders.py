"""The documents of a run as a `DatasetDict`: made of documents, or loaded from its folder and checked."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.exceptions import DatasetsError

from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.schema import Schema
from tagsmith.data.documents import Document

DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError, DatasetsError)
"""What `datasets` raises for a damaged data set, stored or from the hub."""

RESTORE = "restore it from a backup, or train again with overwrite=true"


def load_documents(folder: Path, schema: Schema | None = None) -> datasets.DatasetDict:
    """The documents of a run by split, every value checked.

    Args:
        schema: the classes that the documents must have; None allows any.

    Raises:
        InputMissing: the folder does not exist.
        DataError: the folder is damaged, or its classes differ from the schema's.
    """
    if not folder.is_dir():
        raise InputMissing(f"{folder}: expected the documents of a run, but the folder does not exist; {RESTORE}.")
    try:
        splits = datasets.load_from_disk(str(folder))
        problem = _problem(splits, schema)
    except DAMAGED as error:
        problem = repr(error)
    if problem:
        raise DataError(f"{folder}: expected the documents of a run, found {problem}; {RESTORE}.")
    return splits


def _problem(splits: Any, schema: Schema | None) -> str | None:
    """What is wrong with the documents of a run."""
    if not isinstance(splits, datasets.DatasetDict):
        return "no splits"
    if not {"train"} <= splits.keys() <= {"train", "validation", "test"}:
        return f"the splits {', '.join(splits)} instead of train, validation and test"
    for name, part in splits.items():
        if missing := {"id", "text", "labels"} - set(part.column_names):
            return f"no column {', '.join(sorted(missing))} in {name}"
        # Files are memory-mapped: without this check, damage would surface in the middle of the work.
        part.data.validate(full=True)
        if not len(part) or any(part.data.column(column).null_count for column in ("id", "text", "labels")):
            return f"no documents, or empty fields, in {name}"
        feature = part.features["labels"]
        many = isinstance(feature, datasets.List)
        classes = (feature.feature if many else feature).names
        if schema is not None and (tuple(classes) != schema.classes or many != schema.multi_label):
            return f"classes in {name} that differ from those in schema.json"
        labels = part[:]["labels"]
        if unknown := set(chain.from_iterable(labels) if many else labels) - set(range(len(classes))):
            return f"class ids in {name} that are out of range for {len(classes)} classes, such as {min(unknown)}"
    return None


def dataset_dict(documents: Sequence[Document], schema: Schema) -> datasets.DatasetDict:
    """The documents by split; a split without documents is left out."""
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
    for split in ("train", "validation", "test"):
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
