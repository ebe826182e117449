from typing import Any

import pytest

from tagsmith.core.schema import Task
from tagsmith.data.check import check, same_text
from tagsmith.data.documents import Document


def document(row: int, text: Any, *labels: str, **fields: Any) -> Document:
    return Document("train.csv", row, text, list(labels), **fields)


def found(*documents: Document, task: Task = Task.single_label, declared: list[str] | None = None) -> list[str]:
    return [str(problem) for problem in check(documents, task, declared)]


def test_good_documents_have_no_problem() -> None:
    documents = [document(2, "one", "a", id="1"), document(3, "two", "b", id="2"), document(4, "one", "a")]
    assert found(*documents, declared=["a", "b"]) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "the text is missing"),
        ("", "the text is empty"),
        (" \t\r\n\u00a0\u3000", "the text is empty"),
        (5, "expected text, found int 5"),
        (0, "expected text, found int 0"),
        (1.5, "expected text, found float 1.5"),
        (True, "expected text, found bool True"),
        (["a"], "expected text, found list ['a']"),
        ({}, "expected text, found dict {}"),
        ("half \ud800", "the text holds an unpaired surrogate, which is not valid Unicode"),
        ("\udfff", "the text holds an unpaired surrogate, which is not valid Unicode"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("task", list(Task))
def test_a_text_that_is_not_text_is_a_problem_of_its_row(text: object, what: str, task: Task) -> None:
    assert found(document(7, text, "a"), task=task) == [f"train.csv:7: {what}"]


@pytest.mark.parametrize("text", ["null", "NA", "None", "nan", "0", "😀", "\0", "\ufeff", "x" * 1_000_000])
def test_any_other_text_is_text(text: str) -> None:
    assert found(document(2, text, "a")) == []


def test_the_text_of_a_long_wrong_value_is_cut() -> None:
    [problem] = found(document(2, ["x"] * 10_000, "a"))
    assert len(problem) < 300


def test_single_label_documents_may_have_one_label() -> None:
    what = "expected one label, found 3: 'a', 'b', 'c' (task=multi_label allows several)"
    assert found(document(2, "one", "a", "b", "c")) == [f"train.csv:2: {what}"]


def test_multi_label_documents_have_any_number_of_labels() -> None:
    documents = [document(2, "one"), document(3, "two", "a"), document(4, "three", "a", "b")]
    assert found(*documents, task=Task.multi_label) == []


def test_an_undeclared_class_is_a_problem_of_its_row() -> None:
    documents = [document(2, "one", "a"), document(3, "two", "x", "a", "A")]
    assert found(*documents, task=Task.multi_label, declared=["a", "b"]) == [
        "train.csv:3: unknown class 'x'; the declared classes are a, b",
        "train.csv:3: unknown class 'A'; the declared classes are a, b",
    ]


def test_many_declared_classes_are_not_all_listed() -> None:
    declared = [f"c{i}" for i in range(12)]
    expected = (
        "train.csv:2: unknown class 'x'; the declared classes are c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 2 more"
    )
    assert found(document(2, "one", "x"), declared=declared) == [expected]


def test_an_id_may_be_used_once() -> None:
    documents = [document(row, f"text {row}", "a", id=name) for row, name in enumerate(["1", "2", "1", "1"], 2)]
    assert found(*documents) == [
        "train.csv:4: duplicate id '1', first used at train.csv:2 (data.id_field=null ignores ids)",
        "train.csv:5: duplicate id '1', first used at train.csv:2 (data.id_field=null ignores ids)",
    ]


def test_an_id_may_not_be_used_in_two_files() -> None:
    other = Document("test.csv", 9, "two", ["a"], "test", "1")
    [line] = found(document(2, "one", "a", id="1"), other)
    assert line.startswith("test.csv:9: duplicate id '1', first used at train.csv:2")


def test_documents_without_an_id_are_not_duplicates() -> None:
    assert found(document(2, "one", "a"), document(3, "two", "a")) == []


def test_equal_texts_with_different_labels_are_no_problem() -> None:
    assert found(document(2, "one", "a"), document(3, " one\n", "b")) == []


def test_all_problems_come_in_the_order_of_the_rows() -> None:
    documents = [
        document(2, "one", "a", id="1"),
        document(3, "", "a", "b", id="1"),
        document(4, "one", "x"),
        document(5, None),
    ]
    lines = found(*documents, declared=["a", "b"])
    assert [line.split(": ")[0] for line in lines] == [
        "train.csv:3",  # empty text
        "train.csv:3",  # two labels
        "train.csv:3",  # id
        "train.csv:4",  # unknown class
        "train.csv:5",  # no text
    ]


@pytest.mark.parametrize("field", ["id", "language", "group"])
def test_a_field_with_half_of_a_surrogate_pair_is_a_problem_of_its_row(field: str) -> None:
    [problem] = found(document(2, "one", "a", **{field: "\ud800"}))
    assert problem.startswith("train.csv:2: ")


def test_a_class_with_half_of_a_surrogate_pair_is_a_problem_of_its_row() -> None:
    [problem] = found(document(2, "one", "\ud800"), document(3, "two", "a"))
    assert problem.startswith("train.csv:2: ")


def test_a_problem_carries_the_text_and_the_labels() -> None:
    [problem] = check([document(2, "one", "x")], Task.single_label, ["a"])
    assert (problem.file, problem.row, problem.content) == ("train.csv", 2, "'one' ['x']")


@pytest.mark.parametrize(
    ("text", "form"), [("a b", "a b"), ("  a \r\n\t b ", "a b"), ("a\u00a0b", "a b"), ("A b", "A b"), ("", "")]
)
def test_white_space_does_not_make_a_text_another_one(text: str, form: str) -> None:
    assert same_text(text) == form
