from typing import Any

import pytest

from tagsmith.config.settings import ClassNames
from tagsmith.core.errors import DataError
from tagsmith.core.schema import normal_name
from tagsmith.data.class_names import NameReader, one_spelling
from tagsmith.data.labels import (
    LabelColumn,
    as_list,
    cell_of_columns,
    columns_of_bits,
    matching_columns,
    read_column,
    remedy_of_columns,
)

ABC = ["shipping", "billing", "bug"]


def column(*cells: Any, classes: list[str] | None = None, delimiter: str | None = None) -> LabelColumn:
    reader = NameReader()
    found = read_column(cells, reader, classes, delimiter)
    found.notes += reader.notes()
    return found


@pytest.mark.parametrize(
    "text",
    [
        "['a', 'b']",
        '["a", "b"]',
        '["a","b"]',
        "('a', 'b')",
        "{'a', 'b'}",
        "['a' 'b']",
        "['a'\n 'b']",
        "array(['a', 'b'], dtype=object)",
        "array(['a', 'b'],\n      dtype='<U1')",
        "frozenset({'b', 'a'})",
        '{"choices": ["a", "b"]}',
        "{'choices': ['a', 'b']}",
        '{"a": 1, "b": true, "c": 0}',
        " ['a', 'b'] ",
    ],
)
def test_a_list_that_another_program_wrote_is_a_list(text: str) -> None:
    found = column(text, "['c']")
    assert found.labels == [["a", "b"], ["c"]]
    assert found.lists == 2
    assert found.notes[0].startswith("Read the text of 2 label cells, such as ")


@pytest.mark.parametrize("text", ["[]", "()", "set()", "frozenset()", "array([], dtype=object)"])
def test_an_empty_list_may_be_written_too(text: str) -> None:
    assert column(text, "['c']").labels == [[], ["c"]]


@pytest.mark.parametrize(
    "text",
    [
        "[urgent] bug",
        "[urgent]",
        "{a}",
        "(a, b)",
        "[a",
        "['a'",
        "[1 -1]",
        "[[1], [2]]",
        "array(['a'",
        "'a', 'b'",
        "{'a': 'b'}",
        "[" * 5000 + "]" * 5000,
        "(bug)",
        "['a', None]",
        '"a"',
        "list of bugs",
        "set(x)",
    ],
)
def test_a_class_that_begins_with_a_bracket_stays_a_class(text: str) -> None:
    assert column(text, "c").labels == [[text], ["c"]]


@pytest.mark.parametrize("texts", [("[a, b]", "[c]"), ("{a,b}", "{}", "{c}"), ('{"a",b}', "{c}"), ("[a, b]", "['c']")])
def test_lists_without_quotes_are_lists_where_all_cells_are_ones(texts: tuple[str, ...]) -> None:
    assert [names for names in column(*texts).labels if names] == [["a", "b"], ["c"]]
    assert column(*texts, "d").labels[0] == [texts[0]]


@pytest.mark.parametrize("texts", [("[a]", "[b]"), ("[a, b", "[c]"), ("[a, [b]]", "[c]"), ("{a: b, c: d}", "{e: f}")])
def test_other_brackets_are_part_of_the_name(texts: tuple[str, ...]) -> None:
    assert column(*texts).labels == [[text] for text in texts]


def test_a_list_is_read_before_the_delimiter_divides_it() -> None:
    assert column("['a', 'b']", "c, d", "", delimiter=",").labels == [["a", "b"], ["c", "d"], []]


@pytest.mark.parametrize(
    "cells", [([1, 0, 0], [0, 1, 1]), ("[1, 0, 0]", "[0 1 1]"), ([True, False, False], [0.0, 1.0, 1.0])]
)
def test_vectors_stand_for_the_declared_classes(cells: tuple[Any, ...]) -> None:
    found = column(*cells, None, [-1, -1, -1], classes=ABC)
    assert found.labels == [["shipping"], ["billing", "bug"], [], []]
    assert "Read lists of 0 and 1 as the classes shipping, billing, bug, in this order." in found.notes


def test_vectors_may_be_divided_by_the_delimiter() -> None:
    assert column("0;1;0", "1;1;0", classes=ABC, delimiter=";").labels == [["billing"], ["shipping", "billing"]]


@pytest.mark.parametrize("cells", [("0 1 0", "1 1 0"), ("0,1,0", "1,1,0"), ("0|1|0", "")])
def test_vectors_may_be_written_without_brackets(cells: tuple[str, ...]) -> None:
    assert column(*cells, classes=ABC).labels[0] == ["billing"]
    assert column(*cells, "0 1").labels[0] == [cells[0]]


@pytest.mark.parametrize("classes", [None, ["shipping", "billing"]])
def test_vectors_without_a_name_for_each_number_are_rejected(classes: list[str] | None) -> None:
    with pytest.raises(DataError, match=r"lists of 3 numbers, 0 or 1.*Expected data\.classes=\[\.\.\.\].*3 classes"):
        column([1, 0, 0], [0, 1, 0], classes=classes)


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (([0], [1]), [["0"], ["1"]]),
        (([0, 1], [1], []), [["0", "1"], ["1"], []]),
        (([0, 1, 2], [2, 3, 4]), [["0", "1", "2"], ["2", "3", "4"]]),
        ((["0", "1"], ["x", "y"]), [["0", "1"], ["x", "y"]]),
    ],
)
def test_lists_of_class_numbers_are_no_vectors(cells: tuple[Any, ...], labels: list[list[str]]) -> None:
    assert column(*cells).labels == labels


def test_a_number_that_a_list_names_twice_is_a_problem_of_its_row() -> None:
    # One vector is too short: as classes 0 and 1, the others would be learned without a word.
    found = column([1, 0, 0], [0, 1], [2, 3], classes=ABC)
    assert found.problems == {0: "expected each class once, found 0 twice in the list"}


def test_a_name_that_a_list_has_twice_counts_once_and_is_counted() -> None:
    found = column(["a", "a"], ["a", "b"], ["b", " b"])
    assert found.labels == [["a"], ["a", "b"], ["b"]]
    assert "2 lists of labels named a class twice; it counts once." in found.notes


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        ((True, False), ["true", "false"]),
        ((1.0, 0.0), ["1", "0"]),
        (("1.0", "10.0", ""), ["1", "10", ""]),
        (("1", "2.0"), ["1", "2"]),
    ],
)
def test_booleans_and_whole_floats_are_names_and_are_reported_once(cells: tuple[Any, ...], labels: list[str]) -> None:
    found = column(*cells)
    assert ["".join(names) for names in found.labels] == labels
    [note] = found.notes
    assert note.startswith("Read booleans and whole numbers with a decimal point as class names: ")


def test_versions_keep_their_decimal_points() -> None:
    assert column("1.0", "1.1").labels == [["1.0"], ["1.1"]]


def test_labels_that_look_like_several_classes_are_pointed_out() -> None:
    [note] = column("a#b", "a", "b", "a#b").notes
    assert note.startswith("2 labels look like several classes, such as 'a#b'; ")
    assert "'data.label_delimiter=\"#\"'" in note
    assert "'a;b'" in column("a;b", "c").notes[0]
    assert column("C#", "Java, Kotlin", "R").notes == []


@pytest.mark.parametrize("names", [["is_bug", "is_late"], ["bug", "late"]])
def test_the_remedy_names_the_columns_and_their_pattern(names: list[str]) -> None:
    remedy = str(remedy_of_columns(names))
    assert f"'data.label_columns=[{','.join(names)}]'" in remedy
    assert ("data.label_columns=[is_*]" in remedy) is (names[0] == "is_bug")


@pytest.mark.parametrize("cell", [None, "", "  ", float("nan")])
def test_a_cell_may_hold_nothing(cell: Any) -> None:
    found = column(cell, "a")
    assert (found.labels, found.names, found.lists) == ([[], ["a"]], 1, 0)


@pytest.mark.parametrize("cell", [1.5, {"name": "x"}, {}, [None], ["x", ["y"]], [{}], ["a", ""], b"a", float("inf")])
def test_a_value_that_is_no_name_is_a_problem(cell: Any) -> None:
    assert column("a", cell).problems[1].startswith("expected a class name, found ")


@pytest.mark.parametrize(
    "name",
    [
        "bug report",
        " bug report ",
        "bug  report",
        "bug\xa0report",
        "bug\nreport",
        "bug\r\nreport",
        "bug\treport",
        "bug report\u200b",
        "\ufeffbug report",
        "bug\u2009report",
        "bug re\xadport",
        "bug report\u200d",
        "bug report\x00",
    ],
)
def test_a_name_is_what_a_person_reads(name: str) -> None:
    assert normal_name(name) == "bug report"


@pytest.mark.parametrize("name", ["re\u0301clamation", "r\xe9clamation"])
def test_composed_and_decomposed_accents_are_one_name(name: str) -> None:
    assert normal_name(name) == "r\xe9clamation"


@pytest.mark.parametrize(
    "name", ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f469\u200d\U0001f4bb", "ﬁx", "a/b"]
)
def test_what_a_person_sees_is_kept(name: str) -> None:
    assert normal_name(name) == name


def test_names_that_are_normalised_are_counted_in_one_note() -> None:
    [note] = column("bug  report", "bug report", "bug\xa0report", "bug\xa0report").notes
    assert note.startswith(
        "Read 3 labels without surplus spaces and invisible characters, in Unicode form NFC (2 spell"
    )
    assert "'bug  report' as 'bug report'" in note


COUNTS = {"Shipping": 3, "shipping": 5, "réclamation": 2, "reclamation": 2, "bug": 1}


def test_names_that_differ_by_case_or_accents_alone_are_listed_with_their_counts() -> None:
    with pytest.raises(DataError) as caught:
        one_spelling(COUNTS, (), (), None)
    _, *lines = str(caught.value).splitlines()
    assert lines == [
        "  - reclamation (2 documents), réclamation (2 documents)",
        "  - Shipping (3 documents), shipping (5 documents)",
    ]


@pytest.mark.parametrize(
    ("declared", "how", "changed"),
    [
        (None, ClassNames.exact, {}),
        (None, ClassNames.merge, {"Shipping": "shipping", "réclamation": "reclamation"}),
        (["Shipping", "bug", "réclamation"], ClassNames.merge, {"shipping": "Shipping", "reclamation": "réclamation"}),
        (list(COUNTS), None, {}),
        (list(COUNTS), ClassNames.merge, {}),
    ],
)
def test_the_setting_decides_which_names_are_one_class(
    declared: list[str] | None, how: ClassNames | None, changed: dict[str, str]
) -> None:
    assert one_spelling(COUNTS, declared or (), declared or (), how) == changed


def test_vowel_signs_and_other_letters_are_no_accents() -> None:
    assert one_spelling({"कि": 1, "कु": 1, "が": 1, "か": 1}, (), (), None) == {}


ROWS = [
    {"id": "0", "text": "a", "is_bug": "1", "is_late": "0.0", "rare": "0"},
    {"id": "7", "text": "b", "is_bug": "0", "is_late": "1.0", "rare": "0"},
]


def test_columns_of_0_and_1_are_found() -> None:
    assert columns_of_bits(ROWS) == ["is_bug", "is_late", "rare"]
    assert columns_of_bits([{"text": "a", "urgent": True}]) == []
    assert columns_of_bits([]) == []


def test_columns_are_named_or_match_a_pattern() -> None:
    assert matching_columns(["rare", "is_*", "is_bug"], list(ROWS[0]), "a.csv") == ["rare", "is_bug", "is_late"]
    with pytest.raises(DataError, match=r"a\.csv: no column matches data\.label_columns=was_\*; found id, text"):
        matching_columns(["was_*"], list(ROWS[0]), "a.csv")


@pytest.mark.parametrize(
    ("record", "cell"),
    [
        ({"a": 1, "b": "0", "c": True}, ["a", "c"]),
        ({"a": 0, "b": "0", "c": ""}, []),
        ({"a": -1, "b": -1, "c": -1}, None),
        ({"a": 1, "b": 2, "c": "x"}, {"b": 2, "c": "x"}),
    ],
)
def test_a_cell_is_made_of_the_columns(record: dict[str, Any], cell: Any) -> None:
    assert cell_of_columns(record, ["a", "b", "c"]) == cell


def test_a_list_of_numpy_is_a_list() -> None:
    numpy = pytest.importorskip("numpy")
    assert as_list(numpy.array(["a", "b"])) == ["a", "b"]
