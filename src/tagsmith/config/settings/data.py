"""Settings of the sources of tagged documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tagsmith.config.settings.fields import REQUIRED, setting


class OnBadRow(Enum):
    """What to do with a row that cannot be used."""

    error = "error"
    skip = "skip"


class LongDocuments(Enum):
    """Which tokens of a document longer than a window are read."""

    head = "head"
    head_tail = "head_tail"
    windows = "windows"


def encoding_problem(name: str) -> str | None:
    """What is wrong with the name of an encoding."""
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return f"expected an encoding that Python knows, such as utf-8 or cp1252, found {name!r}"
    return None


def delimiter_problem(delimiter: str) -> str | None:
    """What is wrong with the delimiter of a table."""
    if len(delimiter) != 1 or delimiter in '\r\n"':
        return f"expected one character, no quote and no line end, found {delimiter!r}"
    return None


@dataclass
class DataSettings:
    """What every source of tagged documents shares."""

    classes: list[str] | None = setting(
        None, "the classes in their order; null: those found in the data, in natural order"
    )
    on_bad_row: OnBadRow = setting(
        OnBadRow.error, "error: stop and list every bad row; skip: leave them out and write them to the run"
    )
    tagged: list[str] | None = setting(
        None,
        "files of scripts/improve.py in which a person has filled in `tag`: these tags replace those of training "
        "documents, or add training documents",
    )
    test_share: float = setting(0.2, "share of the documents drawn as test split where none is given", low=0, high=0.9)
    validation_share: float = setting(
        0.0,
        "share of the training documents drawn as validation split where none is given; 0: none",
        low=0,
        high=0.9,
    )
    out_of_scope: str | None = setting(
        None, "texts of none of the classes (a line each in .txt; .jsonl, .csv or .tsv), to test on; never trained on"
    )
    schema_changes: str | None = setting(
        None, "YAML of classes to rename, merge, split, add or delete; all tags of the data are changed so"
    )
    split_from: str | None = setting(None, "an earlier run whose test and validation documents are used again")
    max_tokens: int | None = setting(
        None, "longest window that is read; null: what the model's settings say", unit="tokens", low=8
    )
    long_documents: LongDocuments = setting(
        LongDocuments.head,
        "a document longer than max_tokens: read its head, its head and tail, or overlapping windows of it",
    )
    window_overlap: int = setting(32, "shared by neighbouring windows", unit="tokens", low=0)
    max_windows: int = setting(8, "most windows read of one document, evenly spread", unit="windows", low=1)

    def problems(self) -> Iterator[str]:
        if self.classes is not None and (not self.classes or len(set(self.classes)) < len(self.classes)):
            yield f"classes: expected null or names that differ from each other, found {self.classes}"
        if self.max_tokens is not None and 2 * self.window_overlap > self.max_tokens:
            yield f"window_overlap: expected at most half of max_tokens={self.max_tokens}, found {self.window_overlap}"


@dataclass
class FileSettings(DataSettings):
    """What sources made of text files share."""

    encoding: str = setting("utf-8", "encoding of the files")
    fallback_encoding: str | None = setting(
        None, "tried on a row or file that is not in `encoding`; null: that is a bad row"
    )

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        for name in ("encoding", "fallback_encoding"):
            value = getattr(self, name)
            if value is not None and (wrong := encoding_problem(value)):
                yield f"{name}: {wrong}"


@dataclass
class TableSettings(FileSettings):
    """Files with a document a row."""

    train: str = setting(REQUIRED, "file of training documents")
    validation: str | None = setting(None, "file of validation documents; null: drawn by validation_share")
    test: str | None = setting(None, "file of test documents; null: drawn by test_share")
    text_field: str = setting("text", "field of the text")
    label_field: str = setting("label", "field of the class")
    id_field: str | None = setting("id", "field of the document's id, used where a row has it")
    language_field: str | None = setting("language", "field of the language, used where a row has it")
    group_field: str | None = setting(
        "group", "field of the group (an author, a thread), used where a row has it; a group is never split"
    )
    split_field: str | None = setting(None, "field that holds train, validation or test; null: none does")


@dataclass
class CsvSettings(TableSettings):
    """Comma- or tab-separated rows below a header line."""

    delimiter: str = setting(",", "character between two fields")
    label_delimiter: str | None = setting(
        None, "text between two classes in the label field; naming one makes the task multi_label"
    )

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if wrong := delimiter_problem(self.delimiter):
            yield f"delimiter: {wrong}"
        if self.label_delimiter == "":
            yield "label_delimiter: expected null or at least one character, found an empty text"


@dataclass
class JsonlSettings(TableSettings):
    """One JSON object a line: `label` (single-label) or a list of `labels` (multi-label)."""

    labels_field: str = setting("labels", "field of the list of classes; its use makes the task multi_label")


@dataclass
class TextFoldersSettings(FileSettings):
    """One folder a class, one text file a document; split folders around the class folders where there are any."""

    path: str = setting(REQUIRED, "the folder; `package:NAME/sub/folder` names one inside an installed package")
    pattern: str = setting("*.txt", "which files are documents")

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        try:
            next(Path("/dev/null").glob(self.pattern), None)
        except (ValueError, NotImplementedError) as error:
            yield f"pattern: expected a pattern such as *.txt or **/*.txt, found {self.pattern!r}: {error}"


@dataclass
class AzureSettings(FileSettings):
    """A labels file of Azure custom text classification with its text files."""

    path: str = setting(REQUIRED, "the labels file (JSON)")
    texts: str | None = setting(None, "folder of the text files; null: the labels file's own")


@dataclass
class HubSettings(DataSettings):
    """A Hugging Face data set: from the hub by name, or a folder saved with `save_to_disk`."""

    name: str | None = setting(None, "name on the hub")
    subset: str | None = setting(None, "configuration of the hub's data set")
    revision: str | None = setting(None, "commit or tag on the hub")
    path: str | None = setting(None, "folder saved with save_to_disk")
    train_split: str = setting("train", "its split with the training documents")
    validation_split: str = setting("validation", "its split with the validation documents, used where it exists")
    test_split: str = setting("test", "its split with the test documents, used where it exists")
    text_field: str = setting("text", "column of the text")
    label_field: str = setting("label", "column of the class, or of the list of classes (multi_label)")
    id_field: str | None = setting("id", "column of the document's id, used where there is one")
    language_field: str | None = setting("language", "column of the language, used where there is one")
    group_field: str | None = setting("group", "column of the group, used where there is one")

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if (self.name is None) == (self.path is None):
            yield f"name, path: expected exactly one of them, found name={self.name} and path={self.path}"
