"""Tagged documents from comma- or tab-separated files: a header line, then a document a row."""

import csv
from collections.abc import Iterator
from pathlib import Path

from tagsmith.data.documents import (
    Document,
    Source,
    as_text,
    label_list,
    locate,
    split_name,
    text_lines,
    unreadable,
)
from tagsmith.errors import DataError
from tagsmith.schema import Task
from tagsmith.settings import CsvSettings

csv.field_size_limit(2**31 - 1)  # The default of 131,072 characters is less than a long document has.


def read(settings: CsvSettings) -> Source:
    """Read the files that the settings name; naming a label delimiter makes the task multi_label."""
    source = Source(task=Task.multi_label if settings.label_delimiter else Task.single_label)
    for split in ("train", "validation", "test"):
        if name := getattr(settings, split):
            # Training rows may be divided further; rows of a file that is named as test are test documents.
            _read_file(locate(name, f"data.{split}"), None if split == "train" else split, settings, source)
    return source


def rows(path: Path, settings: CsvSettings, source: Source) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of the line on which each ends; what cannot be parsed becomes a problem."""
    reader = csv.reader(
        text_lines(path, settings.encoding, settings.fallback_encoding), delimiter=settings.delimiter, strict=True
    )
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            source.problem(str(path), reader.line_num, f"not a row of delimited fields: {error}")
            continue
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not in {settings.encoding} ({error.reason}); set data.encoding.") from error
        if row:
            yield reader.line_num, row


def _read_file(path: Path, split: str | None, settings: CsvSettings, source: Source) -> None:
    table = rows(path, settings, source)
    header = [name.strip() for name in next(table, (0, []))[1]]
    wanted = [settings.text_field, settings.label_field, *filter(None, [settings.split_field])]
    if missing := [name for name in wanted if name not in header]:
        raise DataError(
            f"{path}: expected the columns {', '.join(wanted)}; missing {', '.join(missing)}; "
            f"found {', '.join(header) or 'an empty file'}. Name them with data.text_field=, data.label_field=."
        )
    for number, row in table:
        if unreadable("".join(row)):
            source.problem(str(path), number, f"not in {settings.encoding}; set data.encoding", row)
            continue
        if len(row) != len(header):
            source.problem(str(path), number, f"expected {len(header)} fields, found {len(row)}", row)
            continue
        record = dict(zip(header, row, strict=True))
        tags = record[settings.label_field]
        values = tags.split(settings.label_delimiter) if settings.label_delimiter else [tags]
        labels = label_list(source, str(path), number, values, row)
        problems = len(source.problems)
        named = split_name(source, str(path), number, record[settings.split_field]) if settings.split_field else None
        if labels is None or len(source.problems) > problems:
            continue
        source.documents.append(
            Document(
                str(path),
                number,
                record[settings.text_field],
                labels,
                split or named,
                as_text(record.get(settings.id_field or "")),
                as_text(record.get(settings.language_field or "")),
                as_text(record.get(settings.group_field or "")),
            )
        )
