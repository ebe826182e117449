"""Tagged documents from comma- or tab-separated files: a header line, then one document per row."""

from pathlib import Path

from tagsmith.config.settings import CsvSettings
from tagsmith.core.errors import DataError
from tagsmith.core.rows import BadRow, delimited
from tagsmith.core.schema import Task
from tagsmith.data.documents import Source, SourceRow, split_files


def read(settings: CsvSettings) -> Source:
    """Read the files that the settings name; setting a label delimiter makes the task multi_label.

    Raises:
        InputMissing: a file does not exist.
        DataError: a file has no header with the required columns.
    """
    source = Source(task=Task.multi_label if settings.label_delimiter else Task.single_label)
    for path, split in split_files(settings):
        _read_file(path, split, settings, source)
    return source


def _read_file(path: Path, split: str | None, settings: CsvSettings, source: Source) -> None:
    rows = delimited(path, settings.delimiter, settings.encoding, settings.fallback_encoding)
    _, header = next(rows)
    wanted = [settings.text_field, settings.label_field, *filter(None, [settings.split_field])]
    found = [] if isinstance(header, BadRow) else list(header)
    if missing := [name for name in wanted if name not in found]:
        other = next((mark for mark in ";\t|," if len(found) == 1 and mark in found[0]), None)
        remedy = f"set 'data.delimiter=\"{other}\"'" if other else "set data.text_field and data.label_field"
        raise DataError(
            f"{path}: expected the columns {', '.join(wanted)}; missing {', '.join(missing)}; "
            f"found {', '.join(found) or 'no header line'}; {remedy}."
        )
    for number, record in rows:
        if isinstance(record, BadRow):
            source.bad_row(str(path), number, record)
            continue
        tags = record[settings.label_field]
        labels = tags.split(settings.label_delimiter) if settings.label_delimiter else [tags]
        if not tags.strip():
            labels = []  # An empty field names no class; an empty part between two delimiters is a mistake.
        SourceRow(source, str(path), number, record).add(settings, labels, split, settings.split_field)
