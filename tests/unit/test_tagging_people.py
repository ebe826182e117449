"""Several people on the tagging page: their answers, what is shown to whom, and how well they agree."""

import sqlite3
from itertools import count
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tagsmith.core.schema import Schema, Task
from tagsmith.tag.agreement import Rated, agreement, agreement_tables, figure
from tagsmith.tag.decisions import SECOND_PASS, Decision, Kind, StoredDocument, kind_of
from tagsmith.tag.export import answers as answers_of
from tagsmith.tag.listing import listed
from tagsmith.tag.order import Order
from tagsmith.tag.people import disputed
from tagsmith.tag.store import Store

SINGLE = Schema(("billing", "bug"), Task.single_label)
KEYS = count()


def store_of(folder: Path, documents: int, overlap: int = 1, share: float = 1.0) -> Store:
    store = Store(folder)
    store.set_schema(SINGLE, {})
    store.add([StoredDocument(f"d{i}", f"text {i}") for i in range(1, documents + 1)])
    store.ask(overlap, share)
    return store


def decided(store: Store, person: str, document: str, *tags: str, kind: Kind = Kind.tag, **more: Any) -> None:
    at = float(next(KEYS))
    store.decide(Decision(f"key{at}", document, kind, person, at, tags, **more))


def test_answers_of_two_people(tmp_path: Path) -> None:
    store = store_of(tmp_path, 4, overlap=2)
    decided(store, "anna", "d1", "bug")
    first = store.states["d1"]
    assert (first.status, first.tags, first.full) == (Kind.tag, ("bug",), False)
    # While it is open, the other one sees nothing of it, in the list neither.
    assert first.seen_by("ben") is None
    assert listed(store, "", "all", 0, 9, "ben")["total"] == 0
    assert listed(store, "", "all", 0, 9, "anna")["documents"][0]["tags"] == ["bug"]
    assert store.progress("anna") | {"left": 3} == store.progress("ben") | {"left": 3}
    assert (store.progress("anna")["left"], store.progress("ben")["left"]) == (3, 4)

    decided(store, "ben", "d1", "bug")
    decided(store, "anna", "d2", "bug")
    decided(store, "ben", "d2", "billing")
    decided(store, "anna", "d3", kind=Kind.skip)
    decided(store, "ben", "d3", "bug")
    states = store.states
    assert [(states[name].status, states[name].tags) for name in ("d1", "d2", "d3")] == [
        (Kind.tag, ("bug",)), (Kind.settle, None), (Kind.tag, ("bug",))
    ]  # fmt: skip
    assert [(one.full, one.disputed) for one in states.values()] == [(True, False), (True, True), (True, False)]
    assert (states["d1"].person, store.progress("ben")["disputed"]) == ("anna, ben", 1)
    found = disputed(store, 0, 9)
    both = [{"person": "anna", "tags": ["bug"]}, {"person": "ben", "tags": ["billing"]}]
    assert found == {
        "total": 1, "documents": [{"id": "d2", "text": "text 2", "note": "", "answers": both}]
    }  # fmt: skip

    # A tag by somebody who has seen the answers settles it; the answers stay, and it can be undone.
    assert kind_of(Kind.tag, "chosen", states["d2"]) is Kind.settle
    assert kind_of(Kind.tag, "random", states["d2"]) is kind_of(Kind.tag, "chosen", None) is Kind.tag
    decided(store, "carl", "d2", "billing", kind=Kind.settle)
    settled = store.states["d2"]
    assert (settled.status, settled.tags, settled.person, settled.disputed) == (Kind.tag, ("billing",), "carl", False)
    assert {person: one.tags for person, one in settled.answers.items()} == {"anna": ("bug",), "ben": ("billing",)}
    assert [(one["id"], one["person"], one["kind"], one["tag"]) for one in answers_of(store, SINGLE)] == [
        ("d1", "anna", "answer", "bug"), ("d1", "ben", "answer", "bug"),
        ("d2", "anna", "answer", "bug"), ("d2", "ben", "answer", "billing"), ("d2", "carl", "settled", "billing"),
        ("d3", "anna", "answer", None), ("d3", "ben", "answer", "bug"),
    ]  # fmt: skip
    before = dict(store.states)
    store.close()
    store = Store(tmp_path)  # The number of people is that of the project.
    assert store.states == before
    undone = store.undo("undo of carl", "carl", 1e9)
    assert undone is not None
    assert (undone.kind, store.states["d2"].disputed) == (Kind.settle, True)
    # With one person a document, the last tag counts.
    store.ask(1, 1.0)
    assert (store.states["d2"].tags, store.states["d2"].people) == (("billing",), {})


def test_the_order_of_documents_for_several_people(tmp_path: Path) -> None:
    store = store_of(tmp_path, 6, overlap=2)
    order = Order(store, audit_share=0.0, seed=0)
    (first,) = order.next("anna", 1, [], now=0.0)
    assert order.next("ben", 1, [], now=0.0) == [first]
    assert first not in order.next("carl", 6, [], now=0.0)  # Two are at it.
    decided(store, "anna", first[0], "bug")
    assert order.next("anna", 1, [], now=0.0) != [first]
    assert order.next("carl", 1, [], now=2000.0) == [(first[0], "")]  # Ben has gone; what was begun comes first.
    decided(store, "ben", first[0], "bug")
    assert first[0] not in {name for name, _ in order.next("carl", 6, [], now=4000.0)}
    assert store.undo("ben again", "ben", 0.0) is not None
    assert order.next("carl", 1, [], now=6000.0)[0][0] == first[0]
    # A share of the documents alone.
    store.ask(2, 0.5)
    assert {store.wanted(f"d{i}") for i in range(1, 7)} == {1, 2}
    kept = sum(store.wanted(f"x{i}") == 2 for i in range(2000))
    assert 900 < kept < 1100


def test_a_second_pass_over_ones_own_tags(tmp_path: Path) -> None:
    store = store_of(tmp_path, 60)
    for i in range(1, 31):
        decided(store, "anna", f"d{i}", "bug")
    order = Order(store, audit_share=0.0, seed=0, second_share=0.5)
    shown = order.next("anna", 4, [])
    assert [reason for _, reason in shown] == ["random", SECOND_PASS, "random", SECOND_PASS]
    name, other = shown[1][0], shown[3][0]
    assert {name, other} <= {f"d{i}" for i in range(1, 11)}  # Not those of just now.
    assert SECOND_PASS not in {reason for _, reason in order.next("ben", 4, [])}
    decided(store, "anna", name, "billing", reason=SECOND_PASS)
    decided(store, "anna", other, kind=Kind.skip, reason=SECOND_PASS)
    state = store.states[name]
    assert (state.status, state.tags, state.disputed) == (Kind.tag, ("bug",), True)  # The first one counts.
    assert (store.states[other].status, store.states[other].disputed) == (Kind.tag, False)
    assert disputed(store, 0, 9)["documents"][0]["answers"] == [
        {"person": "anna", "tags": ["bug"]}, {"person": "anna, again", "tags": ["billing"]}
    ]  # fmt: skip
    decided(store, "anna", name, "billing", reason="chosen")
    assert (store.states[name].tags, store.progress("anna")["disputed"]) == (("billing",), 0)


def test_kappa_by_hand() -> None:
    yes, no = ("yes",), ("no",)
    cells = [(yes, yes)] * 20 + [(yes, no)] * 5 + [(no, yes)] * 10 + [(no, no)] * 15
    found = figure([Rated({"anna": a, "ben": b}, None) for a, b in cells], Schema(("yes", "no"), Task.single_label), 0)
    assert found is not None
    # 35 of 50 agree; chance: 0.5 * 0.6 + 0.5 * 0.4.
    assert (found["method"], found["documents"], found["agreed"]) == ("cohen_kappa", 50, 0.7)
    assert found["value"] == pytest.approx((0.7 - 0.5) / (1 - 0.5))
    # The interval of Fleiss, Cohen and Everitt (1969) would be 0.15 to 0.65.
    assert found["low"] == pytest.approx(0.15, abs=0.03)
    assert found["high"] == pytest.approx(0.65, abs=0.03)
    assert found["classes"]["yes"]["value"] == pytest.approx(0.4)


def test_alpha_as_published() -> None:
    people = ("* * * * * 3 4 1 2 1 1 3 3 * 3", "1 * 2 1 3 3 4 3 * * * * * * *", "* * 2 1 3 4 4 * 2 1 1 3 3 * 4")
    answers = zip(*(one.split() for one in people), strict=True)
    tagged = [{name: (tag,) for name, tag in zip("abc", some, strict=True) if tag != "*"} for some in answers]
    rated = [Rated(tags, None) for tags in tagged if len(tags) > 1]
    found = figure(rated, Schema(("1", "2", "3", "4"), Task.single_label), 0)
    assert found is not None
    assert (found["method"], found["documents"]) == ("krippendorff_alpha", 12)
    assert found["value"] == pytest.approx(0.691358, abs=1e-6)


@pytest.mark.parametrize("people", [2, 3])
@pytest.mark.parametrize("multi_label", [False, True])
def test_agreement_as_by_the_libraries(people: int, multi_label: bool) -> None:
    draw, classes = np.random.default_rng(people), ("a", "b", "c")
    marks = draw.random((40, people, 3)) < 0.4
    if not multi_label:
        marks = np.eye(3, dtype=bool)[draw.integers(0, 3, (40, people))]
    there = draw.random((40, people)) < (0.7 if people > 2 else 2)
    there[:, :2] = True
    rated = [
        Rated({f"p{i}": tuple(np.asarray(classes)[marks[row, i]]) for i in range(people) if there[row, i]}, None)
        for row in range(40)
    ]
    found = figure(rated, Schema(classes, Task.multi_label if multi_label else Task.single_label), 0)
    assert found is not None
    counts = (marks & there[..., None]).sum(axis=1)
    each = [
        cohen_kappa_score(marks[:, 0, i], marks[:, 1, i])
        if people == 2
        else krippendorff.alpha(
            value_counts=np.stack([counts[:, i], there.sum(axis=1) - counts[:, i]], axis=1),
            level_of_measurement="nominal",
        )
        for i in range(3)
    ]
    assert [one["value"] for one in found["classes"].values()] == pytest.approx(each)
    whole = (
        float(np.mean(each))
        if multi_label
        else cohen_kappa_score(marks[:, 0].argmax(axis=1), marks[:, 1].argmax(axis=1))
        if people == 2
        else krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")
    )
    assert found["value"] == pytest.approx(whole)
    assert found["low"] < found["value"] < found["high"]


def test_complete_agreement_is_not_certain_and_chance_may_agree_too() -> None:
    same = [Rated({"a": (tag,), "b": (tag,)}, None) for tag in ("bug", "billing") * 5]
    found = figure(same, SINGLE, 0)
    assert found is not None
    assert (found["value"], found["high"]) == (1.0, 1.0)
    assert found["low"] == pytest.approx(1 - (1 - 0.7225) / 0.5, abs=1e-3)  # Wilson's interval of 10 of 10.
    constant = figure([Rated({"a": ("bug",), "b": ("bug",)}, None)] * 5, SINGLE, 0)
    assert constant is not None
    assert (constant["value"], constant["agreed"]) == (None, 1.0)
    assert figure(same[:1], SINGLE, 0) is None


def test_agreement_with_and_without_suggestions(tmp_path: Path) -> None:
    store = store_of(tmp_path, 8, overlap=2)
    for i in range(1, 9):
        hidden = i > 4
        decided(store, "anna", f"d{i}", "bug" if i % 2 else "billing", helped=not hidden)
        decided(store, "ben", f"d{i}", "bug" if i % 2 or hidden else "billing", helped=not hidden)
    decided(store, "anna", "d1", "bug", reason=SECOND_PASS)
    decided(store, "anna", "d2", "bug", reason=SECOND_PASS)
    found = agreement(store.snapshot(), SINGLE, 0)
    shares = [found[name]["agreed"] for name in ("between_people", "with_suggestions", "without_suggestions")]
    assert shares == [0.75, 1.0, 0.5]
    assert found["with_themselves"]["anna"]["agreed"] == 0.5
    assert [table.row_count for table in agreement_tables(found)] == [4, 2]


def test_a_project_of_yesterday_opens(tmp_path: Path) -> None:
    store = store_of(tmp_path, 2)
    decided(store, "anna", "d1", "bug", suggestion=("bug", "billing"))
    decided(store, "ben", "d1", "billing")
    store.close()
    with sqlite3.connect(tmp_path / "tags.sqlite") as file:  # As layout 1 was.
        file.executescript(
            "ALTER TABLE decisions DROP COLUMN helped; ALTER TABLE decisions DROP COLUMN source;"
            "DROP INDEX decisions_of_document;"
            "DROP INDEX decisions_of_person; DELETE FROM project WHERE name = 'overlap'; PRAGMA user_version = 1;"
        )
    file.close()
    store = Store(tmp_path)
    assert (store.states["d1"].tags, store.wanted("d1")) == (("billing",), 1)
    assert [one.helped for one in store.log()] == [True, False]
    decided(store, "anna", "d2", "bug", helped=True)
    assert store.log("d2")[0].helped
