"""The tagging page's project: its decisions, its documents, its order, its suggestions and its files."""

import csv
import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.config.settings import TableSettings, TagRun
from tagsmith.core.errors import DataError, InputMissing, SettingsError, TryAgainLater
from tagsmith.core.schema import Schema, Task
from tagsmith.data.read import read_documents
from tagsmith.data.tagged import KnownClasses, read_tagged
from tagsmith.tag.decisions import Decision, Kind, StoredDocument, state_of, tags_an_hour
from tagsmith.tag.documents import fill
from tagsmith.tag.export import write_tags
from tagsmith.tag.listing import examples, listed
from tagsmith.tag.order import Order
from tagsmith.tag.store import Store
from tagsmith.tag.suggestions import Suggestions, planned, regression_scores, representative
from tagsmith.tag.tag_run import export, opened

SINGLE = Schema(("billing", "bug"), Task.single_label)
FOUR = Schema(("billing", "bug", "praise", "other"), Task.single_label)
MULTI = Schema(("billing", "bug"), Task.multi_label)
KEYS = count()


def store_of(folder: Path, *texts: str, schema: Schema = SINGLE) -> Store:
    store = Store(folder)
    store.set_schema(schema, {"billing": "invoices, refunds"})
    store.add([StoredDocument(f"d{i}", text) for i, text in enumerate(texts, 1)])
    return store


def decided(store: Store, document: str, kind: str = "tag", *tags: str, person: str = "anna", **more: Any) -> Decision:
    at = float(next(KEYS))
    return store.decide(Decision(f"key{at}", document, Kind(kind), person, at, tags, **more))


def undone(store: Store, person: str = "anna") -> Decision | None:
    number = next(KEYS)
    return store.undo(f"undo{number}", person, float(number))


def test_undo_has_no_limit_and_outlasts_a_restart(tmp_path: Path) -> None:
    store = store_of(tmp_path, "one", "two", "three")
    decided(store, "d1", "tag", "billing")
    decided(store, "d1", "note", note="a note")
    decided(store, "d1", "flag")
    decided(store, "d2", "skip")
    decided(store, "d1", "tag", "bug")
    assert store.states["d1"].tags == ("bug",)
    before = dict(store.states)
    store.close()

    store = Store(tmp_path)
    assert store.states == before
    assert [found.kind.value for _ in range(3) if (found := undone(store))] == ["tag", "skip", "flag"]
    assert store.states["d1"].tags == ("billing",)
    assert (store.states["d1"].flagged, store.states["d1"].note) == (False, "a note")
    assert "d2" not in store.states
    store.close()

    store = Store(tmp_path)
    decided(store, "d3", "tag", "bug")
    assert [found.document for _ in range(3) if (found := undone(store))] == ["d3", "d1", "d1"]
    assert undone(store) is None
    assert store.states == {}
    # Nothing is removed: 6 decisions, and an undo of each.
    assert store._file.execute("SELECT count(*), count(undoes) FROM decisions").fetchone() == (12, 6)


def test_each_person_undoes_their_own(tmp_path: Path) -> None:
    store = store_of(tmp_path, "one", "two")
    decided(store, "d1", "tag", "billing", person="anna")
    decided(store, "d2", "tag", "bug", person="ben")
    decided(store, "d1", "tag", "bug", person="ben")
    found = undone(store, "anna")
    assert found is not None
    assert (found.document, found.tags) == ("d1", ("billing",))
    assert store.states["d1"].tags == ("bug",)  # Ben's stays.
    assert undone(store, "anna") is None
    assert undone(store, "ben") is not None
    assert store.states.keys() == {"d2"}
    assert store.progress("ben")["tagged"] == 1


def test_a_decision_that_is_sent_again_counts_once(tmp_path: Path) -> None:
    store = store_of(tmp_path, "one", "two")
    decision = Decision("the same key", "d1", Kind.flag, "anna", 1.0)
    assert store.decide(decision).number == store.decide(decision).number == 1
    assert store.states["d1"].flagged
    decided(store, "d2", "tag", "bug")
    first = store.undo("the same undo", "anna", 2.0)
    assert first is not None
    assert store.undo("the same undo", "anna", 3.0) == first
    assert store.states["d1"].flagged


def test_the_rank_of_a_tag_among_the_suggestions(tmp_path: Path) -> None:
    store = store_of(tmp_path, "one", "two", "three")
    decided(store, "d1", "tag", "bug", suggestion=("bug", "billing"))
    decided(store, "d2", "tag", "billing", suggestion=("bug", "billing"))
    decided(store, "d3", "tag", "billing", suggestion=("bug",))
    decided(store, "d3", "tag", "billing")
    assert [rank for (rank,) in store._file.execute("SELECT rank FROM decisions")] == [1, 2, None, None]
    both = Decision("key", "d1", Kind.tag, "anna", 1.0, ("bug", "billing"), suggestion=("billing", "bug"))
    assert (both.rank(True), replace(both, tags=()).rank(True)) == (1, None)


def test_the_state_of_a_document_is_that_of_its_last_decisions() -> None:
    def at(number: int, kind: Kind, **more: Any) -> Decision:
        return Decision("k", "d", kind, "anna", float(number), number=number, **more)

    assert state_of([]) is None
    skipped = state_of([at(1, Kind.tag, tags=("bug",)), at(2, Kind.skip), at(3, Kind.note, note="why")])
    assert skipped is not None
    assert (skipped.status, skipped.tags, skipped.at, skipped.note) == (Kind.skip, None, 2.0, "why")
    flagged = state_of([at(1, Kind.flag), at(2, Kind.flag), at(3, Kind.note, note="x"), at(4, Kind.note)])
    assert flagged is not None
    assert (flagged.status, flagged.flagged, flagged.note) == (None, False, "")


def test_tags_an_hour_leave_out_breaks() -> None:
    assert tags_an_hour([0, 10, 20, 30]) is None
    assert tags_an_hour([0, 10, 20, 30, 40]) == 360
    assert tags_an_hour([0, 10, 20, 30, 5000, 5010]) == 360
    assert tags_an_hour([float(i) for i in range(100)] + [110.0 + 10 * i for i in range(50)]) == 360


def test_a_file_that_is_not_a_project(tmp_path: Path) -> None:
    (tmp_path / "tags.sqlite").write_bytes(b"something else, and long enough to be read as a header" * 20)
    with pytest.raises(DataError, match="is not a file of tags"):
        Store(tmp_path)


def settings_of(folder: Path, **changes: Any) -> TagRun:
    return TagRun(project=str(folder / "project"), suggest=False, port=0, **changes)


def filled(settings: TagRun) -> tuple[Store, Schema]:
    store = Store(Path(settings.project))
    return store, fill(store, settings)


def test_a_pool_with_some_tags_then_a_longer_one(tmp_path: Path) -> None:
    pool = tmp_path / "pool.csv"
    pool.write_text("id,text,label\na,one,bug\nb,two,\n,three,\n,two,\n", encoding="utf-8")
    classes = {"billing": "invoices, refunds", "bug": ""}
    store, schema = filled(settings_of(tmp_path, pool=str(pool), classes=classes))
    assert schema == SINGLE
    assert store.schema() == (SINGLE, classes)
    assert [(one.id, one.given) for one in store.documents()] == [("a", ("bug",)), ("b", None), ("pool.csv:4", None)]
    store.close()

    # Another text in line 4, another one with the id b, and a class more.
    pool.write_text("id,text\n,new\nb,other\n,fourth\nx,three\n", encoding="utf-8")
    store, schema = filled(settings_of(tmp_path, pool=str(pool), classes=["praise"]))
    assert schema.classes == ("billing", "bug", "praise")
    names = [one.id for one in store.documents()]
    assert names[:3] == ["a", "b", "pool.csv:4"]
    assert names[3] == "pool.csv:2"
    assert names[4].startswith("b ")
    assert names[5].startswith("pool.csv:4 ")
    assert len(names) == 6
    store.close()

    store, schema = filled(settings_of(tmp_path))  # Neither pool nor classes: those of the project.
    assert len(store.documents()) == 6
    assert store.schema() == (schema, {**classes, "praise": ""})


def test_a_folder_of_texts_and_several_classes_a_document(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{name}.txt").write_text(f"text {name}")
    store, schema = filled(settings_of(tmp_path, pool=str(tmp_path / "texts"), classes=["bug"], task=Task.multi_label))
    assert schema.multi_label
    assert [(one.id, one.text) for one in store.documents()] == [("a.txt", "text a"), ("b.txt", "text b")]


@pytest.mark.parametrize(
    ("rows", "changes", "error", "message"),
    [
        ("text,label\none,bug\n", {"classes": ["a", "b"]}, DataError, "unknown class 'bug'"),
        ("text\n \n", {"classes": ["a", "b"]}, DataError, "no usable documents"),
        ("body\none\n", {"classes": ["a", "b"]}, DataError, "text_field="),
        (None, {"classes": ["a", "b"]}, SettingsError, "holds no documents; set pool= or run="),
    ],
)
def test_what_cannot_be_tagged(
    tmp_path: Path, rows: str | None, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    pool = tmp_path / "pool.csv"
    pool.write_text(rows or "", encoding="utf-8")
    with pytest.raises(error, match=message):
        filled(settings_of(tmp_path, pool=str(pool) if rows else None, **changes))


def make_run(folder: Path) -> Path:
    """What `fill` and the next command read of a run: its schema, its record and its queues."""
    run = folder / "runs" / "first"
    (run / "improve").mkdir(parents=True)
    SINGLE.save(run / "schema.json")
    named = {"model.path": None, "model.name": "tiny", "model.package": None}
    record = {
        "settings": {"data.train": "t.csv", **named},
        "command": ["scripts/train.py", "data.train=t.csv", "run=x"],
        "versions": dict.fromkeys(("tagsmith", "torch", "transformers"), "1"),
        "started": "2026-11-29T10:00:00+0000",
    }
    (run / "settings.json").write_text(json.dumps(record))
    suspected = [
        {"id": "s1", "text": "wrong?", "labels": ["bug"], "suggested": "billing", "suspected": True, "tag": None},
        {"id": "s2", "text": "fine", "labels": ["bug"], "suggested": "bug", "suspected": False, "tag": None},
        {"id": "s3", "text": "done", "labels": ["bug"], "suggested": "bug", "suspected": True, "tag": "bug"},
    ]
    scores = {"bug": 0.6, "billing": 0.4}
    following = [{"id": "n1", "text": "new", "reason": "uncertain", "suggested": "bug", "scores": scores, "tag": None}]
    for name, lines in (("suspected_tags", suspected), ("tag_next", following)):
        (run / "improve" / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def test_the_queues_of_a_run(tmp_path: Path) -> None:
    settings = replace(settings_of(tmp_path, run=str(make_run(tmp_path))), suggest=True)
    with opened(settings) as (tagging, tokens):
        assert list(tokens.values()) == ["me"]
        with pytest.raises(TryAgainLater, match="is open already"), opened(settings):
            pass
        order, suggestions, store = tagging._order, tagging._suggestions, tagging._store
        assert order.next("me", 5, []) == [("s1", "suspected"), ("n1", "uncertain")]
        first, second = (store.document(name) for name in ("s1", "n1"))
        assert first is not None
        assert second is not None
        assert suggestions.of(first) == [{"name": "billing", "score": None, "take": True, "source": "run"}]
        assert [(one["name"], one["score"]) for one in suggestions.of(second)] == [("bug", 0.6), ("billing", 0.4)]
        decided(store, "s1", "tag", "billing")
    # A suspected tag that nobody has confirmed is not written; the training is that of the run, with these tags.
    said = export(settings)
    assert said[0].startswith("1 document with a tag: ")
    run, tags = settings.run, Path(settings.project) / "tags.jsonl"
    words = f"data.train=t.csv 'data.tagged=[{tags}]' data.split_from={run} run={run}_tagged"
    assert said[1].endswith(f"python scripts/train.py {words}")
    with opened(settings_of(tmp_path)) as (tagging, _):
        assert tagging._order.next("me", 5, []) == [("n1", "uncertain")]


def test_a_run_without_queues(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for path in (run / "improve").iterdir():
        path.unlink()
    with pytest.raises(InputMissing, match=r"has no queues; run scripts/improve\.py"):
        filled(settings_of(tmp_path, run=str(run)))


def test_the_order_for_two_people(tmp_path: Path) -> None:
    store = store_of(tmp_path, *(f"text {i}" for i in range(40)))
    order = Order(store, audit_share=0.25, seed=1)
    anna = order.next("anna", 3, [], now=0.0)
    ben = order.next("ben", 3, [], now=0.0)
    names = [name for name, _ in anna]
    assert not set(names) & {name for name, _ in ben}
    assert {reason for _, reason in (*anna, *ben)} == {"random", "audit"}
    # The page asks for more than it has; what it has stays with it, until it has been quiet for long.
    assert not {name for name, _ in order.next("ben", 5, [], now=800.0)} & set(names)
    assert order.next("anna", 1, names, now=800.0)[0][0] not in names
    assert {name for name, _ in order.next("carl", 40, [], now=2000.0)} >= set(names)

    order = Order(store, audit_share=0.25, seed=1)
    order.set_plan([(f"d{i}", "uncertain") for i in range(1, 41)])
    shown = order.next("anna", 16, [], now=0.0)
    assert [reason for _, reason in shown] == (["uncertain"] * 3 + ["audit"]) * 4
    # The audit is the beginning of one random order, whatever the plan is.
    audit = [name for name, reason in shown if reason == "audit"]
    assert [name for name in order._random if name in audit] == audit
    decided(store, shown[0][0], "tag", "bug")
    decided(store, shown[1][0], "skip")
    decided(store, shown[2][0], "flag")
    left = {name for name, _ in order.next("anna", 40, [], now=0.0)}
    assert left == {f"d{i}" for i in range(1, 41)} - {shown[0][0], shown[1][0]}


def test_the_regression_and_its_plan() -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(0, 0.3, (40, 8)).astype(np.float32)
    vectors[:20, 0] += 2
    vectors[20:, 0] -= 2
    tags: list[tuple[str, ...] | None] = [None] * 40
    assert regression_scores(vectors, tags, FOUR) is None
    tags[0] = tags[1] = ("bug",)
    assert regression_scores(vectors, tags, FOUR) is None  # One class alone.
    left = [row for row in range(40) if tags[row] is None]
    plan = planned(vectors, None, tags, left, FOUR, seed=0)
    assert {reason for _, reason in plan} == {"representative"}
    assert len(plan) >= 30
    assert {row for row, _ in plan} <= set(left)
    tags[39] = ("billing",)
    scores = regression_scores(vectors, tags, FOUR)
    assert scores is not None
    assert (scores.argmax(axis=1) == [1] * 20 + [0] * 20).all()
    # As many tags as classes first.
    left.remove(39)
    assert planned(vectors, scores, tags, left, FOUR, seed=0)[0][1] == "representative"
    tags[38] = ("billing",)
    left.remove(38)
    plan = planned(vectors, scores, tags, left, FOUR, seed=0)
    assert "representative" not in {reason for _, reason in plan}
    assert {row for row, _ in plan} <= set(left)
    assert len(plan) == 30
    assert planned(vectors, None, tags, [], FOUR, seed=0) == planned(vectors, scores, tags, [], FOUR, 0) == []


def test_a_cluster_with_a_tag_is_not_represented() -> None:
    corners = np.eye(32, dtype=np.float32)
    vectors = np.repeat(corners, 2, axis=0)  # 32 pairs; one document of the first two is tagged.
    found = representative(vectors, [0, 2], range(4, 64), seed=0)
    assert sorted(row // 2 for row in found) == list(range(2, 32))


def test_pools_of_other_tools_keep_their_tags(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    tagged = {"an invoice": ("billing",), "a crash": ("bug",), "what now": None}
    for text, tags in tagged.items():
        place = tmp_path / "folder" / (tags[0] if tags else "untagged")
        place.mkdir(parents=True)
        (place / f"{text}.txt").write_text(text)
    features = Features({"text": Value("string"), "label": ClassLabel(names=["billing", "bug"])})
    rows = {"text": [*tagged], "label": [0, 1, -1]}
    Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    Dataset.from_dict({"text": [*tagged]}).save_to_disk(tmp_path / "plain")
    store = Store(tmp_path / "before")
    store.set_schema(SINGLE, {})
    store.add([StoredDocument(text, text, given=tags) for text, tags in tagged.items()])
    write_tags(tmp_path / "before", store, SINGLE)
    write_tags(tmp_path / "none", store, MULTI)
    store.close()
    labels = tmp_path / "before" / "azure" / "labels.json"
    none = tmp_path / "none" / "azure" / "labels.json"
    untagged = [{"location": f"{i}.txt"} for i in (1, 2, 3)]
    kind = "CustomMultiLabelClassification"
    none.write_text(json.dumps({"assets": {"projectKind": kind, "classes": [], "documents": untagged}}))
    for pool, kept in ((tmp_path / "folder", True), (tmp_path / "saved", True), (tmp_path / "plain", False),
                       (labels, True), (none, False)):  # fmt: skip
        store = Store(tmp_path / f"project {pool.parents[1].name} {pool.name}")
        schema = fill(store, TagRun(project="p", pool=str(pool), classes=None if kept else ["billing", "bug"]))
        assert {one.text: one.given for one in store.documents()} == (tagged if kept else dict.fromkeys(tagged)), pool
        assert schema == (MULTI if pool == none else SINGLE), pool
        store.close()


def test_several_classes_are_fitted_too() -> None:
    vectors = np.eye(40, dtype=np.float32)
    assert regression_scores(vectors, [("bug", "billing"), (), *[None] * 38], MULTI) is not None


def test_suggestions_follow_the_tags(tmp_path: Path) -> None:
    store = store_of(tmp_path, *(f"text {i}" for i in range(20)))
    store.add([StoredDocument("given", "tagged before", given=("billing",))])
    vectors = np.zeros((21, 4), dtype=np.float32)
    vectors[:10, 0] = vectors[10:, 1] = 1
    vectors += np.random.default_rng(0).normal(0, 0.05, vectors.shape).astype(np.float32)
    order = Order(store, audit_share=0.0, seed=0)
    suggestions = Suggestions(store, order, TagRun(project=str(tmp_path)))
    names = np.eye(4, dtype=np.float32)[:2]  # As the documents of "billing" and "bug" are, or so it seems.
    suggestions.plan(lambda _: (vectors, names))
    assert order.next("anna", 1, [])[0][1] == "representative"
    document = store.document("d2")
    assert document is not None
    best = suggestions.of(document)[0]
    assert (best["name"], best["take"], best["source"]) == ("billing", True, "names")
    for name in ("d1", "d3", "d4", "d5", "d6", "d7", "d8"):
        shown = suggestions.of(document)
        suggested = tuple(one["name"] for one in shown)
        decided(store, name, "tag", "bug", suggestion=suggested, source=shown[0]["source"])
        suggestions.plan(lambda _: (vectors, names))
    best = suggestions.of(document)[0]
    assert (best["name"], best["take"], best["source"]) == ("bug", True, "tags")
    assert "by class names 0%, 100% in the list (of 1); by tags " in suggestions.accepted
    assert order.next("anna", 1, [])[0][1] in ("uncertain", "rare_class")


@pytest.mark.parametrize("schema", [SINGLE, MULTI])
def test_training_reads_what_is_written(tmp_path: Path, schema: Schema) -> None:
    store = store_of(tmp_path, *(f"=text, {i}\nwith a line" for i in range(1, 7)), schema=schema)
    store.add([StoredDocument("given", "before", "a group", ("bug",)), StoredDocument("last", "untagged")])
    for name in ("d1", "d2", "d3"):
        decided(store, name, "tag", "bug")
    decided(store, "d4", "tag", "billing", *(["bug"] if schema.multi_label else []))
    decided(store, "d5", "tag", *([] if schema.multi_label else ["billing"]))
    decided(store, "d6", "skip")
    decided(store, "d1", "flag")
    decided(store, "d1", "note", note="<script>")
    (lines, table, tasks, labels), written = write_tags(tmp_path, store, schema)
    assert written == 6
    first = json.loads(lines.read_text().splitlines()[0])
    tag = ["bug"] if schema.multi_label else "bug"
    assert first == {
        "id": "d1", "text": "=text, 1\nwith a line", "tag": tag, "person": "anna", "flagged": True, "note": "<script>"
    }  # fmt: skip

    found = read_documents(TableSettings(train=str(lines), label_field="tag"), None)
    assert (found.task, found.problems) == (schema.task, [])
    expected = {
        "d1": {"bug"}, "d2": {"bug"}, "d3": {"bug"}, "given": {"bug"},
        "d4": {"billing", "bug"} if schema.multi_label else {"billing"},
        "d5": set() if schema.multi_label else {"billing"},
    }  # fmt: skip
    assert {one.id: set(one.labels) for one in found.documents} == expected
    texts = {one.id: one.text for one in store.documents()}
    by_text = {texts[name]: tags for name, tags in expected.items()}
    # An empty list of Azure means untagged.
    for path, without_empty in ((tasks, not schema.multi_label), (labels, True)):
        found = read_documents(TableSettings(train=str(path)), None)
        assert (found.task, found.problems) == (schema.task, [])
        assert {one.text: set(one.labels) for one in found.documents} == {
            text: tags for text, tags in by_text.items() if tags or not without_empty
        }
    assert (labels.parent / "8.txt").read_text() == "untagged"
    manual = read_tagged([str(lines)], KnownClasses(schema.classes, schema.task))
    assert (len(manual.documents), manual.problems) == (6, [])
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["d1", "d2", "d3", "d4", "d5", "given"]
    assert rows[0]["text"].startswith("'=text")
    assert rows[3]["tag"] == ("billing; bug" if schema.multi_label else "billing")


def test_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="no project here"):
        export(settings_of(tmp_path))
    store = store_of(tmp_path / "project", "one")
    with pytest.raises(DataError, match="No document has a tag yet"):
        export(settings_of(tmp_path))
    store.close()


def test_the_list_and_the_examples(tmp_path: Path) -> None:
    store = store_of(tmp_path, "Déjà vu", "an invoice", "nothing")
    store.add([StoredDocument("given", "tagged before", given=("billing",))])
    decided(store, "d1", "tag", "bug")
    decided(store, "d2", "tag", "billing")
    decided(store, "d3", "note", note="strange", person="ben")

    def ids(search: str = "", which: str = "all", offset: int = 0) -> list[str]:
        return [one["id"] for one in listed(store, search, which, offset, 10, "anna")["documents"]]

    assert ids() == ["d3", "d2", "d1", "given"]
    assert ids("DEJA") == ["d1"]
    assert ids("billing") == ["d2", "given"]
    assert (ids("ben"), ids("strange"), ids("no such")) == (["d3"], ["d3"], [])
    assert (ids(which="tag"), ids(which="given"), ids(which="note")) == (["d2", "d1"], ["given"], ["d3"])
    assert ids(offset=3) == ["given"]
    assert examples(store, "billing") == ["an invoice", "tagged before"]
    assert examples(store, "bug") == ["Déjà vu"]
