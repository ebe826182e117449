"""Rows of the first sheet of a spreadsheet: Excel (.xlsx, .xls) and OpenDocument (.ods)."""

import io
from typing import Any

from tagsmith.core.errors import DataError, SettingsError
from tagsmith.rows.files import File, open_bytes
from tagsmith.rows.table import Rows, Table


def sheet(file: File, kind: str) -> Table:
    """The rows below the first one that is not empty, as text: a spreadsheet stores no more than a CSV file shows.

    Raises:
        SettingsError: python-calamine is not installed.
        DataError: the file is damaged.
    """
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError as error:
        raise SettingsError(f"{file}: {kind} needs python-calamine: pip install 'tagsmith[excel]'.") from error
    try:
        with open_bytes(file) as stream:
            book = CalamineWorkbook.from_filelike(io.BytesIO(stream.read()))
        cells = book.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except CalamineError as error:
        raise DataError(f"{file}: cannot be read as {kind}: {error}.") from error
    filled = [(number, [_text(cell) for cell in row]) for number, row in enumerate(cells, 1)]
    filled = [(number, row) for number, row in filled if any(field.strip() for field in row)]
    columns = tuple(name.strip() for name in filled[0][1]) if filled else ()
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise DataError(f"{file}:{filled[0][0]}: expected each column once, found twice: {', '.join(twice)}.")

    def rows() -> Rows:
        for number, row in filled[1:]:
            yield number, {name: field for name, field in zip(columns, row, strict=True) if name}

    table = Table(kind, columns, len(cells), lambda _: rows())
    if len(book.sheet_names) > 1:
        table.details.append(f"{book.sheet_names[0]!r}, the first of {len(book.sheet_names)} sheets")
    return table


def _text(cell: Any) -> str:
    """The text of a cell: 1.0 as `1`, TRUE as `true`, a date in ISO form."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)
