"""Planted wrong tags are found, and queues are the same for the same seed, with a tiny encoder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.bench.tagging.simulation import find_turned, turn_tags
from tagsmith.bench.tagging.strategies import Situation, strategies
from tagsmith.config.settings import STRATEGIES, CacheSettings, ImproveRun, Recipe, TrainRun
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, indicators
from tagsmith.data.dataset_folders import load_documents
from tagsmith.improve.acquisition import NEAR_COPY, centred_unit_rows
from tagsmith.improve.improve_run import improve_run
from tagsmith.model.pretrained_vectors import folds_of
from tagsmith.train.train_run import train
from tests.conftest import TOPICS, make_documents, write_jsonl

Settings = Callable[..., TrainRun]


def trained(settings: Settings, tmp_path: Path, multi_label: bool, wrong: float) -> tuple[RunFolder, set[str]]:
    """A run of which a share of the tags was turned, and the ids of these documents."""
    records = make_documents(240, multi_label, longest=4)
    names = sorted(TOPICS)
    random = np.random.default_rng(1)
    turned: set[str] = set()
    for record in records:
        if random.random() >= wrong:
            continue
        turned.add(str(record["id"]))
        if multi_label:
            tags = set(record["labels"])  # type: ignore[call-overload]
            record["labels"] = sorted(tags ^ {names[random.integers(3)]})
        else:
            record["label"] = names[(names.index(str(record["label"])) + random.integers(1, 3)) % 3]
    file = write_jsonl(tmp_path / "train.jsonl", records)
    run, _ = train(settings(file, recipe=Recipe.probe, validation_share=0.0))
    kept = set(load_documents(run.data)["train"]["id"])
    return run, turned & kept


def improve(run: RunFolder, **changes: Any) -> dict[str, list[dict[str, Any]]]:
    settings = ImproveRun(run=str(run.path), cpu=True, cache=CacheSettings(folder=None), **changes)
    return improve_run(settings, run).queues


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("multi_label", [False, True])
def test_planted_wrong_tags_stand_first(settings: Settings, tmp_path: Path, multi_label: bool) -> None:
    run, turned = trained(settings, tmp_path, multi_label, wrong=0.1)
    improve(run)
    queue = lines(run.improve / "suspected_tags.jsonl")
    documents = load_documents(run.data)["train"]
    assert sorted(line["id"] for line in queue) == sorted(documents["id"])
    contradictions = ["the same text" in line["why"] for line in queue]
    keys = [(contradicts, line["score"]) for contradicts, line in zip(contradictions, queue, strict=True)]
    assert keys == sorted(keys, reverse=True)
    first = {line["id"] for line in queue[: round(0.2 * len(queue))]}
    assert len(first & turned) >= 0.7 * len(turned)
    summary = json.loads((run.improve / "summary.json").read_text(encoding="utf-8"))
    assert sum(line["suspected"] for line in queue) == summary["suspected"]["documents"] > 0
    assert summary["gain"]["low"] <= summary["gain"]["macro_f1"] <= summary["gain"]["high"]
    assert not (run.improve / "tag_next.jsonl").exists()
    shown = improve(run, suspected=7)["suspected_tags.jsonl"]
    assert shown == queue[:7]


@pytest.mark.slow
def test_stored_scores_of_fine_tuned_models_count_if_they_match_the_tags(settings: Settings, tmp_path: Path) -> None:
    run, _ = trained(settings, tmp_path, False, wrong=0.0)
    before = improve(run)["suspected_tags.jsonl"]
    part = load_documents(run.data)["train"]
    names = part.features["labels"].names
    meant = part["id"][5]
    written = [
        {"id": row["id"], "labels": [names[row["labels"]]], "logits": [9.0 * (i == row["labels"]) for i in range(3)]}
        for row in part
    ]
    written[5]["logits"] = written[5]["logits"][1:] + written[5]["logits"][:1]  # type: ignore[index]
    write_jsonl(run.out_of_fold, written)
    after = improve(run)["suspected_tags.jsonl"]
    assert after[0]["id"] == meant
    assert after != before
    written[0]["labels"] = [names[(part["labels"][0] + 1) % 3]]
    write_jsonl(run.out_of_fold, written)
    assert improve(run)["suspected_tags.jsonl"] == before


@pytest.mark.slow
def test_the_queue_for_a_pool(settings: Settings, tmp_path: Path) -> None:
    run, _ = trained(settings, tmp_path, False, wrong=0.0)
    known = load_documents(run.data)["train"]
    pool = [{"id": r["id"], "text": r["text"]} for r in make_documents(120, False, seed=7)]
    copies = [{"id": f"copy-{r['id']}", "text": f"  {r['text']} "} for r in pool[:40]]
    again = [{"id": "again", "text": known["text"][0]}, {"id": known["id"][1], "text": "the id of another one"}]
    path = write_jsonl(tmp_path / "pool.jsonl", [*pool, *copies, *again, {"id": "bad"}])  # type: ignore[list-item]
    found = improve(run, pool=str(path), budget=30, audit_share=0.2)
    queue, left = found["tag_next.jsonl"], found["suggested_tags.jsonl"]
    assert queue == lines(run.improve / "tag_next.jsonl")
    assert len(queue) == 30
    assert sum(line["reason"] == "audit" for line in queue) == 6
    assert [line["score"] for line in queue] == sorted((line["score"] for line in queue), reverse=True)
    both = [*queue, *left]
    assert len({line["id"] for line in both}) == len(both) == 121
    assert all(line["tag"] is None for line in both)
    assert "again" not in {line["id"] for line in both}
    assert "the id of another one" in {line["text"] for line in both if line["id"] == "pool.jsonl:162"}
    summary = json.loads((run.improve / "summary.json").read_text(encoding="utf-8"))
    assert summary["pool"]["bad_rows"] == summary["pool"]["already_in_run"] == 1
    first = {path.name: path.read_bytes() for path in run.improve.iterdir()}
    improve(run, pool=str(path), budget=30, audit_share=0.2)
    assert {path.name: path.read_bytes() for path in run.improve.iterdir()} == first
    other = improve(run, pool=str(path), budget=30, audit_share=0.2, seed=1)["tag_next.jsonl"]
    assert [line["id"] for line in other] != [line["id"] for line in queue]
    few = improve(run, pool=str(path), budget=30, candidates=20)
    assert len(few["tag_next.jsonl"]) == 20
    assert few["suggested_tags.jsonl"] == []


@pytest.mark.slow
def test_the_calibrated_model_scores_the_pool_where_there_is_a_decision(settings: Settings, tmp_path: Path) -> None:
    run, _ = trained(settings, tmp_path, True, wrong=0.0)
    path = write_jsonl(tmp_path / "pool.jsonl", make_documents(30, True, seed=7))
    plain = improve(run, pool=str(path), budget=5)["suggested_tags.jsonl"]
    assert json.loads((run.improve / "summary.json").read_text())["pool"]["scores_by"].startswith("a regression")
    decision = {"scale": [1.0] * 3, "shift": [0.0] * 3, "thresholds": [0.0, 1.1, 1.1], "about": {"from": "validation"}}
    run.decision.write_text(json.dumps(decision))
    found = improve(run, pool=str(path), budget=5)["suggested_tags.jsonl"]
    assert {tuple(line["suggested"]) for line in found} == {("animals",)}
    texts = load_documents(run.data)["train"]["text"]
    known = write_jsonl(tmp_path / "known.jsonl", [{"text": texts[0]}])
    assert improve(run, pool=str(known))["tag_next.jsonl"] == []
    found = improve(run, pool=str(path), budget=5)["suggested_tags.jsonl"]
    assert found != plain
    assert json.loads((run.improve / "summary.json").read_text())["pool"]["scores_by"] == "the model, calibrated"


def test_impossible_requests_are_reported(settings: Settings, tmp_path: Path) -> None:
    run, _ = trained(settings, tmp_path, False, wrong=0.0)
    with pytest.raises(InputMissing, match=r"pool[=:]"):
        improve(run, pool=str(tmp_path / "gone.jsonl"))
    with pytest.raises(SettingsError, match="folds=1000"):
        improve(run, folds=1000)
    known = write_jsonl(tmp_path / "known.jsonl", [{"text": load_documents(run.data)["train"]["text"][0]}])
    assert improve(run, pool=str(known))["tag_next.jsonl"] == []
    write_jsonl(tmp_path / "bad.jsonl", [{"text": ""}])
    with pytest.raises(DataError, match="no usable documents"):
        improve(run, pool=str(tmp_path / "bad.jsonl"))
    write_jsonl(run.improve / "tag_next.jsonl", [{"text": "x", "tag": "food"}])
    with pytest.raises(SettingsError, match="Manual tags would be overwritten"):
        improve(run)
    assert improve(run, overwrite=True)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_chooses_different_documents_the_same_ones_again(name: str, multi_label: bool) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(120, 16)).astype(np.float32)
    tagged, untagged = np.arange(20), np.arange(20, 120)
    scores = random.dirichlet(np.ones(4), size=100).astype(np.float32)
    now = Situation(vectors, tagged, untagged, scores, np.full(4, 5), multi_label)
    chosen = strategies(0.1)[name](now, 15, 3)
    assert len(set(chosen.tolist())) == len(chosen) == 15
    assert set(chosen.tolist()) <= set(range(100))
    assert chosen.tolist() == strategies(0.1)[name](now, 15, 3).tolist()
    assert len(strategies(0.1)[name](now, 500, 3)) == 100
    unit = centred_unit_rows(vectors)
    assert (unit @ unit.T - 2 * np.eye(120)).max() < NEAR_COPY


@pytest.mark.parametrize("multi_label", [False, True])
def test_turned_tags_are_so_many_and_all_wrong(multi_label: bool) -> None:
    random = np.random.default_rng(0)
    truth = np.eye(5, dtype=np.int8)[random.integers(0, 5, 200)]
    if multi_label:
        truth[:20] = 0
        truth[20:40] = 1
    wrong, turned = turn_tags(truth, 0.25, multi_label, seed=3)
    changed = (wrong != truth).sum(axis=1)
    assert np.flatnonzero(changed).tolist() == turned.tolist()
    assert len(turned) == 50
    assert set(changed[turned]) == ({1} if multi_label else {2})
    assert multi_label or (wrong.sum(axis=1) == 1).all()


def test_turned_tags_are_found_again(settings: Settings, tmp_path: Path) -> None:
    run, _ = trained(settings, tmp_path, False, wrong=0.0)
    schema = Schema.load(run.schema)
    part = load_documents(run.data, schema)["train"]
    random = np.random.default_rng(0)
    truth = indicators(part["labels"][:], 3)
    vectors = (truth @ random.normal(size=(3, 20)) * 3 + random.normal(size=(len(part), 20))).astype(np.float32)
    found = find_turned(vectors, truth, part["text"][:], folds_of(part, schema, 5, 0), 0.1, False, seed=0)
    assert found.turned == round(0.1 * len(part))
    assert found.looked_at == round(0.12 * len(part))
    assert found.recall > 0.8
