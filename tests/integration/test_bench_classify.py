"""scripts/bench_classify.py: contenders do the same work, and the figures are what they say."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from tagsmith.bench.classifiers.bench_classifiers import Measurement, compare, percentile, table
from tagsmith.bench.classifiers.contenders import CONTENDERS, Task, missing
from tagsmith.bench.classifiers.library_models import write_library_models
from tagsmith.classify.classifier import Classifier
from tagsmith.config.settings import CLASSIFIERS, BenchClassifyRun
from tagsmith.core.errors import DataError, InputMissing
from tests.conftest import make_documents, write_jsonl
from tests.integration.conftest import Made

pytestmark = pytest.mark.slow

BUNDLE = Path(__file__).parents[1] / "fixtures" / "format_1" / "single"


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(i) for i in range(200, 0, -1)]
    assert percentile(values, 50) == 100
    assert percentile(values, 99) == 198
    assert percentile([5.0], 99) == 5


def test_each_contender_gives_the_classes_of_the_bundle(made: Made, tmp_path: Path) -> None:
    run, _, bundle = made
    write_library_models(run, tmp_path)
    task = Task(str(bundle), str(tmp_path / "stock"), str(tmp_path / "encoder"), 64, 1)
    texts = [str(record["text"]) for record in make_documents(70, multi_label=False, longest=80, seed=4)]
    expected = Classifier.load(bundle, threads=1).predict_proba(texts).argmax(axis=1).tolist()
    assert len(set(expected)) > 1
    for name in ("tagsmith", "tagsmith_openvino", "onnxruntime"):
        if missing(name, task) is not None:
            continue
        assert CONTENDERS[name](task)(texts) == expected
    # Its head has learnt nothing, but its encoder is the same one.
    answers = CONTENDERS["pipeline"](task)(texts)
    assert len(answers) == 70
    assert set(answers) <= {0, 1, 2}
    head = np.load(tmp_path / "encoder" / "head.npz")
    assert head["weight"].shape == (3, 32)
    if missing("sentence_transformers", task) is None:
        assert CONTENDERS["sentence_transformers"](task)(texts) == expected


def test_measurements_of_fresh_interpreters(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "new.jsonl", [{"text": r["text"]} for r in make_documents(40, multi_label=False)])
    named = ["tagsmith", "onnxruntime", *CLASSIFIERS[4:]]
    settings = BenchClassifyRun(
        bundle=str(BUNDLE), input=str(source), calls=3, repetitions=1, threads=1, contenders=named
    )
    found = list(compare(settings))
    assert [row.contender for row in found] == named
    for row in found[:2]:
        assert (row.documents, row.agreement, row.skipped) == (40, 1.0, None)
        assert row.first_answer is not None
        assert 0 < row.first_answer < 60
        assert row.peak_memory is not None
        assert 20 < row.peak_memory < 1000
        assert json.loads(json.dumps(row.as_dict()))["p50"] <= row.as_dict()["p99"]
    assert [row.skipped is None for row in found[2:]] == [False] * len(CLASSIFIERS[4:])


def test_contenders_that_cannot_be_measured_are_reported(tmp_path: Path) -> None:
    long = write_jsonl(tmp_path / "long.jsonl", [{"text": "cat " * 50}])
    with pytest.raises(DataError, match="the shortest has 200"):
        list(compare(BenchClassifyRun(bundle=str(BUNDLE), input=str(long))))
    with pytest.raises(InputMissing, match="nowhere"):
        list(compare(BenchClassifyRun(bundle=str(BUNDLE), input="nowhere.jsonl")))


def test_the_table_shows_medians() -> None:
    from rich.console import Console

    rows = [Measurement("tagsmith", i, 10, p50=value, skipped=None) for i, value in enumerate((9.0, 1.0, 2.0), 1)]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table([*rows, Measurement("pipeline", 1, 10, skipped="torch is not installed")]))
    text = console.export_text()
    assert "2.00" in text
    assert "9.00" not in text
    assert "pipeline: skipped: torch is not installed" in text
