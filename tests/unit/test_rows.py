import json
from pathlib import Path
from typing import Any

import pytest

from tagsmith.core.errors import DataError
from tagsmith.core.text import decode, is_broken
from tagsmith.rows import delimited as delimited_files
from tagsmith.rows.json_rows import json_table
from tagsmith.rows.table import BadRow, Reading, Rows


def json_lines(path: Path, encoding: str = "utf-8", fallback: str | None = None) -> Rows:
    return json_table(path, Reading(None, encoding, fallback)).rows()


def delimited(path: Path, delimiter: str, encoding: str = "utf-8", fallback: str | None = None) -> Rows:
    """The header and the rows below it."""
    table = delimited_files.delimited(path, Reading(delimiter, encoding, fallback))
    yield min(1, table.places), {name: name for name in table.columns or ()}
    yield from table.rows()


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "rows.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def json_rows(folder: Path, content: str | bytes, *args: Any) -> list[tuple[int, Any]]:
    return list(json_lines(written(folder, content), *args))


def csv_rows(folder: Path, content: str | bytes, *args: Any, delimiter: str = ",") -> list[tuple[int, Any]]:
    return list(delimited(written(folder, content), delimiter, *args))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_json_rows_carry_the_number_of_their_line(tmp_path: Path, end: str) -> None:
    content = end.join(['{"a": 1}', "", "  \t ", '{"a": 2}'])
    assert json_rows(tmp_path, content) == [(1, {"a": 1}), (4, {"a": 2})]


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", " "])
def test_a_file_without_json_has_no_rows(tmp_path: Path, content: str) -> None:
    assert json_rows(tmp_path, content) == []


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_line_feeds_and_carriage_returns_end_a_json_line(tmp_path: Path, character: str) -> None:
    content = json.dumps({"a": character}, ensure_ascii=False) + "\n" + '{"a": 2}'
    rows = json_rows(tmp_path, content)
    assert [number for number, _ in rows] == [1, 2]
    assert rows[1] == (2, {"a": 2})


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_the_first_json_row(tmp_path: Path, encoding: str) -> None:
    assert json_rows(tmp_path, b'\xef\xbb\xbf{"a": "\xc3\xa9"}', encoding) == [(1, {"a": "é"})]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("nope", "not a JSON object: Expecting value: line 1 column 1 (char 0)"),
        ('{"a": 1', "not a JSON object: Expecting ',' delimiter"),
        ('{"a": "1}', "not a JSON object: Invalid control character"),  # the line feed stands in the string
        ("{'a': 1}", "not a JSON object: Expecting property name"),
        ('{"a": 1,}', "not a JSON object: "),
        ("{} {}", "not a JSON object: Extra data"),
        ('{"a": "b\0c"}', "not a JSON object: Invalid control character"),
        ('{"a": "b\tc"}', "not a JSON object: Invalid control character"),
        ('{"a": "\\x41"}', "not a JSON object: Invalid \\escape"),
        ("\0\0", "not a JSON object: "),
        ("[" * 100_000, "not a JSON object: "),
        ('{"a": ' + "9" * 5_000 + "}", "not a JSON object: "),
        ("[1]", "expected a JSON object, found '[1]'"),
        ('"text"', "expected a JSON object, found '\"text\"'"),
        ("1.5", "expected a JSON object, found '1.5'"),
        ("null", "expected a JSON object, found 'null'"),
        ("true", "expected a JSON object, found 'true'"),
        ("NaN", "expected a JSON object, found 'NaN'"),
    ],
    ids=lambda value: value[:20].replace("\0", "NUL"),
)
def test_a_line_that_is_no_json_object_is_a_bad_row_with_its_content(tmp_path: Path, line: str, what: str) -> None:
    before, bad, after = json_rows(tmp_path, '{"a": 1}\n' + line + '\n{"a": 3}\n')
    assert (before, after) == ((1, {"a": 1}), (3, {"a": 3}))
    assert bad[0] == 2
    assert isinstance(bad[1], BadRow)
    assert bad[1].what.startswith(what)
    assert bad[1].content == line + "\n"


def test_a_line_in_another_encoding_is_a_bad_row(tmp_path: Path) -> None:
    rows = json_rows(tmp_path, b'{"a": "caf\xe9"}\n{"a": "caf\xc3\xa9"}\n')
    assert isinstance(rows[0][1], BadRow)
    assert rows[0][1].what == "cannot be decoded as utf-8"
    assert rows[1] == (2, {"a": "café"})


def test_the_fallback_reads_only_the_lines_that_need_it(tmp_path: Path) -> None:
    rows = json_rows(tmp_path, b'{"a": "caf\xe9"}\n{"a": "caf\xc3\xa9"}\n', "utf-8", "cp1252")
    assert rows == [(1, {"a": "café"}), (2, {"a": "café"})]


def test_a_line_that_the_fallback_cannot_read_either_is_a_bad_row(tmp_path: Path) -> None:
    # Byte 0x81 means nothing in cp1252.
    [(number, bad)] = json_rows(tmp_path, b'{"a": "\x81"}', "utf-8", "cp1252")
    assert number == 1
    assert bad.what == "cannot be decoded as utf-8"


def test_the_fallback_adds_nothing_to_a_line_of_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    rows = json_rows(tmp_path, b'\xef\xbb\xbf{"a": "b"}\n{"a": "caf\xe9"}\n', "utf-8-sig", "cp1252")
    assert rows == [(1, {"a": "b"}), (2, {"a": "café"})]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp1252", "shift_jis"])
def test_a_named_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    text = "日本" if encoding == "shift_jis" else "café"
    content = '{"a": 1}\n' + json.dumps({"a": text}, ensure_ascii=False) + "\n"
    assert json_rows(tmp_path, content.encode(encoding), encoding) == [(1, {"a": 1}), (2, {"a": text})]


@pytest.mark.parametrize("content", [b"\xff\xfe{\0}", b"\xff\xfe{\0}\0\x00\xd8\n\0", b"{}\n"])
def test_a_file_broken_in_utf_16_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"rows\.txt: cannot be decoded as utf-16: "):
        json_rows(tmp_path, content, "utf-16")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_read_as_utf_8_is_told_once(tmp_path: Path, encoding: str) -> None:
    content = '\ufeff{"a": 1}\n{"a": 2}\n'.encode(encoding)
    with pytest.raises(DataError, match=r"begins with the byte-order mark of UTF-16; set the encoding .* to utf-16"):
        json_rows(tmp_path, content)


def test_half_of_a_surrogate_pair_in_json_is_left_to_the_check_of_the_text(tmp_path: Path) -> None:
    assert json_rows(tmp_path, '{"a": "\\ud800"}') == [(1, {"a": "\ud800"})]


def test_delimited_rows_begin_with_the_header_and_carry_the_number_of_their_line(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, " a , b\n1,2\n\n3,4")
    assert rows == [(1, {"a": "a", "b": "b"}), (2, {"a": "1", "b": "2"}), (4, {"a": "3", "b": "4"})]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_rows_below_a_quoted_line_break_keep_the_right_number(tmp_path: Path, end: str) -> None:
    rows = csv_rows(tmp_path, end.join(["a,b", '"x', 'y",2', "3,4"]))
    assert rows[1][1] == {"a": f"x{end}y", "b": "2"}
    assert rows[2] == (4, {"a": "3", "b": "4"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ('"x,y"', "x,y"),
        ('"say ""hi"""', 'say "hi"'),
        ('""', ""),
        ("", ""),
        (' "x" ', ' "x" '),
        ("it's", "it's"),
        ('5" disc', '5" disc'),
        ("a\0b", "a\0b"),
        ("null", "null"),
        ("a\\nb", "a\\nb"),
        ("x" * 200_000, "x" * 200_000),  # Python's own limit is 131,072.
    ],
    ids=lambda value: value[:12].replace("\0", "NUL") or "empty",
)
def test_a_field_is_read_as_it_stands(tmp_path: Path, field: str, value: str) -> None:
    assert csv_rows(tmp_path, f"a,b\n{field},2\n")[1] == (2, {"a": value, "b": "2"})


def test_tabs_delimit_where_they_are_named(tmp_path: Path) -> None:
    assert csv_rows(tmp_path, "a\tb\n1,5\t2\n", delimiter="\t")[1] == (2, {"a": "1,5", "b": "2"})


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("1", "expected 2 fields, found 1"),
        ("1,2,3", "expected 2 fields, found 3"),
    ],
)
def test_a_wrong_number_of_fields_is_a_bad_row_with_its_content(tmp_path: Path, row: str, what: str) -> None:
    _, before, bad, after = csv_rows(tmp_path, f"a,b\n1,2\n{row}\n3,4\n")
    assert bad == (3, BadRow(what, row))
    assert (before[0], after) == (2, (4, {"a": "3", "b": "4"}))


def test_text_behind_a_closing_quote_is_a_bad_row_and_the_next_row_is_read(tmp_path: Path) -> None:
    _, (number, bad), after = csv_rows(tmp_path, 'a,b\n"1" x,2\n3,4\n')
    assert (number, bad.content.strip()) == (2, '"1" x,2')
    assert bad.what.startswith("not a valid CSV row (is a quote left open?): ")
    assert after == (3, {"a": "3", "b": "4"})


def test_an_unclosed_quote_is_reported_where_it_was_opened(tmp_path: Path) -> None:
    # All that follows belongs to the field, so the last line of the file would be the wrong place to look; and one
    # mistake must not take the rest of the file with it.
    _, _, (number, bad), *after = csv_rows(tmp_path, 'a,b\n1,2\n"3,4\n5,6\n7,8\n')
    assert isinstance(bad, BadRow)
    assert number == 3
    assert after == [(4, {"a": "5", "b": "6"}), (5, {"a": "7", "b": "8"})]


def test_a_row_in_another_encoding_is_a_bad_row(tmp_path: Path) -> None:
    _, (number, bad), after = csv_rows(tmp_path, b"a,b\ncaf\xe9,2\n3,4\n")
    assert (number, bad.what) == (2, "cannot be decoded as utf-8")
    assert after == (3, {"a": "3", "b": "4"})


def test_the_fallback_reads_rows_in_another_encoding(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, b"a,b\ncaf\xe9,2\ncaf\xc3\xa9,4\n", "utf-8", "cp1252")
    assert [row["a"] for _, row in rows[1:]] == ["café", "café"]


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    assert csv_rows(tmp_path, b'\xef\xbb\xbf"a",b\n')[0] == (1, {"a": "a", "b": "b"})


def test_an_empty_file_has_an_empty_header(tmp_path: Path) -> None:
    assert csv_rows(tmp_path, "") == [(0, {})]


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    assert csv_rows(tmp_path, "a,b\n") == [(1, {"a": "a", "b": "b"})]


@pytest.mark.parametrize(
    ("raw", "encoding", "fallback", "text"),
    [
        (b"caf\xc3\xa9", "utf-8", None, "café"),
        (b"caf\xe9", "utf-8", None, None),
        (b"caf\xe9", "utf-8", "cp1252", "café"),
        (b"\x81", "utf-8", "cp1252", None),
        (b"\xef\xbb\xbfx", "utf-8", None, "x"),
        ("x".encode("utf-16"), "utf-16", None, "x"),
        ("x".encode("utf-16"), "utf-8", None, "x"),
        ("x".encode("utf-16"), "utf-8", "cp1252", "x"),
        (b"\xfe\xff\0x", "utf-8", None, "x"),
        (b"\xff\xfex", "utf-16", None, None),
        (b"\xed\xa0\x80", "utf-8", None, None),  # half of a surrogate pair
        (b"", "utf-8", None, ""),
        (b"a\0b", "utf-8", None, "a\0b"),
    ],
)
def test_decode_gives_the_text_or_none(raw: bytes, encoding: str, fallback: str | None, text: str | None) -> None:
    assert decode(raw, encoding, fallback) == text


@pytest.mark.parametrize(
    ("text", "broken"), [("", False), ("plain", False), ("café 😀", False), ("a\ud800", True), ("\udcff", True)]
)
def test_lone_surrogates_alone_make_a_text_broken(text: str, broken: bool) -> None:
    assert is_broken(text) is broken
