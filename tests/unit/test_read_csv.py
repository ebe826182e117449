from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import TableSettings, problems
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.schema import Task
from tagsmith.data import load, read_files
from tagsmith.data.documents import Document, Source


def read(folder: Path, content: str | bytes, **settings: Any) -> Source:
    path = folder / "train.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_files.read(TableSettings(train=str(path), **settings))


def found(source: Source) -> list[str]:
    return [f"{Path(problem.file).name}:{problem.row}: {problem.what}" for problem in source.problems]


def test_a_row_becomes_a_document_with_file_and_row(tmp_path: Path) -> None:
    source = read(tmp_path, "text,label\nHello,x\nBye,y\n")
    path = str(tmp_path / "train.csv")
    assert source.documents == [Document(path, 2, "Hello", ["x"]), Document(path, 3, "Bye", ["y"])]
    assert source.problems == []


def test_columns_are_named_in_the_settings(tmp_path: Path) -> None:
    content = "Body,Topic,Nr,Lang,Author,text\nHello,x,7,en,Ann,no\n"
    names = {"id_field": "Nr", "language_field": "Lang", "group_field": "Author"}
    [document] = read(tmp_path, content, text_field="Body", label_field="Topic", **names).documents
    assert (document.text, document.labels) == ("Hello", ["x"])
    assert (document.id, document.language, document.group) == ("7", "en", "Ann")


def test_an_optional_column_may_be_absent_empty_or_switched_off(tmp_path: Path) -> None:
    content = "text,label,id,language\na,x, 1 ,en\nb,y, ,\n"
    first, second = read(tmp_path, content, language_field=None).documents
    assert (first.id, first.language, first.group) == ("1", None, None)
    assert (second.id, second.language, second.group) == (None, None, None)


@pytest.mark.parametrize(
    ("delimiter", "cell", "labels", "task"),
    [
        (None, "a", ["a"], Task.single_label),
        (None, " a ", ["a"], Task.single_label),
        (None, "a;b", ["a;b"], Task.single_label),
        (None, "", [], None),
        (None, "NA", ["NA"], Task.single_label),
        (None, "10", ["10"], Task.single_label),
        (None, "True", ["True"], Task.single_label),
        (";", "a;b", ["a", "b"], Task.multi_label),
        (";", "b;a", ["b", "a"], Task.multi_label),
        (";", "a", ["a"], Task.multi_label),
        (";", "", [], Task.multi_label),
        (";", "  ", [], Task.multi_label),
        (";", " a ; b ", ["a", "b"], Task.multi_label),
        (";", "a;a", ["a"], Task.multi_label),
        (" | ", "a | b|c", ["a", "b|c"], Task.multi_label),
    ],
)
def test_naming_a_label_delimiter_splits_the_labels(
    tmp_path: Path, delimiter: str | None, cell: str, labels: list[str], task: Task | None
) -> None:
    source = read(tmp_path, f"text,label\nHello,{cell}\n", label_delimiter=delimiter)
    assert [document.labels for document in source.documents] == [labels]
    assert source.task is task
    assert source.problems == []


def test_a_table_with_tabs_is_read(tmp_path: Path) -> None:
    [document] = read(tmp_path, "text\tlabel\nHello, you\tx\n", delimiter="\t").documents
    assert (document.text, document.labels) == ("Hello, you", ["x"])


@pytest.mark.parametrize("text", ["null", "NA", "None", "nan", "N/A", "-", "0", "true"])
def test_texts_such_as_null_and_nan_are_texts(tmp_path: Path, text: str) -> None:
    [document] = read(tmp_path, f"text,label\n{text},x\n").documents
    assert document.text == text


def test_the_validation_and_test_files_give_their_splits(tmp_path: Path) -> None:
    for name in ("validation", "test"):
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{name},x\n")
    files = {name: str(tmp_path / f"{name}.csv") for name in ("validation", "test")}
    source = read(tmp_path, "text,label\ntrain,x\n", **files)
    assert [(d.text, d.split) for d in source.documents] == [
        ("train", None),
        ("validation", "validation"),
        ("test", "test"),
    ]


@pytest.mark.parametrize(
    ("cell", "split"),
    [
        ("train", "train"), ("Training", "train"), ("test", "test"), (" TEST ", "test"), ("testing", "test"),
        ("validation", "validation"), ("valid", "validation"), ("val", "validation"), ("Dev", "validation"),
        ("", None), (" ", None),
    ],
)  # fmt: skip
def test_a_split_column_gives_the_split(tmp_path: Path, cell: str, split: str | None) -> None:
    source = read(tmp_path, f"text,label,part\nHello,x,{cell}\n", split_field="part")
    assert [document.split for document in source.documents] == [split]


def test_an_unknown_split_is_a_problem_of_its_row(tmp_path: Path) -> None:
    source = read(tmp_path, "text,label,part\na,x,train\nb,y,holdout\n", split_field="part")
    assert found(source) == ["train.csv:3: expected train, validation or test as the split, found 'holdout'"]
    assert [document.text for document in source.documents] == ["a"]


@pytest.mark.parametrize(
    ("content", "missing", "present"),
    [
        ("", "text, label", "no header line"),
        ("\n", "text, label", "no header line"),
        ("Hello,x\nBye,y\n", "text, label", "Hello, x"),
        ("text,tag\nHello,x\n", "label", "text, tag"),
    ],
)
def test_missing_columns_are_named_with_what_is_there(tmp_path: Path, content: str, missing: str, present: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    path = tmp_path / "train.csv"
    wanted = f"{path}: expected the columns text, label; missing {missing}; found {present}; "
    assert str(caught.value).startswith(wanted)
    assert str(caught.value).endswith("set data.text_field and data.label_field.")


@pytest.mark.parametrize("content", ["text;label\nHello;x\n", "Text ,LABEL\nHello,x\n", "sep=|\ntext|label\nHello|x\n"])
def test_delimiters_and_case_of_the_header_are_recognised(tmp_path: Path, content: str) -> None:
    [document] = read(tmp_path, content).documents
    assert (document.text, document.labels) == ("Hello", ["x"])


def test_a_header_with_an_open_quotation_mark_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the header line is not a valid row"):
        read(tmp_path, '"text,label\nHello,x\n')


def test_the_split_column_must_be_there_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the columns text, label, part; missing part; found text, label"):
        read(tmp_path, "text,label\nHello,x\n", split_field="part")


def test_a_column_that_is_there_twice_is_rejected(tmp_path: Path) -> None:
    # Which of the two texts is right is unknown.
    with pytest.raises(DataError, match=r"train\.csv.*text"):
        read(tmp_path, "text,label,text\na,x,b\n")


def test_a_header_alone_holds_no_document(tmp_path: Path) -> None:
    source = read(tmp_path, "text,label\n")
    assert (source.documents, source.problems) == ([], [])


def test_all_bad_rows_are_found_in_one_reading(tmp_path: Path) -> None:
    content = b'text,label\na,x\nb\nc,y,z\n"d" d,x\ncaf\xe9,x\n\n\xc3\xa9,y\n'
    source = read(tmp_path, content)
    problems = found(source)
    assert problems[:2] == ["train.csv:3: expected 2 fields, found 1", "train.csv:4: expected 2 fields, found 3"]
    assert problems[2].startswith("train.csv:5: not a valid CSV row (is a quote left open?): ")
    assert problems[3:] == ["train.csv:6: cannot be decoded as utf-8; set data.encoding or data.fallback_encoding"]
    assert [(d.row, d.text) for d in source.documents] == [(2, "a"), (8, "é")]


def test_a_rejected_row_keeps_its_content(tmp_path: Path) -> None:
    assert [problem.content for problem in read(tmp_path, "text,label\na,x,surplus\n").problems] == ["a,x,surplus"]


def test_a_file_of_another_encoding_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="byte-order mark of UTF-16"):
        read(tmp_path, "text,label\nHello,x\n".encode("utf-16"), encoding="utf-8")


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig"])
def test_the_encoding_is_named_in_the_settings(tmp_path: Path, encoding: str) -> None:
    [document] = read(tmp_path, "text,label\ncafé,x\n".encode(encoding), encoding=encoding).documents
    assert document.text == "café"


def test_a_byte_order_mark_does_not_hide_the_first_column(tmp_path: Path) -> None:
    [document] = read(tmp_path, b"\xef\xbb\xbftext,label\nHello,x\n").documents
    assert document.text == "Hello"


def test_the_fallback_encoding_reads_the_rows_that_need_it(tmp_path: Path) -> None:
    content = b"text,label\ncaf\xe9,x\ncaf\xc3\xa9s,y\n"
    source = read(tmp_path, content, fallback_encoding="cp1252")
    assert [document.text for document in source.documents] == ["café", "cafés"]


def test_a_huge_field_is_read(tmp_path: Path) -> None:
    [document] = read(tmp_path, "text,label\n" + "word " * 100_000 + ",x\n").documents
    assert len(document.text) == 500_000


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_a_missing_file_is_named_with_its_setting(tmp_path: Path, name: str) -> None:
    files = {split: str(tmp_path / "train.csv") for split in ("train", "validation", "test")}
    (tmp_path / "train.csv").write_text("text,label\n")
    files[name] = str(tmp_path / "nowhere.csv")
    with pytest.raises(InputMissing, match=rf"data\.{name}: .*nowhere\.csv does not exist"):
        read_files.read(TableSettings(**files))


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises((DataError, InputMissing), match=tmp_path.name):
        load(TableSettings(train=str(tmp_path)), None, 0)


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
    ],
)
def test_a_setting_that_no_file_could_be_read_with_is_rejected(setting: str, value: str) -> None:
    [problem] = problems(TableSettings(train="train.csv", **{setting: value}))
    assert problem.startswith(f"{setting}: expected ")


@pytest.mark.parametrize("cell", ["a;;b", "a;", ";a", ";", "a; ;b"])
def test_an_empty_piece_between_label_delimiters_is_a_problem(tmp_path: Path, cell: str) -> None:
    source = read(tmp_path, f"text,label\nHello,{cell}\nBye,a;b\n", label_delimiter=";")
    [problem] = found(source)
    assert problem.startswith("train.csv:2: expected a class name, found '")
    assert [document.labels for document in source.documents] == [["a", "b"]]
