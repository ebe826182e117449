"""The gate of a refresh on bundles without training: which version may go into production, and what it says."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from tagsmith.bench.renewal.gate_rates import Setting, rates
from tagsmith.config.settings import BestMetric, RefreshRun
from tagsmith.core.errors import DataError
from tagsmith.core.files import digest, write_json
from tagsmith.core.schema import Schema, Task
from tagsmith.evaluate.comparison.margin import margin_of
from tagsmith.refresh.gate.checks import to_person
from tagsmith.refresh.gate.judge import judge
from tagsmith.refresh.gate.shared import FIGURES
from tagsmith.refresh.gate.wear import WORN, good_for, least_gain
from tagsmith.refresh.store import Store, Version
from tests.bundles import make_bundle
from tests.conftest import FILLERS, TOPICS
from tests.documented import documented, fields

Json = dict[str, Any]
Tagged = Sequence[tuple[str, str, str | tuple[str, ...]]]
"""Documents: id, text, and the class or the classes."""


def documents(count: int, topics: Mapping[str, Sequence[str]] = TOPICS, start: str = "") -> list[tuple[str, str, str]]:
    """Each of one word of a topic between two fillers; topics and words take turns."""
    names = sorted(topics)
    found = []
    for i in range(count):
        name = names[i % len(names)]
        word = topics[name][(i // len(names)) % len(topics[name])]
        found.append((f"{start}{i}", f"{FILLERS[i % 10]} {word} {FILLERS[(i + 3) % 10]}", name))
    return found


def without(*words: str) -> dict[str, list[str]]:
    """The topics of a model that does not know these words: it takes them for the first class."""
    return {topic: [word for word in all_words if word not in words] for topic, all_words in TOPICS.items()}


def version(
    store: Store,
    number: int,
    test: Tagged,
    topics: Mapping[str, Sequence[str]] = TOPICS,
    train: Tagged | None = None,
    **bundle: Any,
) -> Version:
    """A version with documents and a bundle; `bundle`: arguments of `make_bundle`."""
    found = Version(store.versions_folder / f"{number:04}")
    several = bool(bundle.get("multi_label"))
    schema = Schema(tuple(sorted(topics)), Task.multi_label if several else Task.single_label)
    found.run.path.mkdir(parents=True)
    schema.save(found.run.schema)
    label: Any = datasets.ClassLabel(names=list(schema.classes))
    text = datasets.Value("string")
    features = datasets.Features({"id": text, "text": text, "labels": datasets.List(label) if several else label})
    parts = {}
    for split, tagged in (
        ("train", (test if several else documents(60, topics, "t")) if train is None else train),
        ("test", test),
    ):
        labels: list[Any] = [
            schema.label2id[name] if isinstance(name, str) else [schema.label2id[one] for one in name]
            for _, _, name in tagged
        ]
        columns = {"id": [one[0] for one in tagged], "text": [one[1] for one in tagged], "labels": labels}
        if tagged:
            parts[split] = datasets.Dataset.from_dict(columns, features)
    datasets.DatasetDict(parts).save_to_disk(str(found.run.data))
    make_bundle(found.bundle, topics=topics, **bundle)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "store")
    found.create()
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagsmith.evaluate.comparison.paired.EXCHANGES", 1000)
    monkeypatch.setattr("tagsmith.refresh.gate.shared.RESAMPLES", 300)
    monkeypatch.setattr("tagsmith.refresh.gate.cost.ROUNDS", 3)


def settings(**more: Any) -> RefreshRun:
    found = RefreshRun(store="store", **more)
    # Of graphs that take a tenth of a millisecond, a busy machine may make one several times slower.
    found.bounds.max_latency_ratio = 100.0
    return found


def decide(
    store: Store, new: Version, old: Version | None, slices: dict[str, set[str]] | None = None, **more: Any
) -> Json:
    found = judge(settings(**more), store, new, old, slices or {})
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    write_json(new.decision, found)
    return found


def failed(found: Json) -> list[str]:
    return [check["name"] for check in found["checks"] if not check["passed"]]


def test_a_copy_of_the_version_in_production_is_not_worse_and_not_better(store: Store) -> None:
    test = documents(120)
    old, new = version(store, 1, test), version(store, 2, test)
    found = decide(store, new, old, {"frozen": {one[0] for one in test}})
    assert found["promote"]
    assert found["sentence"].startswith("0002 can be promoted. Macro F1 is 100.0%, in production 100.0%: 0.0 points")
    assert found["figures"]["frozen"]["documents"] == 120
    better = decide(store, new, old, gate="better")
    assert failed(better) == ["better"]
    assert failed(decide(store, new, old, gate=["better", "floor"])) == ["better"]
    assert decide(store, new, old, gate="floor")["promote"]


def test_a_version_that_has_forgotten_a_fifth_of_two_classes_is_held_back(store: Store) -> None:
    """Unknown words count for the first class: food and tools lose recall, animals precision."""
    test = documents(300)
    old = version(store, 1, test)
    new = version(store, 2, test, without("bread", "cheese", "hammer", "saw"))
    found = decide(store, new, old)
    compared = found["figures"]["compared"]
    # 10 documents have each word; of 300, 40 are wrong. Food and tools: recall 0.8; animals: precision 100 / 140.
    expected = (2 * (2 * 0.8 / 1.8) + 2 * 100 / 240) / 3
    assert compared["champion"]["macro_f1"] == 1
    assert compared["challenger"]["macro_f1"] == pytest.approx(expected)
    assert compared["challenger"]["accuracy"] == pytest.approx(260 / 300)
    assert failed(found) == ["not_worse", "classes"]
    assert {name for name, one in found["classes"]["shared"].items() if one["p_value"] < 0.05} == set(TOPICS)
    assert found["margin"]["found"] == pytest.approx(40 / 300)
    # The other way round it is better by both gates.
    back = version(store, 3, test)
    assert decide(store, back, new, gate=["not_worse", "better"])["promote"]


def test_a_margin_may_be_given(store: Store) -> None:
    test = documents(90)
    old, new = version(store, 1, test), version(store, 2, test, without("bread"))
    assert failed(decide(store, new, old, margin=0.001)) == ["not_worse"]
    found = decide(store, new, old, margin=0.2)
    assert found["promote"]
    assert found["margin"]["given"]


def test_a_new_class_has_its_own_floor(store: Store) -> None:
    """A new class is not held against the version in production, which cannot know it; it has its own floor."""
    kitchen = {**TOPICS, "food": TOPICS["food"][:5], "kitchen": TOPICS["food"][5:]}
    test = documents(200, kitchen)
    old, new = version(store, 1, documents(90), vote=9.0), version(store, 2, test, kitchen, vote=9.0)
    found = decide(store, new, old)
    assert found["promote"]
    assert found["documents"] == {"test": 200, "compared": 150}
    assert found["classes"]["new"] == {"kitchen": {"documents": 50, "f1": 1.0}}
    assert set(found["classes"]["shared"]) == set(TOPICS)
    # It does not learn the new class.
    blind = {**kitchen, "kitchen": []}
    poor = version(store, 3, test, blind, train=documents(60, kitchen, "t"), vote=9.0)
    assert failed(decide(store, poor, old)) == ["new_classes"]
    # Of fewer documents than it takes to judge, it says how many there are.
    few = version(store, 4, [one for one in test if one[2] != "kitchen"] + test[2:3], kitchen, vote=9.0)
    found = decide(store, few, old)
    assert found["promote"]
    sentence = next(check["sentence"] for check in found["checks"] if check["name"] == "new_classes")
    assert sentence == "Too few test documents to judge, of 20: kitchen (1)."


def test_renamed_merged_and_removed_classes(store: Store, tmp_path: Path) -> None:
    (tmp_path / "changes.yaml").write_text("merge: {things: [food, tools]}\n")
    after = {"animals": TOPICS["animals"], "things": [*TOPICS["food"], *TOPICS["tools"]]}
    old, new = version(store, 1, documents(90), vote=9.0), version(store, 2, documents(90, after), after, vote=9.0)
    run = settings()
    run.data.schema_changes = str(tmp_path / "changes.yaml")
    found = judge(run, store, new, old, {})
    assert found["promote"]
    assert set(found["classes"]["shared"]) == {"animals", "things"}
    assert (found["classes"]["new"], found["classes"]["removed"]) == ({}, [])
    # Without the description, only animals are the same.
    found = decide(store, new, old)
    assert (list(found["classes"]["new"]), found["classes"]["removed"]) == (["things"], ["food", "tools"])
    # A later version of the same classes: the changes were made long ago.
    later = version(store, 3, documents(90, after), after, vote=9.0)
    assert set(judge(run, store, later, new, {})["classes"]["shared"]) == {"animals", "things"}


def test_the_first_version_has_a_floor_and_tfidf(store: Store) -> None:
    test = documents(120)
    found = decide(store, version(store, 1, test), None, {"frozen": {one[0] for one in test[:60]}, "0002_x": set()})
    assert found["promote"]
    assert [check["name"] for check in found["checks"]] == ["floor", "tfidf"]
    assert found["figures"]["frozen"]["documents"] == 60
    assert found["figures"]["slices"] == {}
    # TF-IDF knows the words of the training documents.
    poor = version(store, 2, test, without("bread", "cheese", "soup", "apple", "hammer", "saw", "drill"))
    assert failed(decide(store, poor, None)) == ["tfidf"]
    nothing = version(store, 3, test, {name: [] for name in TOPICS}, train=documents(60, start="t"))
    assert failed(decide(store, nothing, None)) == ["floor", "tfidf"]


def test_calibration_what_goes_to_a_person_and_size_have_bounds(store: Store) -> None:
    test = documents(120)
    old = version(store, 1, test)
    # A vote of 2 is 79 %; of 9, 99.97 %.
    unsure = version(store, 2, test, vote=1.0)
    assert failed(decide(store, unsure, old)) == ["calibration_error"]
    asks = version(store, 3, test, abstain_below=0.99)
    assert failed(decide(store, asks, old)) == []  # A first promise.
    assert failed(decide(store, asks, version(store, 4, test, abstain_below=0.5))) == ["to_person"]
    large = version(store, 5, test)
    manifest = json.loads((large.bundle / "manifest.json").read_text())
    (large.bundle / "README.md").write_text("x" * 100_000)
    manifest["files"]["README.md"] = {"sha256": digest(large.bundle / "README.md"), "bytes": 100_000}
    write_json(large.bundle / "manifest.json", manifest)
    assert failed(decide(store, large, old)) == ["size"]


def test_the_page_shows_both_versions(store: Store) -> None:
    test = documents(90)
    old, new = version(store, 1, test), version(store, 2, test, without("bread"))
    for number, one in enumerate((old, new)):
        versions = dict.fromkeys(("tagsmith", "torch", "transformers"), "1")
        settings = {f"model.{name}": "m" for name in ("path", "name", "package")} | {"seed": number}
        write_json(one.run.settings, {"settings": settings, "versions": versions, "started": "2026-11-25"})
    decide(store, new, old, margin=0.2)
    page = (new.path / "comparison.html").read_text(encoding="utf-8")
    assert "<title>0002 compared with 0001" in page, page[page.index("<title>") :][:200]
    assert "3 documents" in page
    assert " bread " in page


@pytest.mark.parametrize("by", BestMetric)
def test_any_figure_may_decide(store: Store, by: BestMetric) -> None:
    test = documents(120)
    old, new = version(store, 1, test), version(store, 2, test, without("bread", "cheese", "soup", "hammer", "saw"))
    assert failed(decide(store, new, old, by=by))[0] == "not_worse"
    assert decide(store, old, new, by=by, gate=["not_worse", "better"])["promote"]


def test_multi_label(store: Store) -> None:
    """Each document has the classes of its words."""
    few = [(str(i), f"the {a} with {b}", (x, y)) for i, (a, x, b, y) in enumerate(_pairs())]
    none = [(f"none {i}", "the with under", ()) for i in range(10)]
    test = [*few, *none]
    old, new = (version(store, number, test, multi_label=True) for number in (1, 2))
    found = decide(store, new, old)
    assert found["promote"]
    assert found["documents"] == {"test": len(test), "compared": len(test)}
    assert found["figures"]["compared"]["challenger"]["accuracy"] == 1
    worse = version(store, 3, test, without(*TOPICS["food"][:4]), multi_label=True)
    assert "not_worse" in failed(decide(store, worse, old))
    assert failed(decide(store, worse, None)) == ["tfidf"]
    # Whoever asks for one class is not to get a list.
    single = version(store, 4, documents(120))
    assert failed(decide(store, single, old)) == ["same_task"]


def _pairs() -> list[tuple[str, str, str, str]]:
    names = sorted(TOPICS)
    return [
        (TOPICS[names[i % 3]][i % 10], names[i % 3], TOPICS[names[(i + 1) % 3]][i // 3 % 10], names[(i + 1) % 3])
        for i in range(90)
    ]


def test_the_margin_by_hand() -> None:
    """(1.96 + 0.84) standard errors, each the root of 5 % over the documents."""
    even = np.eye(4, dtype=np.int8)[np.arange(1000) % 4]
    found = margin_of(None, BestMetric.macro_f1, even)
    assert found.value == pytest.approx(2.8016 * (0.05 / 1000) ** 0.5, rel=1e-4)
    assert found.passes == pytest.approx(0.8)
    assert found.sentence == (
        "With 1,000 test documents, a version that is equally good passes in about 80% of cases, if one of the two is "
        "right and the other wrong on 5% of them; one that is worse by 2 points or more in about 3%."
    )
    # 900 of a class and 100 of another: macro F1 varies as of 2 ** 2 / (1 / 900 + 1 / 100) = 360 documents.
    uneven = np.eye(2, dtype=np.int8)[(np.arange(1000) < 100).astype(int)]
    assert margin_of(None, BestMetric.accuracy, uneven).passes == pytest.approx(0.8)
    rare = margin_of(None, BestMetric.macro_f1, uneven)
    assert rare.value == found.value
    assert rare.error == pytest.approx((0.05 / 360) ** 0.5)
    assert margin_of(0.01, BestMetric.macro_f1, even).passes < 0.3
    assert "0.0266 nats" in margin_of(None, BestMetric.log_loss, even).sentence


def test_frozen_documents_wear_sooner_where_the_margin_is_narrow_for_them() -> None:
    def good(margin: float | None, documents: int, *gate: str) -> int | None:
        found = margin_of(margin, BestMetric.macro_f1, np.eye(4, dtype=np.int8)[np.arange(documents) % 4])
        least = least_gain(found, gate)
        return None if least is None else good_for(least, WORN * found.value / found.error)

    few, some = good(0.02, 200, "not_worse"), good(0.02, 1000, "not_worse")
    assert few is not None
    assert some is not None
    assert 1 < few < 10 < some < 50
    assert good(0.02, 3000, "not_worse") is None
    assert good(None, 200, "not_worse") == good(None, 3000, "not_worse")
    assert least_gain(margin_of(None, BestMetric.accuracy, np.eye(2, dtype=np.int8)), ["floor"]) is None


@pytest.mark.slow
def test_decisions_on_the_same_frozen_documents_are_counted_and_what_is_lost_adds_up(store: Store) -> None:
    # Each version forgets one more word, which is in 3 of 300 documents: less than the margin of 3.6 points.
    words = TOPICS["food"][:7]
    rest = without(*words)
    test = documents(279, rest) + documents(21, {"food": words}, "rare ")
    store.test.joinpath("frozen.jsonl").write_text("first")
    slices = {"frozen": {one[0] for one in test}}
    production, standing = None, []
    for number in range(1, 8):
        new = version(store, number, test, without(*words[: number - 1]))
        found = decide(store, new, production, slices)
        assert found["wear"]["decisions"] == number
        standing.append(found["standing"]["value"])
        assert failed(found) == ["since_best"] * (number == 7)
        production = new
    assert standing == pytest.approx(np.arange(7) * -0.01, abs=0.003)
    assert found["standing"]["highest"] == 0
    store.test.joinpath("frozen.jsonl").write_text("second")
    renewed = decide(store, version(store, 8, test), production, slices)
    assert renewed["wear"]["decisions"] == 1
    assert renewed["standing"]["value"] > 0


def test_worn_documents_offer_new_ones(store: Store) -> None:
    test = documents(120)
    old, new = version(store, 1, test), version(store, 2, test)
    decide(store, old, None)
    content = old.read_decision()
    content["wear"]["decisions"] = 40
    write_json(old.decision, content)
    wear = decide(store, new, old)["wear"]
    assert (wear["decisions"], wear["worn"]) == (41, True)
    assert "41 decisions on these frozen test documents, which are good for about" in wear["sentence"]
    assert wear["sentence"].endswith("action=renew_test puts those of the slices in their place.")
    assert wear["passes"] < 0.6


def test_damage_and_missing_test_documents_say_what_to_do(store: Store) -> None:
    test = documents(30)
    old, new = version(store, 1, test), version(store, 2, test)
    with pytest.raises(DataError, match="expected test documents"):
        judge(settings(), store, version(store, 3, []), old, {})
    (old.bundle / "onnx" / "model.onnx").write_bytes(b"")
    with pytest.raises(DataError, match=r"version 0001 cannot be judged: (.|\n)*action=promote"):
        judge(settings(), store, new, old, {})


def test_the_readme_names_every_field_of_a_decision(store: Store) -> None:
    kitchen = {**TOPICS, "food": TOPICS["food"][:5], "kitchen": TOPICS["food"][5:]}
    test = documents(80, kitchen)
    old, new = version(store, 1, documents(60)), version(store, 2, test, kitchen)
    slices = {"frozen": {one[0] for one in test[:40]}, "0002_2026-11-29": {one[0] for one in test[40:]}}
    any_key = {"classes.shared", "classes.new", "figures.slices", "cost.bytes"}
    any_key |= {"cost.seconds_single", "cost.seconds_batch"}
    for found in (decide(store, old, None, slices), decide(store, new, old, slices)):
        there = fields(found, any_key)
        groups = {name for name in there if name.startswith("figures.")}
        for name in ("compared", "frozen", "slices.*", "all_classes"):
            groups = {one.replace(f"figures.{name}.", "GROUP.") for one in groups}
        groups = {re.sub(r"\.differences\.\w+\.", ".differences.*.", one) for one in groups}
        groups = {re.sub(r"^(GROUP\.champion|GROUP\.challenger)\.(\w+)$", r"\1", one) for one in groups}
        there = {name for name in there if not name.startswith("figures.")} | groups
        named = documented("refresh", "## decision.json")
        assert there <= named | {"classes.new", "classes.shared", "figures.slices", "GROUP.differences"}
    more = {"margin", "figures.compared", "figures.frozen", "figures.slices.*", "figures.all_classes", *FIGURES}
    assert named - there - more == set()


@pytest.mark.slow
def test_the_gate_passes_good_versions_and_holds_bad_ones_back_as_often_as_it_says() -> None:
    good, bad = (rates(Setting(200, 5, False, worse), 60) for worse in (0.0, 1.0))
    assert 0.65 < good.both < 0.95
    assert bad.not_worse < 0.15
    assert good.better < 0.15
    # What compares point estimates with a fixed margin lets chance decide.
    assert 0.4 < good.fixed < 0.85


def test_a_first_promise_of_precision_is_accepted(tmp_path: Path) -> None:
    versions = [Version(tmp_path / "0001"), Version(tmp_path / "0002")]
    figures = [{"to_person": 0.04}, {"to_person": 0.38}]
    first = to_person(figures, 0.1, versions, (False, True))
    assert first.passed
    assert "0002 promises target_precision, which 0001 could not" in first.sentence
    assert not to_person(figures, 0.1, versions, (True, True)).passed
    assert not to_person(figures, 0.1, versions, (False, False)).passed
    assert to_person(figures, 0.5, versions, (False, True)).passed


def test_a_class_that_appeared_later_has_no_f1_on_frozen_documents(store: Store) -> None:
    old = documents(60, {name: TOPICS[name] for name in ("animals", "food")})
    new = [(f"n{i}", f"the {word} of", "tools") for i, word in enumerate(TOPICS["tools"] * 3)]
    # One food word is taken for a tool, six of the 60 frozen documents.
    confused = {**TOPICS, "tools": [*TOPICS["tools"], TOPICS["food"][0]], "food": TOPICS["food"][1:]}
    before = version(store, 1, old)
    found = decide(store, version(store, 2, [*old, *new], confused), before, {"frozen": {one[0] for one in old}})
    wrong = sum(TOPICS["food"][0] in text for _, text, _ in old)
    f1_of_food = 2 * (30 - wrong) / (30 - wrong + 30)
    assert found["figures"]["frozen"]["challenger"]["macro_f1"] == pytest.approx((1 + f1_of_food) / 2)
    assert found["figures"]["frozen"]["challenger"]["accuracy"] == pytest.approx(1 - wrong / 60)
    assert found["standing"]["value"] == pytest.approx((f1_of_food - 1) / 2)
