"""When to stop: which documents are a random sample, what the figures on them are, what more tags would bring."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.config.settings import TagRun
from tagsmith.core.schema import Schema, Task
from tagsmith.tag.decisions import Decision, Kind, StoredDocument
from tagsmith.tag.order import Order, audited, random_order
from tagsmith.tag.outlook import Tagged, audit_figures, likely_gain, on_the_audit, outlook
from tagsmith.tag.stop import status_tables, write_status
from tagsmith.tag.store import Store
from tagsmith.tag.vectors import FILE, encoder_key

THREE = Schema(("billing", "bug", "praise"), Task.single_label)
KEYS = count()


def tagged_of(documents: int, noise: float, audit: int = 60) -> Tagged:
    """Three clusters, whose tags are wrong at random in a share of `noise`."""
    draw = np.random.default_rng(0)
    cluster = np.arange(documents) % 3
    vectors = (np.eye(3, 8)[cluster] * 3 + draw.normal(0, 0.3, (documents, 8))).astype(np.float32)
    tags = np.where(draw.random(documents) < noise, draw.integers(0, 3, documents), cluster)
    audited, helped = np.arange(documents) < audit, np.ones(documents, bool)
    return Tagged(vectors, np.eye(3, dtype=np.int8)[tags], [None] * documents, audited, helped)


def test_the_audit_is_judged_by_what_has_not_seen_it() -> None:
    tagged = tagged_of(150, noise=0.0)
    assert (on_the_audit(tagged, False, 0) == tagged.truth[:60]).all()
    # Tags that are random can be learned by heart alone.
    tagged = tagged_of(150, noise=1.0)
    right = (on_the_audit(tagged, False, 0) == tagged.truth[:60]).all(axis=1).mean()
    assert right < 0.55
    # Nor may a document of its group be known: pairs of one vector, with tags of their own.
    vectors = np.repeat(np.eye(75, dtype=np.float32) * 5, 2, axis=0)
    truth = np.repeat(np.eye(3, dtype=np.int8)[np.random.default_rng(1).integers(0, 3, 75)], 2, axis=0)
    twins = [str(i // 2) for i in range(150)]
    alone = Tagged(vectors, truth, [None] * 150, np.arange(150) % 2 == 0, np.ones(150, bool))
    assert (on_the_audit(alone, False, 0) == truth[::2]).all()
    apart = Tagged(vectors, truth, twins, alone.audit, alone.helped)
    assert (on_the_audit(apart, False, 0) == truth[::2]).all(axis=1).mean() < 0.6


def test_figures_of_the_audit_by_hand() -> None:
    truth = np.eye(3, dtype=np.int8)[[0, 0, 0, 1, 1, 1, 2, 2, 2, 2]]
    found = np.eye(3, dtype=np.int8)[[0, 0, 1, 1, 1, 1, 2, 2, 2, 0]]
    helped = np.asarray([True] * 6 + [False] * 4)
    figures = audit_figures(truth, found, helped, THREE.classes, 0)
    assert figures["accuracy"]["value"] == pytest.approx(0.8)
    low, high = figures["accuracy"]["interval"]
    assert 0.3 < low < 0.8 < high
    # billing: 2 right, 1 missed, 1 too many; bug: 3 right, 1 too many; praise: 3 right, 1 missed.
    assert [one["f1"] for one in figures["classes"].values()] == pytest.approx([2 / 3, 6 / 7, 6 / 7])
    assert figures["macro_f1"]["value"] == pytest.approx((2 / 3 + 12 / 7) / 3)
    shown, hidden = figures["suggestions_in_view"], figures["suggestions_hidden"]
    assert (shown["documents"], shown["accuracy"]) == (6, pytest.approx(5 / 6))
    assert (hidden["documents"], hidden["accuracy"]) == (4, 0.75)
    # With fewer documents than classes, macro F1 is far off.
    assert audit_figures(truth[:2], found[:2], helped[:2], THREE.classes, 0)["macro_f1"] is None


def test_what_more_tags_bring() -> None:
    clear = outlook(tagged_of(150, noise=0.0), None, THREE, 0)
    gain = clear["gain"]
    assert gain["documents"] == 50
    assert abs(gain["macro_f1"]) <= gain["chance"] < 0.02
    assert "less than chance moves it from one training to the next" in clear["sentences"][-1]
    assert clear["sentences"][0].startswith("On 60 documents drawn at random, the suggestions have an accuracy of 100%")
    assert clear["classes"]["bug"]["tags"] == 50
    few = outlook(tagged_of(24, noise=0.0, audit=5), None, THREE, 0)
    assert (few["audit"], few["gain"]) == (None, None)
    assert few["sentences"] == [
        "Of the random sample, 5 documents are tagged; from 20 on, accuracy is estimated.",
        "3 of 3 classes have fewer than 10 tags: too few for a learning curve, and reason to go on.",
    ]
    assert outlook(tagged_of(2, noise=0.0, audit=0), None, THREE, 0)["gain"] is None
    # Errors fall at the rate of all tagged documents, from the level of the audit.
    tagged = tagged_of(150, noise=0.3)
    whole, half = (likely_gain(tagged, THREE.classes, False, 0, level) for level in (None, 0.9))
    assert whole is not None
    assert half is not None
    now = whole["points"][-1]["macro_f1"]
    assert half["gain"]["low"] == pytest.approx(whole["gain"]["low"] * 0.1 / (1 - now))


def decided(store: Store, document: str, *tags: str, **more: Any) -> None:
    at = float(next(KEYS))
    store.decide(Decision(f"key{at}", document, Kind.tag, "anna", at, tags, **more))


def test_the_audit_has_all_documents_up_to_where_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.set_schema(THREE, {})
    store.add([StoredDocument(f"d{i}", f"text {i}") for i in range(30)])
    names = random_order([f"d{i}" for i in range(30)], 0)
    assert names == Order(store, 0.1, 0)._random
    decided(store, names[2], "bug", reason="uncertain")
    decided(store, names[4], "bug", reason="audit")
    decided(store, names[9], "bug", reason="uncertain")
    assert audited(store.outline(), store.snapshot(), 0) == set(names[:5])
    # More documents do not change the order of the others.
    store.add([StoredDocument(f"e{i}", f"other {i}") for i in range(30)])
    later = Order(store, 0.1, 0)._random
    assert [name for name in later if name in names] == names


def test_the_status_of_a_project(tmp_path: Path) -> None:
    settings = TagRun(project=str(tmp_path))
    store = Store(tmp_path)
    store.set_schema(THREE, {})
    store.add([StoredDocument(f"d{i}", f"text {i}") for i in range(90)])
    decided(store, "d0", "bug", reason="random")
    found = write_status(settings)
    assert (found["classes"]["bug"]["tags"], found["sentences"][0][:28]) == (1, "The documents have no vector")
    tagged = tagged_of(90, noise=0.0)
    np.savez(tmp_path / FILE, vectors=tagged.vectors.astype(np.float16), encoder=np.array(encoder_key(settings)))
    for i in range(40):
        decided(store, f"d{i}", THREE.classes[i % 3], reason="random", helped=i < 15)
    found = write_status(settings)
    assert json.loads((tmp_path / "status.json").read_text()) == found
    assert (found["tags"], found["people"]) == (40, {"anna": {"tags": 40, "tags_an_hour": 3600.0}})
    assert found["classes"]["bug"]["tags"] == 13
    assert found["audit"]["accuracy"]["value"] == 1.0
    assert found["audit"]["suggestions_hidden"]["documents"] == 25
    assert [table.row_count for table in status_tables(found)] == [1, 3]


def test_the_suggestions_of_a_run_are_judged_by_its_audit(tmp_path: Path) -> None:
    settings = TagRun(project=str(tmp_path))
    store = Store(tmp_path)
    store.set_schema(THREE, {})
    lines = [{"suggested": ["bug"], "scores": {}, "reason": "audit" if i < 24 else "uncertain"} for i in range(30)]
    store.add([StoredDocument(f"d{i}", f"text {i}", place=i + 1, suggested=line) for i, line in enumerate(lines)])
    for i in range(30):
        decided(store, f"d{i}", "bug" if i % 4 else "praise", reason=lines[i]["reason"])
    found = write_status(settings)
    assert (found["audit"]["documents"], found["audit"]["accuracy"]["value"], found["gain"]) == (24, 0.75, None)
