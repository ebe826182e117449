"""Open a file of rows: its content decides the format, and its name where the content does not."""

from tagsmith.core.errors import DataError, InputMissing
from tagsmith.rows.columnar import columnar
from tagsmith.rows.delimited import delimited
from tagsmith.rows.fasttext import PREFIX, labelled_lines
from tagsmith.rows.files import File, kind_of, open_bytes
from tagsmith.rows.json_rows import json_table
from tagsmith.rows.sheets import sheet
from tagsmith.rows.table import Reading, Table

MEDIA_TYPE = b"application/vnd.oasis.opendocument"


def open_table(file: File, how: Reading) -> Table:
    """The rows of a file in any of the formats.

    Raises:
        InputMissing: the file cannot be opened.
        SettingsError: a package for this format is not installed.
        DataError: the file is damaged, or has no rows.
    """
    try:
        with open_bytes(file) as stream:
            first = stream.read(4096)
        return _open(file, how, first)
    except EOFError as error:
        raise DataError(f"{file}: the compressed file ends too early.") from error
    except OSError as error:
        raise InputMissing(f"{file}: cannot be read: {error.strerror or error}.") from error


def _open(file: File, how: Reading, first: bytes) -> Table:
    kind = kind_of(file.name)
    if first.startswith(b"PAR1"):
        return columnar(file, "Parquet")
    if first.startswith(b"ARROW1") or first.startswith(b"\xff\xff\xff\xff"):
        return columnar(file, "Arrow")
    if first.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        # The first entry of an OpenDocument is its media type, as plain text.
        return sheet(file, "OpenDocument" if kind == "OpenDocument" or MEDIA_TYPE in first[:128] else "Excel")
    if kind in ("Parquet", "Arrow"):
        return columnar(file, kind)
    text = first.removeprefix(b"\xef\xbb\xbf").lstrip().replace(b"\0", b"")
    if kind in ("JSON", "JSON Lines") or (kind is None and text.startswith((b"{", b"["))) or text.startswith(b'{"'):
        return json_table(file, how)
    if text.startswith(PREFIX.encode()):
        return labelled_lines(file, how)
    return delimited(file, how)
