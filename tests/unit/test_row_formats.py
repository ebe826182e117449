"""Every format that people have gives the same rows, whatever its file is called, packed in or encoded as."""

import bz2
import codecs
import gzip
import json
import lzma
import random
import re
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pytest

from tagsmith.core.errors import DataError, InputMissing
from tagsmith.rows.fields import ABSENT, text_of, value_of
from tagsmith.rows.files import files_of
from tagsmith.rows.open import open_table
from tagsmith.rows.table import BadRow, ReadAs, Reading, reading_note
from tests.made_sheets import write_ods, write_xlsx

ROWS = [{"text": "Where is it, then?", "label": "shipping"}, {"text": 'Größe prüfen; 5" Bild', "label": "bug"}]
CSV = 'text,label\n"Where is it, then?",shipping\n"Größe prüfen; 5"" Bild",bug\n'
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)


def rows(path: Path, **how: Any) -> list[Any]:
    return [record for _, record in open_table(path, Reading(**how)).rows()]


def frame() -> pd.DataFrame:
    return pd.DataFrame(ROWS)


def arrow_stream(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_stream(path, table.schema) as sink:
        sink.write_table(table)


WRITERS: dict[str, Callable[[Path], object]] = {
    "t.csv": lambda path: path.write_text(CSV, encoding="utf-8"),
    "bom.csv": lambda path: path.write_text(CSV, encoding="utf-8-sig"),
    "utf16.csv": lambda path: path.write_text(CSV, encoding="utf-16"),
    "excel.csv": lambda path: path.write_text("sep=;\n" + frame().to_csv(sep=";", index=False), encoding="cp1252"),
    "pipe.txt": lambda path: frame().to_csv(path, sep="|", index=False),
    "t.tsv": lambda path: frame().to_csv(path, sep="\t", index=False),
    "no_suffix": lambda path: path.write_text(JSONL),
    "t.jsonl": lambda path: path.write_text(JSONL),
    "records.json": lambda path: frame().to_json(path, orient="records"),
    "columns.json": lambda path: frame().to_json(path),
    "split.json": lambda path: frame().to_json(path, orient="split"),
    "pretty.json": lambda path: path.write_text(json.dumps(ROWS, indent=2)),
    "data.json": lambda path: path.write_text(json.dumps({"version": "1", "data": ROWS})),
    "array.jsonl": lambda path: path.write_text(json.dumps(ROWS)),
    "t.parquet": lambda path: frame().to_parquet(path),
    "t.feather": lambda path: frame().to_feather(path),
    "t.arrow": arrow_stream,
    "t.xlsx": lambda path: write_xlsx(path, ROWS),
    "t.ods": lambda path: write_ods(path, ROWS),
    "t.csv.gz": lambda path: path.write_bytes(gzip.compress(CSV.encode())),
    "t.jsonl.bz2": lambda path: path.write_bytes(bz2.compress(JSONL.encode())),
    "t.jsonl.xz": lambda path: path.write_bytes(lzma.compress(JSONL.encode())),
    "t.csv.zst": lambda path: path.write_bytes(pa.compress(CSV.encode(), "zstd", asbytes=True)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_rows_in_every_format(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    assert rows(tmp_path / name) == ROWS


@pytest.mark.parametrize("content", [CSV, JSONL])
def test_the_content_decides_where_the_name_is_wrong(tmp_path: Path, content: str) -> None:
    for name in ("data", "data.txt", "data.dat"):
        (tmp_path / name).write_text(content, encoding="utf-8")
        assert rows(tmp_path / name) == ROWS


def test_the_log_says_as_what_the_files_are_read(tmp_path: Path) -> None:
    read = []
    for name in WRITERS:
        WRITERS[name](tmp_path / name)
        table = open_table(tmp_path / name, Reading())
        read.append(ReadAs(name, table.format, tuple(table.details)))
    assert reading_note([one for one in read if one.file == "t.tsv"]) == "Read t.tsv as TSV."
    assert reading_note(read[:2] * 2) == "Read 4 files as CSV."
    assert reading_note(read) == (
        "Read 23 files: 6 as JSON, 4 as CSV, 4 as JSON Lines, 2 as Arrow, utf16.csv as CSV (encoded in utf-16), "
        "excel.csv as CSV (separated by semicolons, encoded in cp1252), pipe.txt as CSV (separated by vertical bars), "
        "1 as TSV, 1 as Parquet, 1 as Excel, t.ods as OpenDocument ('Tickets', the first of 2 sheets)."
    )


def test_class_ids_of_datasets_become_names(tmp_path: Path) -> None:
    label = datasets.ClassLabel(names=["billing", "bug"])
    features = datasets.Features({"text": datasets.Value("string"), "label": label, "tags": datasets.List(label)})
    content = {"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[0, 1], [], [1]]}
    datasets.Dataset.from_dict(content, features=features).to_parquet(tmp_path / "t.parquet")
    found = rows(tmp_path / "t.parquet")
    assert [row["label"] for row in found] == ["bug", "billing", None]
    assert [row["tags"] for row in found] == [["billing", "bug"], [], ["bug"]]


def named(tmp_path: Path, setting: str | list[str]) -> list[str]:
    files, _ = files_of(setting, "data.train")
    return [str(file).removeprefix(f"{tmp_path}/") for file in files]


def test_lists_folders_patterns_and_archives_name_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("in/10.csv", "in/2.csv", "in/sub/3.csv.gz", "in/._2.csv", "in/.git/4.csv", "in/readme.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text\n")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("b/1.jsonl", JSONL)
        archive.writestr("__MACOSX/b/._1.jsonl", "")
        archive.writestr("notes.md", "")
    assert named(tmp_path, str(tmp_path / "in")) == ["in/2.csv", "in/10.csv", "in/sub/3.csv.gz"]
    assert files_of(str(tmp_path / "in"), "")[1] == [f"{tmp_path / 'in'}: left out 1 file of other kinds: 1 .md."]
    assert named(tmp_path, str(tmp_path / "in" / "*.csv")) == ["in/2.csv", "in/10.csv"]
    assert named(tmp_path, [str(tmp_path / "in/10.csv"), str(tmp_path / "in")])[:2] == ["in/10.csv", "in/2.csv"]
    [member], _ = files_of(str(tmp_path / "all.zip"), "")
    assert str(member) == f"{tmp_path}/all.zip/b/1.jsonl"
    assert [record for _, record in open_table(member, Reading()).rows()] == ROWS
    with pytest.raises(InputMissing, match=r"no file matches .*\*\.tsv"):
        named(tmp_path, str(tmp_path / "*.tsv"))
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": BytesIO(CSV.encode())}))
    [file], _ = files_of("-", "input")
    assert [record for _, record in open_table(file, Reading()).rows()] == ROWS


# -- encodings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Die Rechnung enthält einen Fehler, bitte prüfen Sie die Beträge für März"),
        ("cp1252", "I can’t log in – charged 20 € “twice”"),
        ("cp1252", "L’app ne s’ouvre plus"),
        ("cp1252", "café très cher"),
        ("cp1250", "Proszę o zwrot"),
        ("cp1251", "Где моя посылка, прошу вернуть деньги за заказ"),
        ("cp932", "荷物が届きません。返金をお願いします。"),
        ("gb18030", "我的包裹在哪里？请退款。"),
    ],
)
def test_an_encoding_is_detected_and_said(tmp_path: Path, encoding: str, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f"text,label\n{text},x\n".replace(", ", " ").encode(encoding))
    table = open_table(path, Reading())
    assert {record["text"] for _, record in table.rows() if isinstance(record, dict)} == {text.replace(", ", " ")}
    assert table.details == [f"encoded in {codecs.lookup(encoding).name}"]


def test_a_file_that_is_mostly_utf_8_keeps_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("text,label\nMüll,x\nBär,y\n".encode() + "Öl,x\n".encode("cp1252"))
    assert [isinstance(row, BadRow) and row.not_decoded for row in rows(path)] == [False, False, True]
    assert rows(path, fallback="cp1252")[2] == {"text": "Öl", "label": "x"}


# -- quotation marks ----------------------------------------------------------------------------------------------


def tickets(count: int, mark: str) -> list[str]:
    return [f"invoice number {i} is wrong{mark}{('billing', 'bug')[i % 2]}" for i in range(count)]


@pytest.mark.parametrize("closing", ['never "closed', 'closed later"'])
def test_a_lone_quotation_mark_of_a_csv_costs_one_row(tmp_path: Path, closing: str) -> None:
    lines = tickets(20, ",")
    lines[5] = '"Opened here,billing'
    if "later" in closing:
        lines[12] = f"{closing},bug"
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    found = rows(tmp_path / "t.csv")
    assert len(found) == 20
    [bad] = [row for row in found if isinstance(row, BadRow)]
    assert bad.content.strip() == lines[5]
    if "later" in closing:
        assert "closes on line 14; the lines between look like 7 rows" in bad.what


def test_line_ends_inside_of_a_quoted_field_are_kept(tmp_path: Path) -> None:
    text = "Hello,\n\nI was charged twice, again.\nRegards, Ann"
    pd.DataFrame([{"text": text, "label": "billing"}] * 3 + [{"text": "b", "label": "bug"}] * 2).to_csv(
        tmp_path / "t.csv", index=False
    )
    assert [row["text"] for row in rows(tmp_path / "t.csv")] == [text] * 3 + ["b"] * 2


def test_quotation_marks_of_a_tsv_are_text_unless_all_are_in_pairs(tmp_path: Path) -> None:
    lines = tickets(20, "\t")
    lines[3] = '"Quoted" and then\tbug'
    lines[9] = '"Opened here\tbilling'
    lines[12] = '5" screen\tbug'
    (tmp_path / "t.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    assert [f"{row['text']}\t{row['label']}" for row in rows(tmp_path / "t.tsv")] == lines
    quoted = [{"text": "one\ttab", "label": "a"}, {"text": 'say "hi"', "label": "b"}, {"text": "x\ny", "label": "a"}]
    pd.DataFrame(quoted).to_csv(tmp_path / "q.tsv", sep="\t", index=False)
    assert rows(tmp_path / "q.tsv") == quoted


# -- what joined and exported tables have ------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["text,label", "\ufefftext,label", '"text",label'])
def test_a_header_that_comes_again_is_left_out_and_counted(tmp_path: Path, again: str) -> None:
    (tmp_path / "t.csv").write_text(f"\ufefftext,label\na,x\n{again}\nb,y\n", encoding="utf-8")
    table = open_table(tmp_path / "t.csv", Reading())
    assert [record for _, record in table.rows()] == [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    assert table.notes == [f"{tmp_path / 't.csv'}: left out 1 repeated header line."]


def test_empty_rows_and_surplus_empty_fields_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\na,x,,\n,\n\nb,y\n,\n,,\n")
    assert rows(tmp_path / "t.csv") == [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]


# -- damaged files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.parquet", b"PAR1 nothing", "cannot be read as Parquet"),
        ("t.arrow", b"ARROW1 nothing", "cannot be read as Arrow"),
        ("t.xlsx", b"PK\x03\x04 nothing", "cannot be read as Excel"),
        ("t.ods", b"PK\x03\x04 nothing", "cannot be read as OpenDocument"),
        ("t.json", b'{\n"a": 1\n}', "expected JSON Lines, or an array of objects, found an object with a"),
        ("t.csv.gz", gzip.compress(random.Random(0).randbytes(99_999))[:50_000], "ends too early"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{re.escape(name)}: .*{message}"):
        rows(tmp_path / name)


def test_lines_below_an_object_of_a_json_file_that_are_none_are_bad_rows(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('{"a": {"b": 1}, "c": 2}\n\n\n{')
    assert [isinstance(row, BadRow) for row in rows(tmp_path / "t.json")] == [False, True]


# -- fields -------------------------------------------------------------------------------------------------------


def test_fields_are_found_in_any_case_and_inside_of_others() -> None:
    record = {" Text": "a", "data": {"Body": "b"}, "x.y": "c", "ID": 1, "id ": 2}
    assert [value_of(record, name) for name in ("text", "data.body", "x.y")] == ["a", "b", "c"]
    assert value_of(record, "Id") is ABSENT  # Two columns could be meant.
    assert value_of(record, "data.gone") is ABSENT


def test_texts_of_several_fields_are_joined_by_a_line_end() -> None:
    record = {"subject": " Parcel ", "body": "Where?", "note": "", "none": None, "n": 5}
    assert text_of(record, ["subject", "body", "note", "none"]) == "Parcel\nWhere?"
    assert text_of(record, ["subject", "gone"]) is ABSENT
    assert text_of(record, ["subject", "n"]) == 5
