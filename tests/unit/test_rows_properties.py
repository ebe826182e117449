"""Whatever a file of rows contains, no row is lost, merged or moved without a word."""

import csv
import io
import json
import re
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tagsmith.rows.json_rows import json_lines
from tagsmith.rows.table import BadRow, Rows
from tests.properties import repeatable
from tests.unit.test_rows import delimited

LINE_END = re.compile(r"\r\n|\r|\n")
# Half of all characters mean something in these files; the others are any but halves of surrogate pairs.
SYNTAX = st.sampled_from("\"',;|\\\t\n\r\0\x85\u2028\ufeff {}[]:")
OTHERS = st.integers(0, 0x10FFFF - 0x800).map(lambda code: chr(code if code < 0xD800 else code + 0x800))
TEXT = st.text(SYNTAX | OTHERS, max_size=12)
NAMES = TEXT.map(lambda name: name.replace("\ufeff", "").strip() or "name")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)


def read_back(content: bytes, reader: Any, *args: Any) -> list[tuple[int, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows")
        path.write_bytes(content)
        rows: Rows = reader(path, *args)
        return list(rows)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    header = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    row = st.lists(TEXT, min_size=len(header), max_size=len(header))
    return header, draw(st.lists(row, max_size=4))


@pytest.mark.slow
@repeatable
@given(tables(), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n", "\r"]))
def test_delimited_rows_of_any_text_come_back_with_the_number_of_their_last_line(
    table: tuple[list[str], list[list[str]]], delimiter: str, line_end: str
) -> None:
    header, rows = table
    fields = [field for row in [header, *rows] for field in row]
    # A line inside of a field that has all fields, an empty row and a header that comes again are no rows.
    assume(not any(delimiter in field for field in fields))
    assume(all(any(field.strip() for field in row) and [f.strip() for f in row] != header for row in [*rows, ["x"]]))
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    expected: list[tuple[int, dict[str, str]]] = []
    for row in [header, *rows]:
        writer.writerow(row)
        expected.append((len(LINE_END.findall(file.getvalue())), dict(zip(header, row, strict=True))))
    (_, names), *found = read_back(file.getvalue().encode(), delimited, delimiter)
    assert (names, found) == (expected[0][1], expected[1:])


@pytest.mark.slow
@repeatable
@given(st.text('ab",\n\r ', max_size=60))
def test_no_character_of_a_broken_table_is_lost_or_read_twice(body: str) -> None:
    (first, header), *rows = read_back(f"x,y\n{body}".encode(), delimited, ",")
    assert (first, header) == (1, {"x": "x", "y": "y"})
    shown = "".join(row.content if isinstance(row, BadRow) else row["x"] + row["y"] for _, row in rows)
    assert re.sub("[^ab]", "", shown) == re.sub("[^ab]", "", body)
    assert all(before < after for (before, _), (after, _) in pairwise([(1, None), *rows]))


@pytest.mark.slow
@repeatable
@given(
    st.lists(st.dictionaries(TEXT, JSON, max_size=3), max_size=4),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\n \t\n"]),
    st.booleans(),
)
def test_json_objects_come_back_with_the_number_of_their_line(
    records: list[dict[str, Any]], between: str, ascii_only: bool
) -> None:
    content = between.join(json.dumps(record, ensure_ascii=ascii_only) for record in records)
    lines = len(LINE_END.findall(between))
    assert read_back(content.encode(), json_lines) == [(1 + i * lines, record) for i, record in enumerate(records)]


@repeatable
@given(st.binary(max_size=80) | st.text('{}":a1\n\r \x85\u2028', max_size=80).map(str.encode))
def test_every_line_that_is_not_empty_is_one_row_of_json_or_one_bad_row(content: bytes) -> None:
    content = content.lstrip(b"\xff\xfe\xef\xbb\xbf")  # Byte-order marks have tests of their own.
    lines = LINE_END.split(content.decode(errors="surrogateescape"))
    rows = read_back(content, json_lines)
    assert [number for number, _ in rows] == [i for i, line in enumerate(lines, 1) if line.strip()]
    assert all(row.content.rstrip("\r\n") == lines[i - 1] for i, row in rows if isinstance(row, BadRow))
