from dataclasses import replace
from typing import Any

import pytest

from tagsmith.config.settings import AcceptSettings
from tagsmith.core.errors import DataError
from tagsmith.core.schema import Task
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.data.changed import Unresolved
from tagsmith.data.read import ReadData
from tagsmith.refresh.incoming.data_gate import DataRefused, check_data
from tagsmith.refresh.incoming.seen import Seen, match
from tagsmith.refresh.incoming.whats_new import News
from tagsmith.refresh.store import Json

READ = ReadData([], [], 0, Task.single_label, None, Unresolved(), None, [], [], [], None, {}, {}, ["text"])


def documents(labels: str, begin: int = 0, length: int = 100, script: str = "latin", **fields: Any) -> list[Seen]:
    """A document for each letter, its class; texts and ids are numbers from `begin`."""
    given: dict[str, Any] = {"language": None} | fields
    return [
        Seen(str(i), f"sha {i}", (name,), length, given["language"], script, text=f"text {i}", place=f"new.csv:{i}")
        for i, name in enumerate(labels, begin)
    ]


def news(before: list[Seen], today: list[Seen]) -> News:
    return News(today, before, match(before, today), READ, None)


def broken(before: list[Seen], today: list[Seen], **bounds: Any) -> dict[str, Json]:
    """The figures that are out of bounds."""
    try:
        check_data(AcceptSettings(**bounds), news(before, today))
    except DataRefused as error:
        return {figure["name"].removeprefix("accept."): figure for figure in error.figures if not figure["passed"]}
    return {}


def value_of(before: list[Seen], today: list[Seen], name: str) -> float | None:
    figures = {one["name"]: one["value"] for one in check_data(AcceptSettings(), news(before, today))}
    found: float | None = figures[f"accept.{name}"]
    return found


BEFORE = documents("ab" * 100)


def test_a_day_like_those_before_is_accepted_with_all_figures() -> None:
    today = [*BEFORE, *documents("ab" * 30, 200)]
    figures = check_data(AcceptSettings(), news(BEFORE, today))
    assert {figure["name"]: figure["value"] for figure in figures} == {
        "accept.max_fewer": 0, "accept.max_more": 1.3, "accept.max_retagged": 0, "accept.max_class_shift": 0,
        "accept.max_new_class_shift": 0, "accept.vanished_classes": 0, "accept.max_new_classes": 0,
        "accept.max_contradictory": 0, "accept.max_copies": 0, "accept.max_length_ratio": 1,
        "accept.max_language_shift": 0,
    }  # fmt: skip
    assert all(figure["passed"] and figure["examples"] == [] for figure in figures)
    assert figures[1]["sentence"] == "260 documents, 1.30 times the 200 before (accept.max_more=4)"


def test_the_first_day_is_judged_by_contradictions_and_copies_alone() -> None:
    figures = check_data(AcceptSettings(), news([], documents("ab" * 30)))
    assert [figure["name"] for figure in figures] == ["accept.max_contradictory", "accept.max_copies"]


@pytest.mark.parametrize(
    ("name", "today", "value", "example"),
    [
        ("max_fewer", BEFORE[:158], 0.21, "new.csv:158 (a): 'text 158'"),
        ("max_more", [*BEFORE, *documents("ab" * 400, 200)], 5, "new.csv:200 (a): 'text 200'"),
        ("max_retagged", [*documents("ba" * 31), *BEFORE[62:]], 0.31, "new.csv:0 (b): 'text 0', before a"),
        ("max_class_shift", [*BEFORE, *documents("a" * 310, 200)], 0.3039, "new.csv:200 (a): 'text 200'"),
        ("max_new_classes", [*BEFORE, *documents("cdef" * 3, 200)], 4, "c: 3 documents"),
        ("max_copies", [*BEFORE, *documents("ab" * 24, 200), *(replace(one, id=f"x{one.id}") for one in BEFORE[:50])],
         0.5102, "new.csv:0 (a): 'text 0'"),
        ("max_length_ratio", [*BEFORE, *documents("ab" * 30, 200, length=401)], 4.01, "new.csv:200 (a): 'text 200'"),
        ("max_length_ratio", [*BEFORE, *documents("ab" * 30, 200, length=24)], 4.1667, "new.csv:200 (a): 'text 200'"),
        ("max_language_shift", [*BEFORE, *documents("ab" * 20, 200), *documents("ab" * 10, 240, script="cyrillic")],
         0.3333, "new.csv:240 (a): 'text 240'"),
    ],
)  # fmt: skip
def test_each_bound_refuses_what_breaks_it(name: str, today: list[Seen], value: float, example: str) -> None:
    found = broken(BEFORE, today)
    assert list(found) == [name]
    assert (found[name]["value"], found[name]["examples"][0]) == (value, example)
    assert len(found[name]["examples"]) <= 3
    assert found[name]["sentence"].endswith(f"(accept.{name}={getattr(AcceptSettings(), name):g})")
    wider = {"max_fewer": 0.21, "max_more": 5, "max_class_shift": 0.31, "max_new_classes": 4, "max_length_ratio": 4.2}
    assert broken(BEFORE, today, **{name: wider.get(name, 0.52)}) == {}


def test_the_classes_of_the_new_documents_are_judged_by_themselves() -> None:
    before = documents("aaab" * 100)
    found = broken(before, [*before, *documents("b" * 60, 400)])["max_new_class_shift"]
    assert (found["value"], found["bound"]) == (0.75, 0.6)
    assert found["sentence"].startswith("class b: 25.0% of the documents before, 100.0% of the new (")
    # A class that there was not has a bound of its own, and does not count here.
    assert broken(before, [*before, *documents("c" * 60, 400)]) == {}


def test_a_class_that_has_vanished_is_refused_unless_that_is_accepted() -> None:
    before = documents("ab" * 100 + "c")
    found = broken(before, before[:-1])["vanished_classes"]
    assert (found["value"], found["examples"]) == (1, ["c: 1 document before"])
    assert broken(before, before[:-1], vanished_classes=True) == {}


def test_texts_with_several_tags_are_counted_on_the_first_day_too() -> None:
    today = [*documents("a" * 45), *(replace(one, id=f"x{one.id}", labels=("b",)) for one in documents("a" * 5))]
    found = broken([], today)["max_contradictory"]
    assert (found["value"], found["examples"]) == (0.2, ["new.csv:0 (a): 'text 0'", "new.csv:0 (b): 'text 0'",
                                                         "new.csv:1 (a): 'text 1'"])  # fmt: skip


def test_bounds_on_new_documents_wait_for_fifty_of_them() -> None:
    def strange(count: int) -> list[Seen]:
        return [*BEFORE, *documents("b" * count, 200, length=9000, script="cyrillic")]

    names = ("max_new_class_shift", "max_length_ratio", "max_language_shift", "max_copies")
    assert [value_of(BEFORE, strange(49), name) for name in names] == [None] * 4
    assert list(broken(BEFORE, strange(50))) == ["max_length_ratio", "max_language_shift"]
    sentence = check_data(AcceptSettings(), news(BEFORE, strange(49)))[4]["sentence"]
    assert sentence.startswith("classes of the new documents: not judged, 49 of the 50 documents that it takes")


def test_copies_of_few_documents_before_prove_nothing() -> None:
    few = documents("ab" * 10)
    assert broken(few, [*few, *documents("ab" * 30, 20, length=9000)]) == {}


def test_a_language_column_is_compared_where_the_documents_have_it() -> None:
    before, new = documents("ab" * 100, language="en"), documents("ab" * 30, 200, language="de")
    found = broken(before, [*before, *new])["max_language_shift"]
    assert found["sentence"].startswith("100.0% of the new documents in another language: de 0.0% before, 100.0% of")
    # The column is gone: writing systems are compared.
    assert broken(before, [*before, *documents("ab" * 30, 200)]) == {}


def test_multi_label_shares_count_each_class() -> None:
    before = [replace(one, labels=("a", "b")) for one in BEFORE]
    today = [*before, *(replace(one, labels=()) for one in documents("a" * 60, 200))]
    assert broken(before, today)["max_new_class_shift"]["value"] == 1


def test_one_error_lists_all_figures_that_break_bounds() -> None:
    with pytest.raises(DataRefused) as caught:
        check_data(AcceptSettings(), news(BEFORE, documents("a" * 60, 1000, length=900, script="greek")))
    lines = str(caught.value).splitlines()
    # The history and notifications have this line alone.
    assert lines[0].startswith("The data gate refuses the documents of today by accept.max_fewer, ")
    assert lines[0].count("accept.") == 5
    assert lines[1] == "  - 200 of 200 documents of before are gone: 100.0% (accept.max_fewer=0.2)"
    assert lines[2] == "      new.csv:0 (a): 'text 0'"
    assert sum(line.startswith("  - ") for line in lines) == 5
    assert isinstance(caught.value, DataError)
    assert caught.value.exit_status == 65
    assert len(caught.value.figures) == 11


def test_classes_that_schema_changes_renames_are_no_other_tags() -> None:
    before = [*documents("a" * 60, 100), *documents("b" * 60, 200)]
    today = [replace(one, labels=("c",) if one.labels == ("b",) else one.labels) for one in before]
    assert {"vanished_classes"} <= broken(before, today, max_new_classes=0).keys()
    read = replace(READ, changes=SchemaChanges({"b": "c"}))
    renamed = replace(news(before, today), read=read)
    figures = check_data(AcceptSettings(max_retagged=0, max_new_classes=0), renamed)
    assert all(figure["passed"] for figure in figures)
    assert renamed.changes  # It is trained all the same.
