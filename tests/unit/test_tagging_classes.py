"""Classes that change while documents are tagged: what older tags become, what is tagged again, what is taken back."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.config.settings import TagAction, TagRun
from tagsmith.core.errors import DataError
from tagsmith.core.schema import Schema, Task
from tagsmith.tag.classes import Again, ClassChange
from tagsmith.tag.decisions import CHOSEN, Decision, Kind, StoredDocument
from tagsmith.tag.documents import fill
from tagsmith.tag.modes import matching, of_class, suspected
from tagsmith.tag.order import Order
from tagsmith.tag.store import Store
from tagsmith.tag.suggestions import Suggestions
from tagsmith.tag.tag_run import change_classes
from tagsmith.tag.vectors import encoder_key

KEYS = count()


def store_of(folder: Path, *classes: str, task: Task = Task.single_label) -> Store:
    store = Store(folder)
    store.set_schema(Schema(classes, task), {})
    store.add([StoredDocument(f"d{i}", f"text {i}") for i in range(1, 9)])
    return store


def tag(store: Store, document: str, *tags: str, person: str = "anna") -> Decision:
    number = next(KEYS)
    return store.decide(Decision(f"key {number}", document, Kind.tag, person, float(number), tags))


def change(store: Store, person: str = "anna", **content: Any) -> int:
    number = next(KEYS)
    store.change_classes(ClassChange(f"key {number}", content, person, float(number)))
    return store.history.version


def take_back(store: Store, number: int) -> None:
    store.change_classes(ClassChange(f"key {next(KEYS)}", {}, "ben", 1.0, undoes=number))


def tags(store: Store) -> dict[str, Any]:
    """The tags of each document; in brackets, the classes that it had, where it is to be tagged again."""
    return {name: list(one.again.had) if one.again else one.tags for name, one in sorted(store.states.items())}


def test_tags_follow_the_classes_and_a_restart_changes_nothing(tmp_path: Path) -> None:
    store = store_of(tmp_path, "bill", "bug", "crash", "other")
    for document, name in (("d1", "bill"), ("d2", "bug"), ("d3", "crash"), ("d4", "other")):
        tag(store, document, name)
    change(store, rename={"bill": "billing"}, describe={"billing": " invoices "})
    change(store, merge={"bug": ["bug", "crash"]}, add=["praise"])
    change(store, split={"other": ["other", "spam"]})
    assert list(store.history.guidelines.items()) == [
        ("billing", "invoices"), ("bug", ""), ("other", ""), ("spam", ""), ("praise", "")
    ]  # fmt: skip
    assert tags(store) == {"d1": ("billing",), "d2": ("bug",), "d3": ("bug",), "d4": ["other"]}
    assert store.states["d4"].status is None
    assert store.states["d4"].again == Again(("other",), (), ("other", "spam"))
    tag(store, "d4", "other")  # Given after the split, it counts.
    tag(store, "d5", "bug")
    after = tags(store)
    assert after["d4"] == ("other",)
    history, states = store.history, store.states
    store.close()
    store = Store(tmp_path)
    assert (store.history.guidelines, store.history.version) == (history.guidelines, history.version)
    assert store.states == states
    # Nothing in the log was changed.
    assert [*store._file.execute("SELECT tags FROM decisions WHERE document = 'd1'")] == [('["bill"]',)]


def test_what_is_taken_back_changes_only_tags_that_were_given_while_it_held(tmp_path: Path) -> None:
    store = store_of(tmp_path, "a", "b", "c")
    tag(store, "d1", "a")
    tag(store, "d2", "b")
    merged = change(store, merge={"m": ["a", "b"]})
    tag(store, "d3", "m")
    renamed = change(store, rename={"c": "see"})
    tag(store, "d4", "see")
    added = change(store, add=["new"])
    tag(store, "d5", "new")
    parts = change(store, split={"new": ["p", "q"]})
    tag(store, "d6", "p")
    with pytest.raises(DataError, match="Later changes build on this one"):
        take_back(store, added)
    take_back(store, parts)
    assert tags(store)["d5"] == tags(store)["d6"] == ("new",)
    take_back(store, renamed)
    take_back(store, merged)
    assert tags(store) == {
        "d1": ("a",), "d2": ("b",), "d3": ["m"], "d4": ("c",), "d5": ("new",), "d6": ("new",)
    }  # fmt: skip
    assert store.states["d3"].again == Again(("m",), (), ("a", "b"))
    with pytest.raises(DataError, match="expected the number of a change that is in force"):
        take_back(store, merged)
    take_back(store, added)
    assert tags(store)["d5"] == ["new"]
    assert store.history.schema.classes == ("a", "b", "c")


def test_several_classes_a_document_and_tags_that_documents_came_with(tmp_path: Path) -> None:
    store = store_of(tmp_path, "a", "b", "c", task=Task.multi_label)
    scores = {"a": 0.5, "b": 0.25, "c": 0.25}
    store.add([StoredDocument("given", "before", given=("a", "b"))])
    store.add([StoredDocument("queued", "queue", place=1, suggested={"suggested": ["b"], "scores": scores})])
    tag(store, "d1", "a", "b")
    tag(store, "d2", "c")
    change(store, split={"a": ["a1", "a2"]}, delete=["c"])
    store.add([StoredDocument("later", "after", given=("a1",))])
    assert store.states["d1"].again == Again(("a", "b"), ("b",), ("a1", "a2"))
    assert store.states["d2"].tags == ()
    found = {one.id: one for one in store.documents()}
    assert (found["given"].given, found["given"].again) == (None, Again(("a", "b"), ("b",), ("a1", "a2")))
    assert (found["later"].given, found["later"].again) == (("a1",), None)
    change(store, merge={"b": ["a1", "b"]})
    found = {one.id: one for one in store.documents()}
    assert found["later"].given == ("b",)
    assert found["queued"].suggested == {"suggested": ["b"], "scores": {"b": 0.25}}
    # All parts are one class again: there is nothing to ask.
    change(store, merge={"all": ["a2", "b"]})
    assert store.states["d1"].tags == ("all",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "expected some of rename, merge, split, add, delete, describe"),
        ({"rename": {"x": "y"}}, "x: unknown class"),
        ({"add": ["a"]}, "a: already the name of a class"),
        ({"add": ["B"]}, "B: differs from b by case or accents alone"),
        ({"add": [" "]}, "expected a class name"),
        ({"split": {"a": ["one"]}}, "two parts or more"),
        ({"describe": {"x": "text"}}, "x: unknown class, so it cannot be described"),
        ({"describe": ["a"]}, "describe: expected a mapping"),
    ],
)
def test_changes_that_cannot_be_made(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    store = store_of(tmp_path, "a", "b")
    with pytest.raises(DataError, match=message):
        change(store, **content)
    assert store.history.guidelines == {"a": "", "b": ""}


def test_a_page_that_has_not_seen_a_change(tmp_path: Path) -> None:
    store = store_of(tmp_path, "a", "b")
    seen = change(store, rename={"a": "aa"})
    change(store, rename={"aa": "aaa"}, split={"b": ["b1", "b2"]})
    assert store.history.of_version(["aa"], seen) == (("aaa",), None)
    assert store.history.of_version(["b"], seen)[1] == Again(("b",), (), ("b1", "b2"))
    assert store.history.of_version(["aaa"], store.history.version) == (("aaa",), None)


def test_what_is_tagged_again_is_shown_first(tmp_path: Path) -> None:
    store = store_of(tmp_path, "a", "b")
    store.add([StoredDocument("given", "before", given=("a",))])
    order = Order(store, audit_share=0.0, seed=0)
    tag(store, "d7", "a")
    tag(store, "d8", "b")
    change(store, split={"a": ["a1", "a2"]})
    assert order.next("anna", 2, [], now=0.0) == [("given", "classes"), ("d7", "classes")]
    assert store.progress("anna")["tagged"] == 1
    tag(store, "given", "a1")
    tag(store, "d7", "a2")
    assert order.next("anna", 1, [], now=0.0)[0][1] == "random"


def test_suggestions_follow_the_classes(tmp_path: Path) -> None:
    store = store_of(tmp_path, "a", "b")

    def embed(classes: Sequence[str]) -> tuple[Any, Any]:
        return np.eye(8, dtype=np.float32), np.ones((len(classes), 8), dtype=np.float32)

    suggestions = Suggestions(store, Order(store, 0.0, 0), TagRun(project=str(tmp_path)))
    tag(store, "d1", "a")
    tag(store, "d2", "b")
    suggestions.plan(embed)
    document = store.document("d3")
    assert document is not None
    assert {one["name"] for one in suggestions.of(document)} == {"a", "b"}
    change(store, rename={"a": "c"}, add=["new"])
    assert [one["name"] for one in suggestions.of(document)] == ["b"]
    suggestions.plan(embed)
    assert {one["name"] for one in suggestions.of(document)} == {"b", "c", "new"}
    change(store, delete=["b", "c", "new"])
    assert suggestions.of(document) == []
    suggestions.plan(embed)  # No classes at all.
    assert suggestions.of(document) == []


def test_a_command_may_be_repeated_after_people_have_changed_the_classes(tmp_path: Path) -> None:
    pool = tmp_path / "pool.csv"
    pool.write_text("text,label\none,bill\ntwo,bug\n")
    settings = TagRun(project=str(tmp_path / "p"), pool=str(pool), classes={"bill": "invoices", "bug": ""})
    store = Store(tmp_path / "p")
    fill(store, settings)
    change(store, rename={"bill": "billing"}, describe={"billing": "invoices and fees"})
    change(store, split={"bug": ["crash", "question"]})
    pool.write_text("text,label\none,bill\nthree,bill\nfour,bug\nfive,crash\n")
    assert fill(store, settings).classes == ("billing", "crash", "question")
    assert store.history.guidelines["billing"] == "invoices and fees"
    given = {one.text: (one.given, one.again is not None) for one in store.documents()}
    assert given == {
        "one": (("billing",), False), "two": (None, True), "three": (("billing",), False), "four": (None, False),
        "five": (("crash",), False),
    }  # fmt: skip


def test_no_classes_at_first(tmp_path: Path) -> None:
    pool = tmp_path / "pool.csv"
    pool.write_text("text\none\ntwo\n")
    store = Store(tmp_path / "p")
    assert fill(store, TagRun(project=str(tmp_path / "p"), pool=str(pool))).classes == ()
    change(store, add=["first"])
    assert fill(store, TagRun(project=str(tmp_path / "p"))).classes == ("first",)


def test_suspected_tags_and_other_modes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.set_schema(Schema(("a", "b"), Task.single_label), {})
    store.add([StoredDocument(f"d{i}", f"text {i}") for i in range(40)])
    for i in range(40):
        tag(store, f"d{i}", "ab"[(i < 20) ^ (i == 3)])
    vectors = np.zeros((40, 2), dtype=np.float16)
    vectors[:20, 0] = vectors[20:, 1] = 1
    settings = TagRun(project=str(tmp_path))
    np.savez(tmp_path / "vectors.npz", vectors=vectors, encoder=np.array(encoder_key(settings)))
    assert suspected(store, settings) == ["d3"]
    number = next(KEYS)
    store.decide(Decision(f"key {number}", "d3", Kind.tag, "anna", 1.0, ("a",), reason=CHOSEN))
    assert suspected(store, settings) == []
    assert of_class(store, "a")[:2] == ["d3", "d39"]
    assert matching(store, "TÉXT 3")[:2] == ["d3", "d30"]


def test_classes_are_changed_by_a_command(tmp_path: Path) -> None:
    store = store_of(tmp_path, "a", "no")
    tag(store, "d1", "a")
    store.close()
    changes = tmp_path / "changes.yaml"
    settings = TagRun(project=str(tmp_path), action=TagAction.classes, changes=str(changes))
    changes.write_text("rename: {a: aa}\ndescribe: {no: nothing}\n")
    assert change_classes(settings) == [
        "aa: 1 document", "no: 0 documents; nothing", "change 1: added a, no", "change 2: renamed a to aa; described no"
    ]  # fmt: skip
    changes.write_text("take_back: 2\n")
    assert change_classes(settings)[:2] == ["a: 1 document", "no: 0 documents"]
    assert change_classes(replace(settings, changes=None))[-1] == "change 3: took back change 2"
    changes.write_text("take_back: one\n")
    with pytest.raises(DataError, match="expected the number of a change and nothing else"):
        change_classes(settings)
