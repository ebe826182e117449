import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import TableSettings
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.schema import Task
from tagsmith.data import load, read_files
from tagsmith.data.documents import Document, Source


def read(folder: Path, *lines: dict[str, Any] | str, **settings: Any) -> Source:
    path = folder / "train.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts), encoding="utf-8")
    return read_files.read(TableSettings(train=str(path), **settings))


def found(source: Source) -> list[str]:
    return [f"{Path(problem.file).name}:{problem.row}: {problem.what}" for problem in source.problems]


def test_a_line_becomes_a_document_with_file_and_row(tmp_path: Path) -> None:
    source = read(tmp_path, {"text": "Hello", "label": "x"}, "", {"text": "Bye", "label": "y"})
    path = str(tmp_path / "train.jsonl")
    assert source.documents == [Document(path, 1, "Hello", ["x"]), Document(path, 3, "Bye", ["y"])]
    assert source.problems == []


def test_fields_are_named_in_the_settings(tmp_path: Path) -> None:
    record = {"body": "Hello", "tags": ["x"], "nr": 7, "lang": "en", "author": "Ann", "text": "no", "labels": ["no"]}
    names = {"id_field": "nr", "language_field": "lang", "group_field": "author"}
    [document] = read(tmp_path, record, text_field="body", labels_field="tags", **names).documents
    assert (document.text, document.labels) == ("Hello", ["x"])
    assert (document.id, document.language, document.group) == ("7", "en", "Ann")


@pytest.mark.parametrize(
    ("value", "text"), [("7", "7"), (7, "7"), (0, "0"), (" a ", "a"), ("", None), (" ", None), (None, None)]
)
def test_an_id_is_text_where_there_is_one(tmp_path: Path, value: object, text: str | None) -> None:
    [document] = read(tmp_path, {"text": "Hello", "label": "x", "id": value}).documents
    assert document.id == text


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
        ([], None),
    ],
)
def test_the_field_that_holds_the_labels_declares_the_task(
    tmp_path: Path, tags: list[dict[str, Any]], task: Task | None
) -> None:
    assert read(tmp_path, *({"text": "Hello", **tag} for tag in tags)).task is task


@pytest.mark.parametrize(
    ("tag", "labels"),
    [
        ({"label": "x"}, ["x"]),
        ({"label": " x "}, ["x"]),
        ({"label": 10}, ["10"]),
        ({"label": 0}, ["0"]),
        ({"label": "null"}, ["null"]),
        ({"label": ""}, []),
        ({"label": None}, []),
        ({"label": "x", "labels": None}, ["x"]),
        ({}, []),
        ({"labels": []}, []),
        ({"labels": ["y", "x"]}, ["y", "x"]),
        ({"labels": ["x", " x ", "x"]}, ["x"]),
        ({"labels": [1, "1", 2]}, ["1", "2"]),
        ({"labels": "x"}, ["x"]),
        ({"labels": ""}, []),
        ({"labels": 1}, ["1"]),
        ({"labels": {"x": True, "y": False}}, ["x"]),
        ({"labels": None}, []),
        ({"label": ["x", "y"]}, ["x", "y"]),
        ({"label": []}, []),
        ({"label": "x", "labels": ""}, ["x"]),
    ],
    ids=str,
)
def test_labels_are_read(tmp_path: Path, tag: dict[str, Any], labels: list[str]) -> None:
    source = read(tmp_path, {"text": "Hello", **tag})
    assert [document.labels for document in source.documents] == [labels]
    assert source.problems == []


@pytest.mark.parametrize(
    ("tag", "what"),
    [
        ({"label": 1.5}, "expected a class name, found 1.5"),
        ({"label": {"name": "x"}}, "expected a class name, found {'name': 'x'}"),
        ({"label": {}}, "expected a class name, found {}"),
        ({"labels": [None]}, "expected a class name, found None"),
        ({"labels": ["x", 1.5]}, "expected a class name, found 1.5"),
        ({"labels": ["x", ["y"]]}, "expected a class name, found ['y']"),
        ({"labels": [{}]}, "expected a class name, found {}"),
        ({"label": "x", "labels": ["x"]}, "expected either label or labels, found both"),
    ],
    ids=str,
)
def test_labels_that_are_not_names_are_a_problem_of_their_row(tmp_path: Path, tag: dict[str, Any], what: str) -> None:
    good = {"text": "Bye", "label": "x"}
    source = read(tmp_path, good, {"text": "Hello", **tag}, good)
    assert found(source) == [f"train.jsonl:2: {what}"]
    assert [document.row for document in source.documents] == [1, 3]
    assert "Hello" in source.problems[0].content


def test_one_field_may_hold_the_lists_of_classes(tmp_path: Path) -> None:
    settings = {"labels_field": "label"}
    source = read(tmp_path, {"text": "Hello", "label": ["x", "y"]}, {"text": "Bye", "label": []}, **settings)
    assert (found(source), source.task) == ([], Task.multi_label)
    assert [document.labels for document in source.documents] == [["x", "y"], []]


@pytest.mark.parametrize("text", ["null", "NA", "None", "", " ", None, 5, True, ["a"], {"a": 1}, "\ud800"])
def test_the_text_is_not_changed_before_it_is_checked(tmp_path: Path, text: object) -> None:
    [document] = read(tmp_path, {"text": text, "label": "x"}).documents
    assert document.text == text
    assert type(document.text) is type(text)


def test_lines_that_are_no_objects_are_problems_of_their_rows(tmp_path: Path) -> None:
    source = read(tmp_path, "oops", {"text": "Hello", "label": "x"}, "[]", '{"text": "a"', "null")
    rows = [line.split(": ")[0] for line in found(source)]
    assert rows == ["train.jsonl:1", "train.jsonl:3", "train.jsonl:4", "train.jsonl:5"]
    assert [document.row for document in source.documents] == [2]
    assert source.problems[0].content.strip() == "oops"


@pytest.mark.parametrize(
    ("value", "split"), [("train", "train"), ("Dev", "validation"), ("TEST", "test"), ("", None), (None, None)]
)
def test_a_split_field_gives_the_split(tmp_path: Path, value: object, split: str | None) -> None:
    source = read(tmp_path, {"text": "Hello", "label": "x", "part": value}, split_field="part")
    assert [document.split for document in source.documents] == [split]


@pytest.mark.parametrize("value", ["holdout", 1, True, [], {"a": 1}])
def test_an_unknown_split_is_a_problem_of_its_row(tmp_path: Path, value: object) -> None:
    source = read(tmp_path, {"text": "Hello", "label": "x", "part": value}, split_field="part")
    assert found(source) == [f"train.jsonl:1: expected train, validation or test as the split, found {value!r}"]
    assert source.documents == []


def test_a_row_without_the_split_field_is_left_to_be_drawn(tmp_path: Path) -> None:
    [document] = read(tmp_path, {"text": "Hello", "label": "x"}, split_field="part").documents
    assert document.split is None


def test_the_validation_and_test_files_give_their_splits(tmp_path: Path) -> None:
    for name in ("validation", "test"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": name, "label": "x"}))
    files = {name: str(tmp_path / f"{name}.jsonl") for name in ("validation", "test")}
    source = read(tmp_path, {"text": "train", "label": "x"}, **files)
    expected = [("train", None), ("validation", "validation"), ("test", "test")]
    assert [(document.text, document.split) for document in source.documents] == expected


def test_a_file_may_be_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes('{"text": "café", "label": "x"}\n'.encode("utf-16"))
    [document] = read_files.read(TableSettings(train=str(path), encoding="utf-16")).documents
    assert document.text == "café"


def test_bytes_that_are_not_in_the_encoding_are_a_problem_of_their_row(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"text": "\xc3\xa9", "label": "x"}\n{"text": "caf\xe9", "label": "x"}\n')
    source = read_files.read(TableSettings(train=str(path)))
    assert found(source) == ["train.jsonl:2: cannot be decoded as utf-8; set data.encoding or data.fallback_encoding"]
    assert [document.row for document in source.documents] == [1]


def test_a_missing_field_is_reported_with_the_existing_ones(tmp_path: Path) -> None:
    source = read(tmp_path, {"body": "a", "label": "x"}, {"text": None, "label": "x"})
    assert found(source) == [
        "train.jsonl:1: missing field text, found body, label; set data.text_field to the text's field"
    ]
    assert [document.text for document in source.documents] == [None]  # `check` reports it.


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


def test_a_missing_file_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"data\.train: .*nowhere\.jsonl does not exist"):
        read_files.read(TableSettings(train=str(tmp_path / "nowhere.jsonl")))


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises((DataError, InputMissing), match=tmp_path.name):
        load(TableSettings(train=str(tmp_path)), None, 0)


@pytest.mark.parametrize("field", ["id", "group", "language"])
@pytest.mark.parametrize("value", [[1], {"a": 1}, True, False, [], float("nan")], ids=str)
def test_an_optional_field_of_another_kind_is_a_problem_not_its_repr(tmp_path: Path, field: str, value: Any) -> None:
    source = read(tmp_path, {"text": "Hello", "label": "x", field: value}, {"text": "Bye", "label": "y", field: 1.5})
    assert found(source) == [
        f"train.jsonl:1: expected text or a number as {field}, found {value!r}; "
        f"data.{field}_field=null ignores the field"
    ]
    assert [getattr(document, field) for document in source.documents] == ["1.5"]
    assert read(tmp_path, {"text": "Hello", "label": "x", field: value}, **{f"{field}_field": None}).problems == []


@pytest.mark.parametrize("labels", [[""], ["a", " "]], ids=str)
def test_an_empty_class_name_in_a_list_is_a_problem(tmp_path: Path, labels: list[str]) -> None:
    source = read(tmp_path, {"text": "Hello", "labels": labels})
    assert found(source) == [f"train.jsonl:1: expected a class name, found {labels[-1]!r}"]
    assert source.documents == []


@pytest.mark.parametrize("label", ["", "  ", None])
def test_an_empty_label_is_no_label(tmp_path: Path, label: str | None) -> None:
    [document] = read(tmp_path, {"text": "Hello", "label": label}).documents
    assert document.labels == []
