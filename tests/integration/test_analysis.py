"""What is looked into after an evaluation, on runs of a tiny encoder: all parts, in files that a page can read."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from tagsmith.config.settings import AnalysisSettings, CacheSettings, CalibrateRun, EvaluateRun, Recipe, Split, TrainRun
from tagsmith.core.errors import DataError
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.evaluate import evaluate_run as evaluate_run_module
from tagsmith.evaluate.analysis.baselines import probe_logits
from tagsmith.evaluate.analysis.lengths import lengths
from tagsmith.evaluate.analysis.occlusion import Question, explain, mistakes, words
from tagsmith.evaluate.analysis.predictions import read_predictions
from tagsmith.evaluate.evaluate_run import evaluate_run
from tagsmith.model.score import score
from tagsmith.tokens.windows import EncodedDocuments, WindowRule, encode
from tagsmith.train.calibration.calibrate_run import calibrate_run
from tagsmith.train.train_run import train
from tests.conftest import FILLERS, TOPICS, make_documents, write_jsonl

pytestmark = pytest.mark.slow

QUICK = AnalysisSettings(resamples=100, curve_draws=1)


def evaluated(run: RunFolder, **changes: Any) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """evaluation.json, analysis.json and guidance.json of a run."""
    given = {"analysis": QUICK, "cpu": True, "cache": CacheSettings(folder=None)} | changes
    evaluate_run(EvaluateRun(run=str(run.path), **given), run)
    return tuple(json.loads(path.read_text()) for path in (run.evaluation, run.analysis, run.guidance))  # type: ignore[return-value]


def trained(settings: Callable[..., TrainRun], path: Path, **changes: Any) -> RunFolder:
    changes = {"validation_share": 0.0, "test_share": 0.3} | changes
    return train(settings(path, **changes))[0]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Documents of which some are tagged against their words, some nearly the same, one kind rare."""
    records = make_documents(150, multi_label=False)
    for record in records[:12]:
        record["label"] = "tools" if record["label"] == "animals" else "animals"
    text = " ".join(TOPICS["food"] * 3)
    copies = [{"id": f"copy-{i}", "text": f"{text} number {i}", "label": "food"} for i in range(30)]
    copies[0]["label"] = "tools"
    return write_jsonl(tmp_path / "planted.jsonl", [*records, *copies])


def test_all_parts_of_a_single_label_run(settings: Callable[..., TrainRun], planted: Path) -> None:
    run = trained(settings, planted, recipe=Recipe.finetune)
    evaluation, analysis, lines = evaluated(run)
    assert analysis["split"] == evaluation["split"] == "test"
    for name, value in (("accuracy", evaluation["accuracy"]), ("macro_f1", evaluation["macro"]["f1"])):
        low, high = analysis["intervals"][name]
        assert low <= value <= high
    for name, row in evaluation["classes"].items():
        low, high = analysis["intervals"]["classes"][name]["f1"]
        assert low <= row["f1"] <= high
        counted = analysis["data"]["classes"][name]
        assert counted["test"] == row["support"]
    assert sum(analysis["data"]["documents"].values()) == 180
    tokens = analysis["data"]["tokens"]["train"]
    assert sum(tokens["counts"]) == analysis["data"]["documents"]["train"]
    assert len(tokens["edges"]) == len(tokens["counts"]) + 1
    for baseline in analysis["baselines"].values():
        lead = baseline["lead"]["accuracy"]
        assert lead["found"] == pytest.approx(evaluation["accuracy"] - baseline["accuracy"])
    curve = analysis["learning_curve"]
    assert [point["share"] for point in curve["points"]] == [0.25, 0.5, 0.75, 1.0]
    assert curve["points"][-1]["macro_f1"] == pytest.approx(analysis["baselines"]["probe"]["macro_f1"])
    near = analysis["near_duplicates"]
    assert near["within"]["train"] >= 15
    assert near["across_documents"]["test"] >= 3
    assert near["without"]["documents"] == evaluation["documents"] - near["across_documents"]["test"]
    assert any("copy-0" in (pair["id"], pair["other_id"]) for pair in near["differently_tagged"])
    predictions = read_predictions(run.predictions, Schema.load(run.schema))
    wrong = {row["id"]: row for row, is_wrong in zip(predictions.rows, predictions.wrong, strict=True) if is_wrong}
    explanations = analysis["explanations"]
    assert explanations["documents"].keys() == wrong.keys()
    assert explanations["classes"] == {name: row["predicted"][0] for name, row in wrong.items()}
    kinds = [line["kind"] for line in lines]
    for kind in ("few_documents", "near_duplicates", "differently_tagged", "not_calibrated"):
        assert kind in kinds
    # Vectors are kept now; what follows from them is the same.
    assert evaluated(run) == (evaluation, analysis, lines)


def test_the_same_weights_score_the_same_documents_once(
    settings: Callable[..., TrainRun], planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(settings, planted)
    again = EvaluateRun(run=str(run.path), cpu=True, analyse=False, cache=CacheSettings(folder=None))
    predictions = run.predictions.read_bytes()
    scored: list[str] = []

    def counting(forward: Any, encoded: Any, batch_tokens: int, accelerator: Any, what: str) -> Any:
        scored.append(what)
        return score(forward, encoded, batch_tokens, accelerator, what)

    monkeypatch.setattr(evaluate_run_module, "score", counting)
    evaluate_run(again, run)
    assert scored == []
    assert run.predictions.read_bytes() == predictions
    kept = run.logits / "test.npz"
    kept.write_bytes(kept.read_bytes()[:-100])
    evaluate_run(again, run)
    evaluate_run(again, run)
    assert scored == ["scoring test"]
    run.weights.write_bytes(run.weights.read_bytes()[:-4] + b"\0\0\0\1")
    evaluate_run(again, run)
    assert scored == ["scoring test"] * 2


def test_a_multi_label_run(settings: Callable[..., TrainRun], multi_label_file: Path) -> None:
    run = trained(settings, multi_label_file, recipe=Recipe.probe)
    evaluation, analysis, lines = evaluated(run)
    assert analysis["baselines"]["probe"]["micro_f1"] == pytest.approx(evaluation["micro"]["f1"], abs=0.02)
    assert "behind_baseline" not in [line["kind"] for line in lines if "probe" in line["title"]]
    assert set(analysis["learning_curve"]["classes"]) == {"animals", "food", "tools"}
    assert analysis["explanations"]["mistakes"] == round(evaluation["documents"] * (1 - evaluation["accuracy"]))


def test_baselines_have_chosen_thresholds_if_the_run_has(
    settings: Callable[..., TrainRun], multi_label_file: Path
) -> None:
    run = trained(settings, multi_label_file, recipe=Recipe.probe)
    plain = evaluated(run)[1]["baselines"]
    calibrate_run(CalibrateRun(run=str(run.path), folds=3, cpu=True, target_recall=0.99))
    evaluation, analysis, _ = evaluated(run)
    # Of the run's own recipe: the same regression, and thresholds for the same recall.
    assert evaluation["threshold"] is None
    assert analysis["baselines"]["probe"]["micro_f1"] == pytest.approx(evaluation["micro"]["f1"], abs=0.03)
    for name, found in plain.items():
        assert analysis["baselines"][name]["micro_f1"] != found["micro_f1"]
    assert evaluated(run, threshold=0.5)[1]["baselines"]["tfidf"]["micro_f1"] == plain["tfidf"]["micro_f1"]


def test_the_planted_word_weighs_most(settings: Callable[..., TrainRun], tmp_path: Path) -> None:
    # One word alone tells the classes apart; in some documents it stands for the other class.
    draw = random.Random(0)
    records: list[dict[str, object]] = []
    for i in range(240):
        name, word = (("pets", "cat"), ("work", "hammer"))[i % 2]
        text = [draw.choice(FILLERS) for _ in range(8)]
        text.insert(draw.randint(0, 8), word)
        label = name if i % 12 else "work"
        records.append({"id": str(i), "text": " ".join(text), "label": label})
    path = write_jsonl(tmp_path / "planted.jsonl", records)
    run = trained(settings, path, recipe=Recipe.finetune, epochs=15, learning_rate=3e-3)
    _, analysis, _ = evaluated(run)
    texts = {row["id"]: row["text"] for row in read_predictions(run.predictions, Schema.load(run.schema)).rows}
    explained = analysis["explanations"]["documents"]
    assert len(explained) >= 4
    for name, parts in explained.items():
        assert texts[name][parts[0]["start"] : parts[0]["end"]] in ("cat", "hammer")
        weights = [part["weight"] for part in parts]
        assert weights == sorted(weights, reverse=True)


def test_the_weight_of_a_word_is_the_drop_without_it(encoder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(encoder / "tokenizer.json"))
    table = {"cat dog": 0.9, " dog": 0.2, "cat ": 0.95}
    seen: list[str] = []

    def score(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return np.array([[table[text], 1 - table[text]] for text in texts], dtype=np.float32)

    def encoding(tokens: int) -> Callable[[list[str]], EncodedDocuments]:
        return lambda texts: encode(tokenizer, texts, WindowRule(tokens), 0)

    question = Question("cat dog", 0)
    (found,) = explain([question], tokenizer, encoding(64), score, 64, 10)
    assert found == [{"start": 0, "end": 3, "weight": pytest.approx(0.7)}]
    assert seen == ["cat dog", " dog", "cat "]
    assert explain([], tokenizer, encoding(64), score, 64, 10) == []
    # Of three words the first is read, and [CLS] and [SEP]: what is hidden behind it changes nothing.
    table |= {"cat dog horse": 0.9, " dog horse": 0.3}
    seen.clear()
    (found,) = explain([Question("cat dog horse", 0)], tokenizer, encoding(3), score, 64, 6)
    assert found == [{"start": 0, "end": 3, "weight": pytest.approx(0.6)}]
    assert seen == ["cat dog horse", " dog horse"]
    # "cat dog" takes 4 + 3 + 3 tokens.
    assert len(explain([question] * 3, tokenizer, encoding(64), score, 64, 29)) == 2
    assert explain([question], tokenizer, encoding(64), score, 64, 9) == []


def test_parts_of_long_documents(encoder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(encoder / "tokenizer.json"))
    text = "  cat, dog  horse "
    assert [text[start:end] for start, end in words(tokenizer, text, 64)] == ["cat", ",", "dog", "horse"]
    assert [text[start:end] for start, end in words(tokenizer, text, 2)] == ["cat,", "dog  horse"]
    assert words(tokenizer, " ", 2) == []


def test_the_most_confident_mistakes_are_explained_first() -> None:
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.int8)
    predicted = np.array([[0, 1, 0], [1, 1, 1], [0, 0, 0], [0, 0, 1]], dtype=np.int8)
    scores = np.array([[0.1, 0.6, 0], [0.7, 0.9, 0.8], [0.3, 0.2, 0], [0, 0, 1]], dtype=np.float32)
    # Invented: class 2 at 0.8, class 1 at 0.6; then what is only missed, by the class held least likely.
    assert mistakes(truth, predicted, scores) == [(1, 2), (0, 1), (2, 1)]


def test_lengths_by_hand() -> None:
    found = lengths(np.array([3, 4, 4, 90]), np.array([0, 0, 0, 26]))
    assert (found["p50"], found["max"], found["cut"]) == (4, 90, 1)
    assert sum(found["counts"]) == 4
    same = lengths(np.array([7, 7]), np.array([0, 0]))
    assert same["counts"] == [2]


def test_a_run_evaluated_on_its_training_split(settings: Callable[..., TrainRun], single_label_file: Path) -> None:
    run = trained(settings, single_label_file, recipe=Recipe.probe)
    few = AnalysisSettings(resamples=100, curve_draws=1, explained_documents=0, similarity=1.0)
    _, analysis, lines = evaluated(run, split=Split.train, analysis=few)
    assert analysis["explanations"]["documents"] == {}
    assert lines[0]["kind"] == "trained_on"
    assert analysis["baselines"] == {"probe": None, "tfidf": None}
    assert analysis["learning_curve"]["points"][-1]["documents"] == 84  # Four fifths of 105.


def test_a_sample_is_drawn_from_many_documents(settings: Callable[..., TrainRun], single_label_file: Path) -> None:
    run = trained(settings, single_label_file, recipe=Recipe.probe, test_share=0.1)
    bounded = AnalysisSettings(
        resamples=100, curve_draws=1, most_documents=100, compared_documents=40, explained_tokens=0
    )
    _, analysis, _ = evaluated(run, analysis=bounded)
    assert analysis["baselines"]["tfidf"]["documents"] == analysis["learning_curve"]["points"][-1]["documents"] == 100
    assert analysis["data"]["documents"] == {"train": 135, "test": 15}
    assert analysis["near_duplicates"]["compared"] == {"test": 15, "train": 25}
    assert analysis["explanations"]["documents"] == {}


def test_a_regression_of_one_class_predicts_it() -> None:
    truth = np.array([[0, 1], [0, 1]], dtype=np.int8)
    found = probe_logits(np.eye(2, dtype=np.float32), truth, np.eye(2, dtype=np.float32), False)
    assert found.argmax(axis=1).tolist() == [1, 1]


def test_a_run_without_its_encoder_is_still_analysed(
    settings: Callable[..., TrainRun], single_label_file: Path
) -> None:
    run = trained(settings, single_label_file, recipe=Recipe.probe)
    path = run.read_record()["settings"]["model.path"]
    run.settings.write_text(run.settings.read_text(encoding="utf-8").replace(path, f"{path}-gone"), encoding="utf-8")
    _, analysis, _ = evaluated(run)
    assert analysis["baselines"]["probe"] is analysis["learning_curve"] is None
    assert analysis["baselines"]["tfidf"]["accuracy"] > 0.5


def test_an_analysis_is_never_of_another_evaluation(settings: Callable[..., TrainRun], single_label_file: Path) -> None:
    run = trained(settings, single_label_file, recipe=Recipe.probe)
    evaluated(run)
    evaluate_run(EvaluateRun(run=str(run.path), cpu=True, analyse=False, split=Split.train), run)
    assert not run.analysis.exists()
    assert not run.guidance.exists()


def test_damaged_predictions_are_reported(tmp_path: Path) -> None:
    schema = Schema.load(_schema(tmp_path))
    path = tmp_path / "predictions.jsonl"
    row = {"id": "1", "text": "x", "labels": ["a"], "predicted": ["b"], "scores": {"a": 0.1, "b": 0.9}}
    for content in (None, "no json", json.dumps(row | {"labels": ["c"]}), json.dumps(row | {"id": 5})):
        if content is not None:
            path.write_text(content + "\n")
        with pytest.raises(DataError, match="evaluate the run again"):
            read_predictions(path, schema)
    path.write_text(json.dumps(row) + "\n")
    found = read_predictions(path, schema)
    assert found.truth.tolist() == [[1, 0]]
    assert found.predicted.tolist() == [[0, 1]]
    assert found.wrong.tolist() == [True]


def _schema(folder: Path) -> Path:
    from tagsmith.core.schema import Task

    Schema(("a", "b"), Task.single_label).save(folder / "schema.json")
    return folder / "schema.json"
