"""Folders that `save_to_disk` of `datasets` wrote: read whole, or refused with a message that names them."""

from itertools import chain
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetsError

from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.schema import Schema

DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError, DatasetsError)
"""What `datasets` raises, depending on what is wrong with a stored data set or with what the hub sends."""

RESTORE = "restore it from a copy, or train anew with overwrite=true"


def load_documents(folder: Path, schema: Schema | None = None) -> datasets.DatasetDict:
    """The documents of a run by split, every value of them checked; `schema` None: of whatever classes.

    Raises:
        InputMissing: there is no such folder.
        DataError: the folder is damaged, or its classes are not those of the schema.
    """
    if not folder.is_dir():
        raise InputMissing(f"{folder}: does not exist; expected the documents of a run; {RESTORE}.")
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
    if not isinstance(splits, datasets.DatasetDict) or not {"train"} <= splits.keys() <= {
        "train",
        "validation",
        "test",
    }:
        return "something else than train and, where it has them, validation and test"
    for name, part in splits.items():
        if missing := {"id", "text", "labels"} - set(part.column_names):
            return f"no column {', '.join(sorted(missing))} in {name}"
        # Files are mapped, not read: without this, a damaged one would be met in the middle of the work.
        part.data.validate(full=True)
        if not len(part) or any(part.data.column(column).null_count for column in ("id", "text", "labels")):
            return f"no documents, or empty fields, in {name}"
        feature = part.features["labels"]
        many = isinstance(feature, datasets.List)
        classes = (feature.feature if many else feature).names
        if schema is not None and (tuple(classes) != schema.classes or many != schema.multi_label):
            return f"other classes in {name} than in the schema.json beside it"
        labels = part[:]["labels"]
        if unknown := set(chain.from_iterable(labels) if many else labels) - set(range(len(classes))):
            return f"class ids in {name} beyond its {len(classes)} classes, such as {min(unknown)}"
    return None
