"""A labels file of Azure custom text classification, as its project imports it and as `read_azure.py` reads it."""

from collections.abc import Iterable, Sequence
from typing import Any

from tagsmith.core.schema import Task

KINDS = {Task.single_label: "CustomSingleLabelClassification", Task.multi_label: "CustomMultiLabelClassification"}

VERSION = "2022-05-01"


def labels_file(
    documents: Iterable[tuple[str, Sequence[str] | None]], classes: Sequence[str], task: Task, name: str
) -> dict[str, Any]:
    """The content of the file; which documents test is left to Azure.

    Args:
        documents: the location of each text, and its classes; None: it has no tag.
        name: of the project.
    """
    entries = []
    for location, labels in documents:
        tags = [{"category": label} for label in labels or ()]
        entry: dict[str, Any] = {"location": location, "language": "en-us"}
        if task is Task.multi_label:
            entry["classes"] = tags
        elif tags:
            entry["class"] = tags[0]
        entries.append(entry)
    return {
        "projectFileVersion": VERSION,
        "stringIndexType": "Utf16CodeUnit",
        "metadata": {
            "projectKind": KINDS[task],
            "projectName": name,
            "storageInputContainerName": name,
            "multilingual": True,
            "language": "en-us",
            "settings": {},
        },
        "assets": {
            "projectKind": KINDS[task],
            "classes": [{"category": label} for label in classes],
            "documents": entries,
        },
    }
