"""Changes of classes: what becomes of each, and what cannot be."""

import json
from pathlib import Path

import pytest

from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.schema_changes import SchemaChanges

CLASSES = ("billing", "lost", "lost card", "other", "refund")


def changes(folder: Path, text: str) -> SchemaChanges:
    path = folder / "changes.yaml"
    path.write_text(text, encoding="utf-8")
    return SchemaChanges.read(path)


ALL = """
rename: {billing: invoices}
merge: {lost: [lost, lost card]}
split: {refund: [asks, waits]}
add: [crypto]
delete: [other]
"""


def test_all_at_once(tmp_path: Path) -> None:
    found = changes(tmp_path, ALL)
    assert found.classes(CLASSES) == ("invoices", "lost", "asks", "waits", "crypto")
    assert [found.after(name) for name in CLASSES] == [("invoices",), ("lost",), ("lost",), (), ("asks", "waits")]
    before, after = found.common(CLASSES)
    assert before == {"billing": "invoices", "lost": "lost", "lost card": "lost", "refund": "refund"}
    assert after == {"invoices": "invoices", "lost": "lost", "asks": "refund", "waits": "refund"}


def test_what_is_written_down_is_read_again(tmp_path: Path) -> None:
    for text in (ALL, "rename: {lost: gone, refund: money back}", "add: [crypto]"):
        found = changes(tmp_path, text)
        content = json.loads(json.dumps(found.as_dict()))
        assert SchemaChanges.of(content, "a record") == found
    with pytest.raises(DataError, match=r"a record: .*cannot be made"):
        SchemaChanges.of({"rename": 5}, "a record")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("rename: {lost: refund, refund: lost}", ["lost", "refund"]),
        ("rename: {lost: refund, refund: money back}", ["refund"]),
        ("rename: {lost: refund}\ndelete: [refund]", ["refund"]),
        ("delete: [refund]\nadd: [refund]", ["refund"]),
        ("split: {billing: [invoice, fee]}\nrename: {lost: billing}", ["billing"]),
        ("merge: {lost: [refund, other]}\nrename: {lost: lost card}", ["lost"]),
    ],
)
def test_a_name_that_one_class_gives_up_is_not_taken_by_another(tmp_path: Path, text: str, names: list[str]) -> None:
    with pytest.raises(DataError) as error:
        changes(tmp_path, text)
    for name in names:
        assert f"{name}: one change removes this name and another gives it to a different class" in str(error.value)


def test_a_class_may_keep_its_name_in_a_merge_or_a_split(tmp_path: Path) -> None:
    found = changes(tmp_path, "merge: {refund: [refund, lost]}\nsplit: {billing: [billing, fee]}")
    assert found.after("refund") == found.after("lost") == ("refund",)
    assert found.after("billing") == ("billing", "fee")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected some of rename"),
        ("[]", "expected some of rename"),
        ("renam: {a: b}", "renam: expected one of"),
        ("rename: [a, b]", "expected a mapping of class names"),
        ("rename: {a: [b]}", r"rename: a: expected a class name"),
        ("rename: {a: }", "rename: a: expected a class name"),
        ("rename: {a: ' b'}", "expected a class name"),
        ("merge: {a: b}", "merge: a: expected a list"),
        ("merge: {a: [b]}", "expected two classes or more"),
        ("merge: {a: [b, b]}", "b is listed twice"),
        ("split: {a: [b]}", "expected two parts or more"),
        ("split: {a: b}", "expected a list"),
        ("add: a", "add: expected a list"),
        ("add: [[1]]", "expected a class name"),
        ("rename: {a: b}\ndelete: [a]", "a: changed twice"),
        ("rename: {a: b}\nmerge: {c: [a, d]}", "a: changed twice"),
        ("rename: {a: c, b: c}", "c: the name of two new classes"),
        ("rename: {a: c}\nadd: [c]", "c: the name of two new classes"),
        ("rename: {a: b", "cannot be read as YAML"),
    ],
)
def test_what_is_no_change(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        changes(tmp_path, text)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        changes(tmp_path, "rename: {a: [1]}\nadd: b\ntypo: x")
    assert all(part in str(error.value) for part in ("rename: a", "add: expected", "typo: expected"))


def test_class_names_are_as_written(tmp_path: Path) -> None:
    found = changes(
        tmp_path, "rename: {no: yes, 007: 1e3}\nmerge: {1.10: [null, 2024-10-01]}\nadd: [True, ~]\ndelete:\n"
    )
    assert found.become == {"no": "yes", "007": "1e3", "null": "1.10", "2024-10-01": "1.10"}
    assert (found.add, found.delete) == (("True", "~"), ())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="no such file"):
        SchemaChanges.read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("delete: [lots]", "lots: unknown class"),
        ("rename: {lost: refund}", "refund: already the name of a class"),
        ("add: [other]", "other: already the name of a class"),
        ("split: {lost: [other, new]}", "other: already the name of a class"),
    ],
)
def test_what_does_not_fit_the_classes(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        changes(tmp_path, text).classes(CLASSES)
