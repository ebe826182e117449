import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.schema import Schema, Task, natural_order, ordered_classes


@pytest.mark.parametrize(
    "ordered",
    [
        ["1", "2", "10"],
        ["0", "9", "10", "99", "100"],
        ["class 2", "class 10"],
        ["v1.2", "v1.10", "v2.0"],
        ["apple", "Banana", "cherry"],
        ["2", "10", "a"],
        ["a", "a1", "a1b", "a2"],
        ["01", "1", "2"],
        ["A", "a", "B", "b"],
        ["-1", "-2"],
        ["２", "１０"],
        ["null", "NA", "None"][::-1],
        ["é", "日本"],
    ],
    ids=str,
)
def test_classes_have_one_order_whatever_the_order_of_the_rows(ordered: list[str]) -> None:
    expected = natural_order(ordered)
    assert all(natural_order(shuffled) == expected for shuffled in itertools.permutations(ordered))
    assert sorted(expected) == sorted(ordered)


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["10", "2", "1"], ["1", "2", "10"]),
        (["class 10", "class 9", "Class 8"], ["Class 8", "class 9", "class 10"]),
        (["v1.10", "v1.9"], ["v1.9", "v1.10"]),
        (["b", "C", "a"], ["a", "b", "C"]),
        (["b", "a", "b"], ["a", "b"]),
        (["x", "10", "2"], ["2", "10", "x"]),
        (["1", "01"], ["01", "1"]),
        (["1０", "９"], ["９", "1０"]),
        (["a2b10", "a2b9", "a10b1"], ["a2b9", "a2b10", "a10b1"]),
        (["²", "①", "1"], ["1", "²", "①"]),
        ([], []),
    ],
)
def test_numbers_go_by_value_and_text_by_letter(names: list[str], ordered: list[str]) -> None:
    assert natural_order(names) == ordered


def test_a_number_of_any_length_has_a_place() -> None:
    # Python refuses to turn more than 4,300 digits into an int.
    long = "1" * 5_000
    assert natural_order([long, "2"]) == ["2", long]


def test_declared_classes_keep_their_order_and_found_ones_are_sorted() -> None:
    assert ordered_classes(["b", "a", "c"], ["a"]) == ("b", "a", "c")
    assert ordered_classes(None, ["10", "2", "10"]) == ("2", "10")


def test_a_class_id_is_the_position_of_the_class() -> None:
    schema = Schema(("b", "a", "c"), Task.single_label)
    assert schema.label2id == {"b": 0, "a": 1, "c": 2}
    assert schema.names([2, 0]) == ["c", "b"]
    assert (schema.multi_label, Schema(("a",), Task.multi_label).multi_label) == (False, True)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("a", "b", "a"), "found twice: a"),
        (("b", "a", "b", "a"), "found twice: a, b"),
        (("a", ""), "may not be empty"),
        (("a", " b"), "start or end with a space"),
        (("a", "b\n"), "start or end with a space"),
    ],
)
def test_a_class_name_that_cannot_be_is_refused(classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Schema(classes, Task.single_label)


def test_a_class_name_that_no_file_could_hold_is_refused() -> None:
    with pytest.raises(DataError, match="class"):
        Schema(("a", "\ud800"), Task.single_label)


def test_the_hash_is_that_of_task_and_classes() -> None:
    content = b'["single_label", ["a", "\\u00e9"]]'
    assert Schema(("a", "é"), Task.single_label).hash == hashlib.sha256(content).hexdigest()


def test_other_classes_another_order_or_another_task_have_another_hash() -> None:
    schemas = [
        Schema(("a", "b"), Task.single_label),
        Schema(("b", "a"), Task.single_label),
        Schema(("a", "b"), Task.multi_label),
        Schema(("a", "b", "c"), Task.single_label),
        Schema(("ab",), Task.single_label),
        Schema(("a, b",), Task.single_label),
    ]
    assert len({schema.hash for schema in schemas}) == len(schemas)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("classes", [("a", "b"), ("10", "2"), ('quote "', "日本 é", "a\nb", "null")])
def test_a_schema_that_was_saved_is_loaded_equal(tmp_path: Path, classes: tuple[str, ...], task: Task) -> None:
    schema = Schema(classes, task)
    schema.save(tmp_path / "schema.json")
    loaded = Schema.load(tmp_path / "schema.json")
    assert (loaded, loaded.hash) == (schema, schema.hash)


def test_the_file_can_be_read_by_a_person(tmp_path: Path) -> None:
    schema = Schema(("é", "b"), Task.multi_label)
    schema.save(tmp_path / "schema.json")
    text = (tmp_path / "schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"task": "multi_label", "classes": ["é", "b"], "hash": schema.hash}
    assert "é" in text


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["b", "a"]},
        {"classes": ["a", "b", "c"]},
        {"task": "multi_label"},
        {"hash": "0" * 64},
        {"hash": None},
    ],
    ids=str,
)
def test_a_file_that_was_changed_by_hand_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "schema.json"
    Schema(("a", "b"), Task.single_label).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=r"schema\.json: the hash does not match the classes"):
        Schema.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\0",
        b"\xff\xfe{\0}\0",
        b"[" * 100_000,
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"task": "single_label", "classes": ["a", "b"]}',
        b'{"task": "single_label", "hash": ""}',
        b'{"task": "other", "classes": ["a", "b"], "hash": ""}',
        b'{"task": ["single_label"], "classes": ["a", "b"], "hash": ""}',
        b'{"task": "single_label", "classes": null, "hash": ""}',
        b'{"task": "single_label", "classes": 2, "hash": ""}',
        b'{"task": "single_label", "classes": [1, 2], "hash": ""}',
        b'{"task": "single_label", "classes": [null, "a"], "hash": ""}',
        b'{"task": "single_label", "classes": [["a"], ["a"]], "hash": ""}',
        b'{"task": "single_label", "classes": ["a", "a"], "hash": ""}',
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_a_file_that_is_no_schema_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "schema.json").write_bytes(content)
    with pytest.raises(DataError, match=r"schema\.json"):
        Schema.load(tmp_path / "schema.json")


def test_a_missing_schema_is_input_missing(tmp_path: Path) -> None:
    for path in (tmp_path / "schema.json", tmp_path):
        with pytest.raises(InputMissing, match=f"{path.name}: no schema here"):
            Schema.load(path)
