"""Tagged documents from rows: fields, labels and splits; then everything that is wrong with them, by kind."""

import csv
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import TableSettings, problems
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.schema import Task
from tagsmith.data import load, read_files
from tagsmith.data.documents import Document, Source

KINDS = ("csv", "jsonl")


def read(folder: Path, content: str, **settings: Any) -> Source:
    """The documents of a table, or of JSON Lines where the content begins so."""
    path = folder / ("train.jsonl" if content.startswith("{") else "train.csv")
    path.write_text(content, encoding="utf-8")
    return read_files.read(TableSettings(train=str(path), **settings))


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def content(kind: str, *records: dict[str, Any]) -> str:
    """The same records as a table and as JSON Lines."""
    if kind == "jsonl":
        return lines(*records)
    table = io.StringIO()
    writer = csv.DictWriter(table, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    return table.getvalue()


def found(source: Source) -> list[str]:
    return [f"{Path(problem.file).name}:{problem.row}: {problem.what}" for problem in source.problems]


# -- fields ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_becomes_a_document_with_file_and_row(tmp_path: Path, kind: str) -> None:
    first = 2 if kind == "csv" else 1  # Below the header.
    source = read(tmp_path, content(kind, {"text": "Hello", "label": "x"}, {"text": "Bye", "label": "y"}) + "\n")
    path = str(tmp_path / f"train.{kind}")
    assert source.documents == [Document(path, first, "Hello", ["x"]), Document(path, first + 1, "Bye", ["y"])]
    assert (source.problems, source.notes) == ([], [f"Read {path} as {'CSV' if kind == 'csv' else 'JSON Lines'}."])


@pytest.mark.parametrize("kind", KINDS)
def test_fields_are_named_in_the_settings(tmp_path: Path, kind: str) -> None:
    record = {"Body": "Hello", "Topic": "x", "Nr": 7, "Lang": "en", "Author": "Ann", "text": "no", "labels": ""}
    names = {"id_field": "Nr", "language_field": "Lang", "group_field": "Author"}
    [document] = read(tmp_path, content(kind, record), text_field="Body", label_field="Topic", **names).documents
    assert (document.text, document.labels) == ("Hello", ["x"])
    assert (document.id, document.language, document.group) == ("7", "en", "Ann")


@pytest.mark.parametrize(
    ("value", "text"), [("7", "7"), (7, "7"), (0, "0"), (1.5, "1.5"), (" a ", "a"), ("", None), (" ", None)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_id_is_text_where_there_is_one(tmp_path: Path, kind: str, value: object, text: str | None) -> None:
    records = content(kind, {"text": "Hello", "label": "x", "id": value})
    assert [document.id for document in read(tmp_path, records).documents] == [text]
    assert [document.id for document in read(tmp_path, records, id_field=None).documents] == [None]


@pytest.mark.parametrize("text", ["null", "NA", "None", "nan", "N/A", "-", "0", "true", "", " "])
@pytest.mark.parametrize("kind", KINDS)
def test_texts_such_as_null_and_nan_are_texts(tmp_path: Path, kind: str, text: str) -> None:
    [document] = read(tmp_path, content(kind, {"text": text, "label": "x"})).documents
    assert document.text == text


@pytest.mark.parametrize("text", [None, 5, True, ["a"], {"a": 1}, "\ud800"])
def test_the_text_is_not_changed_before_it_is_checked(tmp_path: Path, text: object) -> None:
    [document] = read(tmp_path, lines({"text": text, "label": "x"})).documents
    assert document.text == text
    assert type(document.text) is type(text)


@pytest.mark.parametrize("header", ["text;label\nHello;x\n", "Text ,LABEL\nHello,x\n", "sep=|\ntext|label\nHello|x\n"])
def test_delimiters_and_case_of_the_header_are_recognised(tmp_path: Path, header: str) -> None:
    [document] = read(tmp_path, header).documents
    assert (document.text, document.labels) == ("Hello", ["x"])


def test_delimiter_and_encodings_are_named_in_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes("text~label\ncafé, no~x\n".encode("utf-16"))
    [document] = read_files.read(TableSettings(train=str(path), encoding="utf-16", delimiter="~")).documents
    assert (document.text, document.labels) == ("café, no", ["x"])
    path.write_bytes(b"text,label\ncaf\xe9,x\ncaf\xc3\xa9s,y\n")
    source = read_files.read(TableSettings(train=str(path), fallback_encoding="cp1252"))
    assert [document.text for document in source.documents] == ["café", "cafés"]


# -- labels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delimiter", "cell", "labels", "task"),
    [
        (None, " a ", ["a"], Task.single_label),
        (None, "a;b", ["a;b"], Task.single_label),
        (None, "", [], None),
        (None, "NA", ["NA"], Task.single_label),
        (None, "10", ["10"], Task.single_label),
        (None, "True", ["True"], Task.single_label),
        (";", "b;a", ["b", "a"], Task.multi_label),
        (";", "a", ["a"], Task.multi_label),
        (";", "  ", [], Task.multi_label),
        (";", " a ; b ", ["a", "b"], Task.multi_label),
        (";", "a;a", ["a"], Task.multi_label),
        (" | ", "a | b|c", ["a", "b|c"], Task.multi_label),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_naming_a_label_delimiter_splits_the_labels(
    tmp_path: Path, kind: str, delimiter: str | None, cell: str, labels: list[str], task: Task | None
) -> None:
    source = read(tmp_path, content(kind, {"text": "Hello", "label": cell}), label_delimiter=delimiter)
    assert [document.labels for document in source.documents] == [labels]
    assert (source.task, source.problems) == (task, [])


@pytest.mark.parametrize(
    ("tag", "labels"),
    [
        ({"label": 10}, ["10"]),
        ({"label": 0}, ["0"]),
        ({"label": "null"}, ["null"]),
        ({"label": None}, []),
        ({"label": "x", "labels": None}, ["x"]),
        ({"label": "x", "labels": ""}, ["x"]),
        ({}, []),
        ({"labels": []}, []),
        ({"labels": ["y", "x"]}, ["y", "x"]),
        ({"labels": ["x", " x ", "x"]}, ["x"]),
        ({"labels": [1, "1", 2]}, ["1", "2"]),
        ({"labels": "x"}, ["x"]),
        ({"labels": 1}, ["1"]),
        ({"labels": {"x": True, "y": False}}, ["x"]),
        ({"label": ["x", "y"]}, ["x", "y"]),
        ({"label": []}, []),
    ],
    ids=str,
)
def test_labels_are_read(tmp_path: Path, tag: dict[str, Any], labels: list[str]) -> None:
    source = read(tmp_path, lines({"text": "Hello", **tag}))
    assert [document.labels for document in source.documents] == [labels]
    assert source.problems == []


@pytest.mark.parametrize(
    ("tags", "task"),
    [
        ([{"label": "x"}, {"label": "y"}], Task.single_label),
        ([{"labels": ["x"]}, {"labels": ["y"]}], Task.multi_label),
        ([{"labels": []}], Task.multi_label),
        ([{"label": "x"}, {"labels": ["y"]}], Task.multi_label),
        ([{"labels": ["y"]}, {"label": "x"}], Task.multi_label),
        ([{"label": "x"}, {}], Task.single_label),
        ([{}, {"label": None}], None),
        ([{"label": ["x"]}], Task.multi_label),
        ([{"labels": "x"}], Task.single_label),
    ],
)
def test_the_labels_declare_the_task(tmp_path: Path, tags: list[dict[str, Any]], task: Task | None) -> None:
    assert read(tmp_path, lines(*({"text": "Hello", **tag} for tag in tags))).task is task


# -- splits and files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_validation_and_test_files_give_their_splits(tmp_path: Path, kind: str) -> None:
    files = {name: str(tmp_path / f"{name}.{kind}") for name in ("validation", "test")}
    for name, path in files.items():
        Path(path).write_text(content(kind, {"text": name, "label": "x"}))
    source = read(tmp_path, content(kind, {"text": "train", "label": "x"}), **files)
    expected = [("train", None), ("validation", "validation"), ("test", "test")]
    assert [(document.text, document.split) for document in source.documents] == expected
    assert source.notes == [f"Read 3 files as {'CSV' if kind == 'csv' else 'JSON Lines'}."]


@pytest.mark.parametrize(
    ("cell", "split"),
    [
        ("train", "train"), ("Training", "train"), ("test", "test"), (" TEST ", "test"), ("testing", "test"),
        ("validation", "validation"), ("valid", "validation"), ("val", "validation"), ("Dev", "validation"),
        ("", None), (" ", None), (None, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_a_split_field_gives_the_split(tmp_path: Path, kind: str, cell: str | None, split: str | None) -> None:
    source = read(tmp_path, content(kind, {"text": "Hello", "label": "x", "part": cell}), split_field="part")
    assert [document.split for document in source.documents] == [split]


def test_a_row_of_json_without_the_split_field_is_left_to_be_drawn(tmp_path: Path) -> None:
    [document] = read(tmp_path, lines({"text": "Hello", "label": "x"}), split_field="part").documents
    assert document.split is None


def test_a_file_inside_an_installed_package_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "packed_texts_for_test"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "data" / "train.jsonl").write_text('{"text": "Hello", "label": "x"}')
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    source = read_files.read(TableSettings(train="package:packed_texts_for_test/data/train.jsonl"))
    assert [document.text for document in source.documents] == ["Hello"]


def test_standard_input_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(rows: str) -> TableSettings:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rows.encode("cp1252"))))
        return TableSettings(train="-", test_share=0)

    data = load(given("text;label\nfür a;a\nfür b;b\n"), None, seed=0)
    assert data.notes == ["Read standard input as CSV (separated by semicolons, encoded in cp1252)."]
    assert data.splits["train"]["id"][:] == ["stdin:2", "stdin:3"]
    with pytest.raises(DataError, match=r"- standard input:3: expected 2 fields, found 1"):
        load(given("text,label\na,x\nb\n"), None, seed=0)
    with pytest.raises(DataError, match=r"^standard input: expected the columns text, label; missing label; "):
        load(given("text,tag\na,x\n"), None, seed=0)


# -- bad settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("encoding", "utf-9"),
        ("encoding", "base64"),
        ("encoding", ""),
        ("encoding", "undefined"),
        ("encoding", "utf\0"),
        ("fallback_encoding", "latin-nope"),
        ("fallback_encoding", ""),
        ("delimiter", ""),
        ("delimiter", ";;"),
        ("delimiter", "\n"),  # From Python 3.13 on, csv raises ValueError for these three.
        ("delimiter", "\r"),
        ("delimiter", '"'),
        ("label_delimiter", ""),
        ("train", ["a.csv", "-", "-"]),
    ],
)
def test_a_setting_that_no_file_could_be_read_with_is_rejected(setting: str, value: Any) -> None:
    [problem] = problems(TableSettings(**{"train": "train.csv", setting: value}))
    assert problem.startswith(f"{setting}: expected ")


# -- bad files and columns ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_a_missing_file_is_named_with_its_setting(tmp_path: Path, name: str) -> None:
    files = {split: str(tmp_path / "train.csv") for split in ("train", "validation", "test")}
    (tmp_path / "train.csv").write_text("text,label\n")
    files[name] = str(tmp_path / "nowhere.csv")
    with pytest.raises(InputMissing, match=rf"data\.{name}: .*nowhere\.csv does not exist"):
        read_files.read(TableSettings(**files))


def test_a_folder_without_files_of_rows_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.md").touch()
    message = f"data.train: {tmp_path}: expected files such as .csv, .jsonl, .parquet or .xlsx, found 1 .md."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        load(TableSettings(train=str(tmp_path)), None, 0)


@pytest.mark.parametrize(
    ("table", "missing", "present"),
    [
        ("", "text, label", "no header line"),
        ("\n", "text, label", "no header line"),
        ("Hello,x\nBye,y\n", "text, label", "Hello, x"),
        ("text,tag\nHello,x\n", "label", "text, tag"),
    ],
)
def test_missing_columns_are_named_with_what_is_there(tmp_path: Path, table: str, missing: str, present: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, table)
    wanted = f"{tmp_path / 'train.csv'}: expected the columns text, label; missing {missing}; found {present}; "
    assert str(caught.value) == f"{wanted}set data.text_field and data.label_field."


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('"text,label\nHello,x\n', "the header line is not a valid row"),
        ("text,label,text\na,x,b\n", r"train\.csv:1: expected each column once, found twice: text"),
        ("text,label\na,x\n", "expected the columns text, label, part; missing part; found text, label"),
    ],
)
def test_a_header_that_is_not_usable_is_an_error(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, table, split_field="part")


def test_a_field_that_a_row_of_json_lacks_is_a_problem_of_the_row(tmp_path: Path) -> None:
    source = read(tmp_path, lines({"body": "a", "label": "x"}, {"text": None, "label": "x"}))
    assert found(source) == [
        "train.jsonl:1: missing field text, found body, label; set data.text_field to the text's field"
    ]
    assert [document.text for document in source.documents] == [None]  # `check` reports it.


# -- bad values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "what"),
    [
        ({"label": 1.5}, "expected a class name, found 1.5"),
        ({"label": {"name": "x"}}, "expected a class name, found {'name': 'x'}"),
        ({"label": {}}, "expected a class name, found {}"),
        ({"labels": [None]}, "expected a class name, found None"),
        ({"labels": [""]}, "expected a class name, found ''"),
        ({"labels": ["a", " "]}, "expected a class name, found ' '"),
        ({"labels": ["x", 1.5]}, "expected a class name, found 1.5"),
        ({"labels": ["x", ["y"]]}, "expected a class name, found ['y']"),
        ({"labels": [{}]}, "expected a class name, found {}"),
        ({"label": "x", "labels": ["x"]}, "expected either label or labels, found both"),
    ],
    ids=str,
)
def test_labels_that_are_not_names_are_a_problem_of_their_row(tmp_path: Path, tag: dict[str, Any], what: str) -> None:
    good = {"text": "Bye", "label": "x"}
    source = read(tmp_path, lines(good, {"text": "Hello", **tag}, good))
    assert found(source) == [f"train.jsonl:2: {what}"]
    assert [document.row for document in source.documents] == [1, 3]
    assert "Hello" in source.problems[0].content


@pytest.mark.parametrize("cell", ["a;;b", "a;", ";a", ";", "a; ;b"])
def test_an_empty_piece_between_label_delimiters_is_a_problem(tmp_path: Path, cell: str) -> None:
    source = read(tmp_path, f"text,label\nHello,{cell}\nBye,a;b\n", label_delimiter=";")
    [problem] = found(source)
    assert problem.startswith("train.csv:2: expected a class name, found '")
    assert [document.labels for document in source.documents] == [["a", "b"]]


@pytest.mark.parametrize("value", ["holdout", 1, True, [], {"a": 1}])
def test_an_unknown_split_is_a_problem_of_its_row(tmp_path: Path, value: object) -> None:
    records = ({"text": text, "label": "x", "part": part} for text, part in (("a", "train"), ("b", value)))
    source = read(tmp_path, lines(*records), split_field="part")
    assert found(source) == [f"train.jsonl:2: expected train, validation or test as the split, found {value!r}"]
    assert [document.text for document in source.documents] == ["a"]


@pytest.mark.parametrize("field", ["id", "group", "language"])
@pytest.mark.parametrize("value", [[1], {"a": 1}, True, False, [], float("nan")], ids=str)
def test_an_optional_field_of_another_kind_is_a_problem_not_its_repr(tmp_path: Path, field: str, value: Any) -> None:
    records = lines({"text": "Hello", "label": "x", field: value}, {"text": "Bye", "label": "y", field: 1.5})
    source = read(tmp_path, records)
    assert found(source) == [
        f"train.jsonl:1: expected text or a number as {field}, found {value!r}; "
        f"data.{field}_field=null ignores the field"
    ]
    assert [getattr(document, field) for document in source.documents] == ["1.5"]
    assert read(tmp_path, records, **{f"{field}_field": None}).problems == []
