from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tagsmith.core.errors import DataError
from tagsmith.data.documents import Document
from tagsmith.data.held_out import Before, HeldOut, hold_out_again
from tagsmith.data.split import assign, draw_new

SEEDS = range(5)


def documents(*labels: Sequence[str], **fields: Any) -> list[Document]:
    """One document of its own text for each of these lists of labels."""
    return [Document("train.csv", i, f"text {i}", list(names), **fields) for i, names in enumerate(labels)]


def split(
    given: list[Document],
    test_share: float = 0.2,
    validation_share: float = 0.0,
    seed: int = 0,
    earlier: HeldOut | None = None,
    classes: str = "abc",
    allow_missing: bool = True,
) -> tuple[list[Document], list[str]]:
    about_earlier: list[str] = []
    if earlier is not None:
        given = hold_out_again(given, earlier, [], allow_missing, about_earlier)
        test_share = validation_share = 0
    indicators = np.array([[name in d.labels for name in classes] for d in given], dtype=np.int8)
    kept, notes = assign(given, indicators.reshape(len(given), len(classes)), test_share, validation_share, seed)
    return kept, about_earlier + notes


def before(groups: dict[str, set[str]] | None = None, **held_out: list[str]) -> HeldOut:
    """An earlier run that held out these documents, each as `id:text` or `id:text:labels`."""
    found = {split: [f"{line}:a".split(":")[:3] for line in lines] for split, lines in held_out.items()}
    documents = {split: [Before(one[0], one[1], frozenset(one[2])) for one in lines] for split, lines in found.items()}
    return HeldOut("runs/earlier", documents, groups or {})


def sizes(kept: list[Document]) -> dict[str | None, int]:
    return dict(Counter(document.split for document in kept))


def labels_of(kept: list[Document], name: str) -> dict[str, int]:
    return dict(Counter(label for document in kept if document.split == name for label in document.labels))


def texts_of(kept: list[Document], name: str) -> list[str]:
    return [document.text for document in kept if document.split == name]


def test_given_splits_are_kept() -> None:
    given = documents(*"abcabc")
    for document, name in zip(given, ["train", "test", "validation", "train", None, "test"], strict=True):
        document.split = name
    kept, notes = split(given, 0.5, 0.5)
    assert [document.split for document in kept] == ["train", "test", "validation", "train", "train", "test"]
    assert notes == []


def test_nothing_is_drawn_where_the_shares_are_zero() -> None:
    kept, notes = split(documents(*"abc"), 0, 0)
    assert (sizes(kept), notes) == ({"train": 3}, [])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drawn_split_has_each_class_in_proportion(seed: int) -> None:
    kept, notes = split(documents(*"a" * 50, *"b" * 30, *"c" * 20), 0.2, 0.25, seed)
    assert labels_of(kept, "test") == {"a": 10, "b": 6, "c": 4}
    # A quarter of the 40, 24 and 16 that are left.
    assert labels_of(kept, "validation") == {"a": 10, "b": 6, "c": 4}
    assert labels_of(kept, "train") == {"a": 30, "b": 18, "c": 12}
    assert notes == []


@pytest.mark.parametrize("seed", SEEDS)
def test_documents_of_several_classes_or_none_are_drawn_in_proportion(seed: int) -> None:
    kept, _ = split(documents(*["a"] * 20, *["b"] * 20, *["ab"] * 20, *[""] * 20), 0.25, 0, seed, classes="ab")
    drawn = labels_of(kept, "test")
    assert sizes(kept) == {"train": 60, "test": 20}
    assert drawn == {"a": 10, "b": 10}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_only_document_of_a_class_is_trained_on(seed: int) -> None:
    kept, _ = split(documents(*"a" * 20, "c", *"b" * 20), 0.2, 0.2, seed)
    assert labels_of(kept, "train")["c"] == 1


def test_one_seed_gives_one_split_and_another_seed_another() -> None:
    drawn = [texts_of(split(documents(*"ab" * 30), seed=seed)[0], "test") for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_validation_is_drawn_where_only_the_test_split_is_given() -> None:
    given = [*documents(*"ab" * 10), Document("test.csv", 1, "held out", ["a"], "test")]
    kept, _ = split(given, 0.5, 0.1)
    assert sizes(kept) == {"train": 18, "validation": 2, "test": 1}
    assert texts_of(kept, "test") == ["held out"]


def test_the_test_split_is_drawn_where_only_validation_is_given() -> None:
    given = [*documents(*"ab" * 10, split="train"), Document("valid.csv", 1, "held out", ["a"], "validation")]
    kept, _ = split(given, 0.1, 0.5)
    assert sizes(kept) == {"train": 18, "validation": 1, "test": 2}
    assert texts_of(kept, "validation") == ["held out"]


@pytest.mark.parametrize("seed", SEEDS)
def test_documents_of_one_group_stay_together(seed: int) -> None:
    given = documents(*"abc" * 20)
    for i, document in enumerate(given):
        document.group = f"author {i % 13}" if i % 4 else None
    kept, notes = split(given, 0.3, 0.3, seed)
    where: dict[str, set[str | None]] = {}
    for document in kept:
        where.setdefault(document.group or document.text, set()).add(document.split)
    assert {len(splits) for splits in where.values()} == {1}
    assert set(sizes(kept)) == {"train", "validation", "test"}
    assert notes == []


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_texts_stay_together_so_that_none_is_left_out(seed: int) -> None:
    given = documents(*"abc" * 20)
    for i, document in enumerate(given):
        document.text = f"text{' ' * (1 + i // 30)}{i % 30}"
    kept, notes = split(given, 0.3, 0.3, seed)
    assert len(kept) == 60
    assert notes == []
    test, validation, train = (
        {" ".join(t.split()) for t in texts_of(kept, n)} for n in ("test", "validation", "train")
    )
    assert test
    assert validation
    assert len(test | validation | train) == len(test) + len(validation) + len(train) == 30


@pytest.mark.parametrize("seed", SEEDS)
def test_documents_linked_through_others_stay_together(seed: int) -> None:
    # 0 and 1 share a group, 1 and 2 a text, 2 and 3 a group.
    given = documents(*"ab" * 10)
    given[0].group = given[1].group = "x"
    given[2].text = given[1].text
    given[2].group = given[3].group = "y"
    kept, _ = split(given, 0.4, 0.3, seed)
    assert len({document.split for document in kept[:4]}) == 1
    assert len(kept) == 20


@pytest.mark.parametrize("shared", [{"group": "x"}, {"text": "same"}])
def test_documents_that_are_all_linked_are_all_trained_on(shared: dict[str, str]) -> None:
    given = documents(*"ababab")
    for document in given:
        for name, value in shared.items():
            setattr(document, name, value)
    kept, notes = split(given)
    assert (sizes(kept), notes) == ({"train": 6}, [])


@pytest.mark.parametrize(("count", "share"), [(2, 0.9), (4, 0.8), (9, 0.9), (3, 0.7)])
def test_a_large_share_of_few_documents_leaves_one_to_train_on(count: int, share: float) -> None:
    kept, _ = split(documents(*("ab" * count)[:count]), share)
    assert sizes(kept).get("train", 0) >= 1
    assert len(kept) == count


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_documents_are_split_without_an_error(count: int) -> None:
    kept, _ = split(documents(*"abc"[:count]), 0.2, 0.2)
    assert sizes(kept).get("train", 0) >= 1
    assert len(kept) == count


@pytest.mark.parametrize("labels", [[["a"], []], [["a"]], [[]]], ids=str)
def test_a_single_class_is_drawn_too(labels: list[list[str]]) -> None:
    kept, _ = split(documents(*labels * 20), 0.25, classes="a")
    drawn = len(labels) * 5
    assert sizes(kept) == {"train": len(labels) * 20 - drawn, "test": drawn}


def test_documents_without_any_class_are_drawn_too() -> None:
    assert sizes(split(documents(*[""] * 20), 0.25)[0]) == {"train": 15, "test": 5}


def test_copies_of_held_out_documents_are_left_out_and_counted() -> None:
    given = [
        Document("f", i, text, ["a"], name)
        for i, (text, name) in enumerate(
            [
                ("in test", "test"),
                ("in test", "test"),
                ("in  test\n", "train"),
                ("in test", "train"),
                ("in test", "validation"),
                ("in validation", "validation"),
                (" in validation", "train"),
                ("In test", "train"),
                ("own", "train"),
                ("own", "train"),
            ]
        )
    ]
    kept, notes = split(given)
    assert [document.row for document in kept] == [0, 1, 5, 7, 8, 9]
    assert notes == [
        "Left out 2 train documents with the same text as a test document.",
        "Left out 1 validation document with the same text as a test document.",
        "Left out 1 train document with the same text as a validation document.",
    ]


def test_a_given_split_that_divides_a_group_is_kept_and_noted() -> None:
    given = documents(*"abab")
    for document, name, group in zip(given, ["train", "test", "train", "test"], "xxyz", strict=True):
        document.split, document.group = name, group
    kept, notes = split(given)
    assert [document.split for document in kept] == ["train", "test", "train", "test"]
    assert notes == ["Groups that span several of the given splits: 1."]


def test_an_earlier_run_s_held_out_documents_are_held_out_again_and_nothing_is_drawn() -> None:
    given = documents(*"abcabc", *"ab" * 20)
    given[0].text = " text\n0 "
    given[1].split = "train"
    given[2].id, given[2].text = "two", "edited"
    given[3].id = "three"
    earlier = before(
        test=["p:text 0", "q:text 1", "two:old text", "x:gone"],
        validation=["three:former text"],
    )
    kept, notes = split(given, 0.5, 0.5, earlier=earlier)
    assert [document.split for document in kept[:4]] == ["test", "test", "test", "validation"]
    assert sizes(kept) == {"train": 42, "test": 3, "validation": 1}
    assert notes == [
        "data.split_from: found 3 of 4 test documents of that run in this data.",
        "data.split_from: found 1 of 1 validation document of that run in this data.",
    ]


@pytest.mark.parametrize("known_by", ["id", "labels", "order"])
def test_a_new_copy_of_an_earlier_test_document_does_not_take_its_place(known_by: str) -> None:
    given = documents(*"abab")
    old, new = (given[3], given[0]) if known_by != "order" else (given[0], given[3])
    new.text = "text  3" if new is given[0] else "text  0"
    old.id = "known" if known_by == "id" else None
    labels = "b" if known_by == "labels" else "c"
    kept, notes = split(given, earlier=before(test=[f"known:{old.text}:{labels}"]))
    assert [(d.row, d.split) for d in kept if d.split == "test"] == [(old.row, "test")]
    assert len(kept) == 3
    assert notes[-1] == "Left out 1 train document with the same text as a test document."


def test_as_many_copies_are_held_out_as_before_with_their_labels() -> None:
    given = documents(*"aabb")
    for document in given[:3]:
        document.text = "same"
    kept, _ = split(given, earlier=before(test=["x:same:a", "y:same:b"]))
    assert [(d.row, d.split) for d in kept] == [(0, "test"), (2, "test"), (3, "train")]


def test_documents_of_a_given_split_leave_no_place_for_copies() -> None:
    given = documents(*"aabb")
    for document in given[:3]:
        document.text = "same"
    given[1].id = "new"
    given[2].split = "test"
    kept, _ = split(given, earlier=before(test=["known:same"]))
    assert [(d.row, d.split) for d in kept] == [(2, "test"), (3, "train")]
    assert kept[0].id == "known"


def test_an_id_that_another_document_has_now_does_not_hold_it_out() -> None:
    given = documents(*"abab")
    given[0].id, given[3].id = "17", "test/17"
    kept, _ = split(given, earlier=before(test=["17:text 3"]))
    assert [(d.row, d.split) for d in kept] == [(0, "train"), (1, "train"), (2, "train"), (3, "test")]


def test_an_earlier_test_document_stays_one_whatever_else_it_equals() -> None:
    given = documents(*"abab")
    given[0].id = "zero"
    kept, _ = split(given, earlier=before(test=["zero:old"], validation=["v:text 0"]))
    assert kept[0].split == "test"


def test_missing_held_out_documents_are_listed_unless_they_are_allowed() -> None:
    earlier = before(test=["t:text 0", *(f"x{i}:gone {i}" for i in range(7))], validation=["v:gone too"])
    with pytest.raises(DataError) as caught:
        split(documents(*"abab"), earlier=earlier, allow_missing=False)
    assert str(caught.value).splitlines() == [
        "data.split_from=runs/earlier: 8 of 9 held-out documents of that run are not in this data, so that figures "
        "could not be compared; restore them, or hold out the others with data.split_from_missing=allow:",
        *(f"  - test document 'x{i}': 'gone {i}'" for i in range(5)),
        "  ... and 3 more",
    ]
    kept, _ = split(documents(*"abab"), earlier=earlier)
    assert sizes(kept) == {"train": 3, "test": 1}


def test_documents_of_deleted_or_split_classes_are_not_missing() -> None:
    given = documents(*"abab")
    notes: list[str] = []
    hold_out_again(given[1:], before(test=["t:text 0", "u:text 1"]), given[:1], False, notes)
    assert notes == ["data.split_from: found 2 of 2 test documents of that run in this data."]


def test_the_rest_of_an_earlier_test_document_s_group_is_left_out() -> None:
    given = documents(*"abababab")
    for document, group in zip(given, ["x", "x", "y", "y", "z", "z", None, "w"], strict=True):
        document.group = group
    given[3].split = "validation"  # Given so, but it would help to choose the weights.
    given[5].split = "test"  # Tests on more than the earlier run did, and learns nothing.
    earlier = before({"test": {"y", "x"}, "validation": {"z"}}, test=["t:text 0", "u:gone"], validation=["v:text 4"])
    kept, notes = split(given, earlier=earlier)
    assert [(d.row, d.split) for d in kept] == [
        (0, "test"), (4, "validation"), (5, "test"), (6, "train"), (7, "train"),
    ]  # fmt: skip
    assert notes == [
        "data.split_from: found 1 of 2 test documents of that run in this data.",
        "data.split_from: found 1 of 1 validation document of that run in this data.",
        "data.split_from: left out 2 train documents whose group has test documents in that run.",
        "data.split_from: left out 1 validation document whose group has test documents in that run.",
        "Groups that span several of the given splits: 1.",
    ]


def test_a_group_that_only_this_data_names_is_held_out_too() -> None:
    given = documents(*"abab")
    given[0].group = given[1].group = "x"
    kept, notes = split(given, earlier=before(test=["t:text 0"]))
    assert [(d.row, d.split) for d in kept] == [(0, "test"), (2, "train"), (3, "train")]
    assert notes[1:] == ["data.split_from: left out 1 train document whose group has test documents in that run."]


# -- new documents --------------------------------------------------------------------------------------------------


def draw(
    given: list[Document],
    new: Sequence[Document],
    seed: int = 0,
    links: Sequence[tuple[int, int]] = (),
    **shares: float,
) -> dict[str | None, int]:
    """Draw of these new documents; returns the sizes of the splits."""
    for document in given:
        document.split = document.split or "train"
    classes = sorted({name for document in given for name in document.labels})
    indicators = np.array([[name in d.labels for name in classes] for d in given], dtype=np.int8)
    pairs = [(given[i], given[j]) for i, j in links]
    draw_new(given, indicators.reshape(len(given), len(classes)), {id(one) for one in new}, pairs, shares, seed)
    return sizes(given)


@pytest.mark.parametrize("seed", SEEDS)
def test_new_documents_are_drawn_in_proportion_and_known_ones_stay(seed: int) -> None:
    given = documents(*"aabb" * 10, *"a" * 30, *"b" * 20)
    known, new = given[:40], given[40:]
    known[0].split = known[2].split = "test"
    assert draw(given, new, seed, test=0.2) == {"train": 78, "test": 12}
    assert labels_of(new, "test") == {"a": 6, "b": 4}


def test_the_draw_does_not_depend_on_the_order_of_the_documents() -> None:
    def drawn(order: Sequence[int], seed: int) -> set[str]:
        given = documents(*["ab"[i % 2] for i in range(60)])
        draw([given[i] for i in order], given, seed, test=0.2)
        return set(texts_of(given, "test"))

    forwards, backwards = range(60), range(59, -1, -1)
    assert drawn(forwards, 0) == drawn(backwards, 0) != drawn(forwards, 1)


def test_one_new_document_a_day_is_drawn_at_the_rate_of_the_share() -> None:
    drawn = 0
    for day in range(500):
        given = documents(*"aabb")
        given[0].split = given[2].split = "test"
        new = Document("new.csv", 1, f"day {day}", ["a"])
        draw([*given, new], [new], test=0.2)
        drawn += new.split == "test"
    assert 75 <= drawn <= 125


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("known", "new", "expected"), [(0, 1, 0), (0, 2, 1), (1, 1, 1), (1, 0, 0), (2, 1, 1)])
def test_a_class_without_test_documents_gets_one_as_soon_as_another_is_left(
    seed: int, known: int, new: int, expected: int
) -> None:
    given = documents(*"a" * 20, *"z" * (known + new))
    given[0].split = "test"
    draw(given, given[20 + known :], seed, test=0.01)
    assert labels_of(given, "test").get("z", 0) == expected


def test_the_last_training_document_of_a_class_is_not_drawn() -> None:
    given = documents(*"a" * 20, ["a", "z"], ["z"])
    given[0].split = "test"
    draw(given, given, test=0.9)
    assert labels_of(given, "train").keys() == {"a", "z"}
    assert labels_of(given, "test")["z"] == 1


def test_new_documents_of_a_known_group_text_or_near_copy_stay_in_training() -> None:
    given = documents(*"ab" * 10)
    for one in (given[0], given[10]):
        one.group = "x"
    given[11].text = given[1].text
    new = given[10:]
    draw(given, new, links=[(2, 12), (12, 13)], test=0.9)
    assert [document.split for document in new[:4]] == ["train"] * 4
    assert sizes(new)["test"] >= 4


@pytest.mark.parametrize("seed", SEEDS)
def test_new_near_copies_are_drawn_together(seed: int) -> None:
    given = documents(*"ab" * 20)
    draw(given, given, seed, links=[(0, 2), (2, 4), (1, 5)], test=0.5)
    assert given[0].split == given[2].split == given[4].split
    assert given[1].split == given[5].split
