"""Settings of the sources of tagged documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from tagsmith.config.settings.fields import REQUIRED, names, setting


class OnBadRow(Enum):
    """What to do with rows that cannot be used."""

    skip_few = "skip_few"
    skip = "skip"
    error = "error"


class Contradictions(Enum):
    """What to do with documents that have the same text and different labels."""

    keep = "keep"
    unite = "unite"


class OnMissing(Enum):
    """What to do where held-out documents of an earlier run are not in the data."""

    error = "error"
    allow = "allow"


class ClassNames(Enum):
    """Whether class names that differ by case or accents alone are different classes, or spellings of one."""

    exact = "exact"
    merge = "merge"


class LongDocuments(Enum):
    """Which tokens are read of a document that is longer than a window."""

    head = "head"
    head_tail = "head_tail"
    windows = "windows"


def reading_problems(settings: Any, *files: str) -> Iterator[str]:
    """What is wrong with how files of rows are to be read.

    Args:
        settings: with `text_field`, `encoding`, `delimiter` and `fallback_encoding`, where it has them.
        files: names of its settings that take a file or a list of files.
    """
    for name in (*files, "text_field"):
        value = getattr(settings, name, "")
        if value == []:
            yield f"{name}: expected a name or a list of names, found none"
    for name in ("encoding", "fallback_encoding"):
        if (value := getattr(settings, name, None)) is not None:
            try:
                "".encode(value)
            except (LookupError, ValueError):
                yield f"{name}: expected an encoding known to Python, such as utf-8 or cp1252, found {value!r}"
    delimiter = getattr(settings, "delimiter", None)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n"'):
        yield f"delimiter: expected one character other than a quote or line end, found {delimiter!r}"


@dataclass
class DataSettings:
    """Settings shared by all sources of tagged documents."""

    classes: list[str] | None = setting(
        None, "the classes in their order; null: those found in the data, in natural order"
    )
    class_names: ClassNames | None = setting(
        None,
        "class names that differ by case or accents alone; exact: keep them apart; merge: use the commonest spelling, "
        "or the declared one; null: stop and list them",
    )
    on_bad_row: OnBadRow = setting(
        OnBadRow.skip_few,
        "rows that cannot be used; skip_few: leave up to max_bad_share of them out and write them to the run, stop and "
        "list them where there are more; skip: leave out any number; error: stop at one",
    )
    max_bad_share: float = setting(
        0.01,
        "share of rows, in all and in each file, that on_bad_row=skip_few leaves out, rounded up to a whole row",
        low=0,
        high=1,
    )
    contradictions: Contradictions = setting(
        Contradictions.keep,
        "documents with the same text and different labels; keep: leave them as they are; unite: give them all labels "
        "of that text (multi_label)",
    )
    tagged: list[str] | None = setting(
        None,
        "files of scripts/improve.py with `tag` filled in: these tags replace those of training documents, or add "
        "training documents",
        reads=True,
    )
    test_share: float = setting(
        0.2,
        "share of the documents drawn as the test split where the data has none; with split_from, of the new documents",
        low=0,
        high=0.9,
    )
    validation_share: float = setting(
        0.0,
        "share of the training documents drawn as the validation split where the data has none, with split_from of the "
        "new ones; 0: none",
        low=0,
        high=0.9,
    )
    out_of_scope: str | None = setting(
        None,
        "file of texts that belong to no class (.txt with a text per line, or rows in any format), only for evaluation",
        reads=True,
    )
    pool: str | list[str] | None = setting(
        None,
        "files of untagged texts (as of out_of_scope), on which train=distill learns from its teacher; copies and "
        "near-copies of held-out documents are left out",
        reads=True,
    )
    schema_changes: str | None = setting(
        None,
        "YAML of classes to rename, merge, split, add or delete; it is applied to all tags of the data",
        reads=True,
    )
    split_from: str | None = setting(
        None,
        "earlier run whose test and validation documents are reused; test_share draws further ones of the documents "
        "that it did not have",
        reads=True,
    )
    split_from_missing: OnMissing = setting(
        OnMissing.error, "where some of those documents are not in the data; error: list them; allow: use the others"
    )
    max_tokens: int | None = setting(None, "length of a window; null: model.max_tokens", unit="tokens", low=8)
    long_documents: LongDocuments = setting(
        LongDocuments.head,
        "what to read of a document longer than max_tokens: its head, its head and tail, or overlapping windows",
    )
    window_overlap: int = setting(32, "overlap of neighbouring windows", unit="tokens", low=0)
    max_windows: int = setting(8, "maximum number of windows per document, evenly spaced", unit="windows", low=1)

    def problems(self) -> Iterator[str]:
        if self.classes is not None and (not self.classes or len(set(self.classes)) < len(self.classes)):
            yield f"classes: expected null or distinct names, found {self.classes}"
        if self.max_tokens is not None and 2 * self.window_overlap > self.max_tokens:
            yield f"window_overlap: expected at most half of max_tokens={self.max_tokens}, found {self.window_overlap}"


@dataclass
class FileSettings(DataSettings):
    """Settings shared by sources that consist of text files."""

    encoding: str | None = setting(None, "encoding of the files; null: UTF-8, or what a file looks like")
    fallback_encoding: str | None = setting(
        None, "encoding of rows or files that `encoding` cannot decode; null: they are bad rows"
    )

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        named = [name for name in ("train", "validation", "test") if getattr(self, name, None) is not None]
        yield from reading_problems(self, *named)


@dataclass
class TableSettings(FileSettings):
    """Files with one document per row, in any format: a name, a list of names, a folder, a pattern, `-`."""

    train: str | list[str] = setting(
        REQUIRED, "file of training documents; a list, a folder or a pattern names several", reads=True
    )
    validation: str | list[str] | None = setting(
        None, "file of validation documents; null: drawn by validation_share", reads=True
    )
    test: str | list[str] | None = setting(None, "file of test documents; null: drawn by test_share", reads=True)
    text_field: str | list[str] = setting(
        "text", "field of the text; the texts of a list of fields are joined by a line end"
    )
    label_field: str | None = setting("label", "field of the class, or of a list of classes (multi_label)")
    labels_field: str = setting("labels", "another field of the class or of a list of classes, where a row has it")
    label_columns: list[str] | None = setting(
        None, "fields of 0 and 1, one for each class, or patterns such as is_*, in place of label_field"
    )
    label_delimiter: str | None = setting(
        None, "text between two classes in the label field; if set, the task is multi_label"
    )
    id_field: str | None = setting("id", "field of the document's id, where a row has one")
    language_field: str | None = setting("language", "field of the language, where a row has one")
    group_field: str | None = setting(
        "group", "field of the group (an author, a thread), where a row has one; a group stays in one split"
    )
    split_field: str | None = setting(None, "field with the values train, validation or test; null: there is none")
    delimiter: str | None = setting(
        None, "character between two fields of a table; null: the one that the header line has"
    )

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        named = (self.train, self.validation, self.test, self.out_of_scope)
        if sum(names(value).count("-") for value in named if value is not None) > 1:
            yield "train: expected standard input (-) once, found it in several settings, but it can be read only once"
        if self.label_delimiter == "":
            yield "label_delimiter: expected null or at least one character, found an empty text"


@dataclass
class TextFoldersSettings(FileSettings):
    """One folder per class, one text file per document; class folders may be inside folders named after splits."""

    path: str = setting(
        REQUIRED, "the folder; `package:NAME/sub/folder` is a folder inside an installed package", reads=True
    )
    pattern: str = setting("*.txt", "pattern of the files that are documents")

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        try:
            next(Path("/dev/null").glob(self.pattern), None)
        except (ValueError, NotImplementedError) as error:
            yield f"pattern: expected a pattern such as *.txt or **/*.txt, found {self.pattern!r}: {error}"


@dataclass
class AzureSettings(FileSettings):
    """A labels file of Azure custom text classification with its text files."""

    path: str = setting(REQUIRED, "the labels file (JSON)", reads=True)
    texts: str | None = setting(None, "folder of the text files; null: that of the labels file", reads=True)


@dataclass
class HubSettings(DataSettings):
    """A Hugging Face data set: from the hub by name, a copy of one, or a folder saved with `save_to_disk`."""

    name: str | None = setting(None, "name on the hub")
    subset: str | None = setting(None, "configuration of the data set on the hub")
    revision: str | None = setting(None, "commit or tag on the hub")
    path: str | None = setting(None, "folder saved with save_to_disk, or a copy of a data set of the hub", reads=True)
    train_split: str = setting("train", "split with the training documents")
    validation_split: str = setting("validation", "split with the validation documents, where there is one")
    test_split: str = setting("test", "split with the test documents, where there is one")
    text_field: str | list[str] = setting(
        "text", "column of the text; the texts of a list of columns are joined by a line end"
    )
    label_field: str = setting("label", "column of the class, or of the list of classes (multi_label)")
    label_columns: list[str] | None = setting(
        None, "columns of 0 and 1, one for each class, or patterns such as is_*, in place of label_field"
    )
    id_field: str | None = setting("id", "column of the document's id, where there is one")
    language_field: str | None = setting("language", "column of the language, where there is one")
    group_field: str | None = setting("group", "column of the group, where there is one")

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        yield from reading_problems(self)
        if (self.name is None) == (self.path is None):
            yield f"name, path: expected exactly one of them, found name={self.name} and path={self.path}"
