"""The loop of commands: train, look at what is wrong, tag, train again."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Script
from tests.conftest import make_documents, write_jsonl

pytestmark = pytest.mark.slow

Tiny = Callable[..., list[str]]


def test_train_improve_tag_train(script: Script, tiny: Tiny, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(90, multi_label=False))
    texts = [{"id": r["id"], "text": r["text"]} for r in make_documents(40, multi_label=False, seed=5)]
    write_jsonl(tmp_path / "untagged.jsonl", [*texts, {"id": "broken"}])  # type: ignore[list-item]
    source = ["data=jsonl", "data.train=train.jsonl", "train=probe", *tiny()]
    assert script("train", *source, "run=runs/mine").returncode == 0
    done = script("improve", "run=runs/mine", "pool=untagged.jsonl", "budget=10", "cpu=true")
    assert done.returncode == 0, done.stderr
    for word in ("suspected tags", "10 documents to tag next: 1 audit", "tag_next.jsonl", "summary.json"):
        assert word in done.stdout
    assert "untagged.jsonl:41: no field text" in done.stderr
    assert str(texts[0]["text"]) not in done.stderr

    queue = tmp_path / "runs/mine/improve/tag_next.jsonl"
    lines = [json.loads(line) for line in queue.read_text().splitlines()]
    for line in lines[:6]:
        line["tag"] = line["suggested"]
    write_jsonl(queue, lines)
    refused = script("improve", "run=runs/mine", "cpu=true")
    assert refused.returncode == 64
    assert "tag_next.jsonl (6 tags)" in refused.stderr
    files = "data.tagged=[runs/mine/improve/tag_next.jsonl,runs/mine/improve/suggested_tags.jsonl]"
    again = script("train", *source, files, "run=runs/second")
    assert again.returncode == 0, again.stderr
    assert "data.tagged: added 6 training documents." in again.stderr
    assert "data.tagged: 34 lines not tagged yet." in again.stderr
    evaluations = [json.loads((tmp_path / "runs" / run / "evaluation.json").read_text()) for run in ("mine", "second")]
    assert evaluations[0]["documents"] == evaluations[1]["documents"]

    lost = script("train", *source, "run=runs/mine", "overwrite=true")
    assert lost.returncode == 64
    assert "tag_next.jsonl (6 tags). Move them out of the run" in lost.stderr

    lines[0]["tag"] = "no such class"
    write_jsonl(queue, lines)
    wrong = script("train", *source, files, "run=runs/third")
    assert wrong.returncode == 65
    assert "tag_next.jsonl:1: unknown class 'no such class'" in wrong.stderr
    assert not (tmp_path / "runs/third").exists()
    assert script("improve", "run=runs/second", "pool=gone.jsonl", "cpu=true").returncode == 66
    assert script("improve", "run=runs/none").returncode == 66


def test_the_benchmark_prints_a_line_a_strategy_and_a_table(script: Script, tiny: Tiny, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(90, multi_label=True))
    model = next(word for word in tiny() if word.startswith("model.path="))
    source = ["data=jsonl", "data.train=train.jsonl", model, "cpu=true"]
    done = script(
        "bench_improve", *source, "start=9", "batch=10", "documents=40", "seeds=2", "strategies=[random,tagsmith]"
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["kind"] for line in lines] == ["what to tag next", "what to tag next", "suspected tags"]
    assert lines[0]["documents"] == lines[1]["documents"] == [9, 19, 29, 39, 40]
    assert lines[0]["enough"] is not None
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("│")] == ["random", "tagsmith"]
    refused = script("bench_improve", *source, "documents=4000")
    assert refused.returncode == 64
    assert "documents <= 72 training documents" in refused.stderr


def test_the_learning_curve_is_put_to_the_test(script: Script, tiny: Tiny, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", make_documents(150, multi_label=False))
    model = next(word for word in tiny() if word.startswith("model.path="))
    source = ["data=jsonl", "data.train=train.jsonl", model, "cpu=true"]
    done = script("bench_curve", *source, "sizes=[60]", "draws=1", "repetitions=2")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [(line["figure"], line["cases"]) for line in lines] == [
        ("macro F1", 2),
        ("F1 of a class", 6),
        ("F1 of a class that grows alone", 3),
    ]
    assert all(0 <= line["held"] <= 1 and line["width"] > 0 for line in lines)
    refused = script("bench_curve", *source, "sizes=[60,100]")
    assert refused.returncode == 64
    assert "sizes: expected at most 80" in refused.stderr
    nothing = script("bench_curve", *source, "sizes=[9]")
    assert nothing.returncode == 64
    assert "with 9 documents, no class has the 8" in nothing.stderr
