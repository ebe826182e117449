"""Tagged documents from files of rows in any format: a text, and a label or a list of labels, per row."""

from itertools import chain, islice
from typing import Any

from tagsmith.config.settings import TableSettings
from tagsmith.config.settings.fields import names
from tagsmith.data.columns import Survey, with_columns
from tagsmith.data.documents import Source, SourceRow
from tagsmith.data.exports.collect import Collected
from tagsmith.data.exports.recognise import Asked, recognise
from tagsmith.data.labels import cell_of_columns, matching_columns
from tagsmith.rows.fields import ABSENT, value_of
from tagsmith.rows.files import File, files_of
from tagsmith.rows.open import open_table
from tagsmith.rows.table import BadRow, ReadAs, Reading, Table, reading_note

SPLITS = ("train", "validation", "test")

PEEKED = 200
"""Rows that show of which tool a file is an export, and which fields its rows have."""


def read(settings: TableSettings) -> Source:
    """Read the files that the settings name; a list of labels, or a label delimiter, makes the task multi_label.

    The first note says as what the files were read.

    Raises:
        InputMissing: a file does not exist.
        DataError: a file has no rows, or not the columns of the settings; or labels are vectors of undeclared classes.
    """
    source = Source()
    read_as: list[ReadAs] = []
    opened: dict[str, list[tuple[File, Table]]] = {}
    how = Reading(settings.delimiter, settings.encoding, settings.fallback_encoding)
    for split in SPLITS:
        if (named := getattr(settings, split)) is not None:
            files, notes = files_of(named, f"data.{split}")
            source.notes += notes
            opened[split] = [(file, open_table(file, how)) for file in files]
    survey = Survey([table for tables in opened.values() for _, table in tables])
    for split, tables in opened.items():
        collected = Collected(source)
        # The training file may have a column of splits.
        of_all = None if split == "train" else split
        for file, table in tables:
            read_as.append(_read_file(file, table, of_all, settings, collected, survey))
        collected.settle(settings, of_all)
    source.notes.insert(0, reading_note(read_as))
    source.read_labels(settings.classes, settings.label_delimiter)
    return source


def _read_file(
    file: File, table: Table, split: str | None, settings: TableSettings, collected: Collected, survey: Survey
) -> ReadAs:
    source = collected.source
    rows = table.rows()
    first = list(islice(rows, PEEKED))
    shown = [record for _, record in first if isinstance(record, dict)]
    asked = Asked(str(file), names(settings.text_field), settings.label_field, settings.label_delimiter)
    export = recognise(shown, asked, table.columns)
    if export is None:
        settings = with_columns(file, table, shown, settings, survey)
        source.fields |= dict.fromkeys(chain.from_iterable(shown))
    columns = _label_columns(file, table.columns or tuple(dict.fromkeys(chain.from_iterable(shown))), settings)
    if table.columns is not None and export is not None and not export.has_header:
        first.insert(0, (1, dict(zip(table.columns, table.columns, strict=True))))
    for number, record in chain(first, rows):
        if isinstance(record, BadRow):
            source.bad_row(str(file), number, record)
        elif export is not None:
            collected.add(export, str(file), number, record)
        else:
            row = SourceRow(source, str(file), number, record)
            row.add(settings, _cell(row, settings, columns), split, settings.split_field)
    source.notes += table.notes
    return ReadAs(str(file), export.tool if export else table.format, tuple(table.details))


def _label_columns(file: File, columns: tuple[str, ...], settings: TableSettings) -> list[str]:
    if settings.label_columns is None:
        return []
    return matching_columns(settings.label_columns, columns, str(file))


def _cell(row: SourceRow, settings: TableSettings, columns: list[str]) -> Any:
    """The label cell of a row; two of them are a problem."""
    if columns:
        return cell_of_columns(row.content, columns)
    fields = list(dict.fromkeys(filter(None, (settings.label_field, settings.labels_field))))
    values = [value for name in fields if (value := value_of(row.content, name)) not in (ABSENT, None, "")]
    if len(values) > 1:
        row.problem(f"expected either {' or '.join(fields)}, found both")
    return values[0] if values else None
