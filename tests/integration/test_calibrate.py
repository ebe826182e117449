"""From a run to its decision rule, and from there to evaluation, bundle and predictions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from tagsmith.classify.classifier import Classifier
from tagsmith.config.settings import (
    CalibrateRun,
    CalibrateSettings,
    EvaluateRun,
    ExportRun,
    HeldOutFrom,
    Precision,
    Recipe,
    Split,
    TrainRun,
)
from tagsmith.core.errors import DataError, Interrupted, SettingsError, TryAgainLater
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.data.dataset_folders import load_documents
from tagsmith.decision.rule import softmax
from tagsmith.evaluate.evaluate_run import evaluate_run
from tagsmith.evaluate.report import decision_text
from tagsmith.evaluate.report.page import write_page
from tagsmith.export.export_run import export
from tagsmith.model.pretrained_vectors import folds_of
from tagsmith.train.calibration import held_out
from tagsmith.train.calibration.calibrate_run import calibrate_run
from tagsmith.train.train_run import train
from tests.conftest import make_documents, write_jsonl
from tests.forked import run_forked
from tests.integration import locked

pytestmark = pytest.mark.slow

Make = Callable[..., TrainRun]

LEARNS = {"epochs": 4, "learning_rate": 2e-3}


def calibrated(run: RunFolder, **given: Any) -> dict[str, Any]:
    calibrate_run(CalibrateRun(run=str(run.path), cpu=True, **given))
    return json.loads(run.decision.read_text())  # type: ignore[no-any-return]


def evaluated(run: RunFolder, **given: Any) -> dict[str, Any]:
    return evaluate_run(EvaluateRun(run=str(run.path), cpu=True, **given), run)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "foreign.txt"
    path.write_text("\n".join(f"never-seen words of sorts{' and' * i}" for i in range(12)) + "\n\n")
    return path


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_validation_split_calibrates_at_the_end_of_training(
    settings: Make, single_label_file: Path, multi_label_file: Path, foreign: Path, multi_label: bool
) -> None:
    file = multi_label_file if multi_label else single_label_file
    wanted = CalibrateSettings(target_precision=0.8, false_alarms=0.1, target_exact=0.7)
    given = settings(file, calibrate=wanted, **LEARNS)
    given.data.out_of_scope = str(foreign)
    run, evaluation = train(given)
    assert evaluation["scores"]["calibrated"]
    assert evaluation["scores"]["from"] == "validation"
    assert sum(row["documents"] for row in evaluation["scores"]["reliability"]) == 30 * (3 if multi_label else 1)
    assert evaluation["operating_point"]["target_precision"] == (0.7 if multi_label else 0.8)
    assert evaluation["conformal"]["coverage_wanted"] == 0.9
    scope = evaluation["out_of_scope"]
    assert scope["detection_rate"] == 1.0
    assert scope["auroc"] > 0.9
    assert ("thresholds" in evaluation) is multi_label
    bundle = export(ExportRun(run=str(run.path), bundle=str(run.path.parent / "bundle")))
    classifier = Classifier.load(bundle)
    predictions = lines(run.predictions)
    texts = [line["text"] for line in predictions]
    found = classifier.predict(texts)
    scores = classifier.predict_proba(texts)
    assert [sorted(one.labels) for one in found] == [sorted(line["predicted"]) for line in predictions]
    assert [one.to_person for one in found] == [line["to_person"] for line in predictions]
    assert [one.out_of_scope for one in found] == pytest.approx(
        [line["out_of_scope"] for line in predictions], abs=1e-3
    )
    assert np.abs(scores - np.array([list(line["scores"].values()) for line in predictions])).max() < 1e-4
    ids = classifier.schema.label2id
    for one, row in zip(found, scores, strict=True):
        others = [name for name, _ in one.runners_up]
        assert sorted([*others, *one.labels]) == sorted(classifier.classes)
        assert [score for _, score in one.runners_up] == sorted((float(row[ids[n]]) for n in others), reverse=True)
        assert one.set is not None
        assert list(one.set) == sorted(one.set, key=lambda name: -row[ids[name]])
        assert one.label == (None if multi_label else one.labels[0])
    without = Classifier.load(bundle, out_of_scope=False).predict(texts)
    assert {one.out_of_scope for one in without} == {None}
    assert sum(one.to_person for one in without) <= sum(one.to_person for one in found)
    strange = classifier.predict(["never-seen words of sorts"])[0]
    assert strange.to_person
    assert strange.out_of_scope is not None
    assert strange.out_of_scope > scope["threshold"]


@pytest.mark.parametrize("soup", [1, 2])
def test_each_fold_is_scored_by_a_model_that_was_trained_on_the_others(
    settings: Make, single_label_file: Path, tmp_path: Path, soup: int
) -> None:
    recipe = {**LEARNS, "epochs": 1}
    run, evaluation = train(settings(single_label_file, validation_share=0.0, soup=soup, **recipe))
    assert evaluation["scores"]["calibrated"] is False
    assert evaluation["operating_point"] is None
    calibrated(run, folds=2)
    held = lines(run.out_of_fold)
    schema = Schema.load(run.schema)
    part = load_documents(run.data, schema)["train"]
    assert [line["id"] for line in held] == part["id"][:]
    folds = folds_of(part, schema, 2, seed=0)
    files = []
    for fold in (1, 0):
        chosen = part.select(np.flatnonzero(folds == fold))
        names = [{"id": row["id"], "text": row["text"], "label": schema.classes[row["labels"]]} for row in chosen]
        files.append(write_jsonl(tmp_path / f"{fold}.jsonl", names))
    other, _ = train(settings(files[0], "other", test=str(files[1]), validation_share=0.0, soup=soup, **recipe))
    expected = {line["id"]: list(line["scores"].values()) for line in lines(other.predictions)}
    for i in np.flatnonzero(folds == 0):
        logits = np.float32([held[i]["logits"]])
        assert softmax(logits)[0].tolist() == pytest.approx(expected[held[i]["id"]], abs=1e-3)


@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16])
def test_an_interrupted_calibration_resumes_with_the_next_fold(
    settings: Make, multi_label_file: Path, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    # In bf16 too each fold is trained alike, whether it is the first of a command or a later one.
    run, _ = train(settings(multi_label_file, validation_share=0.0, epochs=1, mixed_precision=precision))
    whole = calibrated(run, folds=3)
    first = run.out_of_fold.read_text()
    (run.folds / "1.npz").unlink()
    (run.folds / "2.npz").write_bytes(b"half a fold")
    fit_fold, trained = held_out.fit_fold, []

    def interrupted(*args: Any) -> Any:
        trained.append(args[2])
        if len(trained) == 2:
            raise Interrupted("SIGTERM")
        return fit_fold(*args)

    monkeypatch.setattr(held_out, "fit_fold", interrupted)
    with pytest.raises(Interrupted, match="run the same command again to resume"):
        calibrated(run, folds=3)
    assert calibrated(run, folds=3) == whole
    assert trained == [1, 2, 2]
    assert run.out_of_fold.read_text() == first
    calibrated(run, folds=2)
    assert trained == [1, 2, 2, 0, 1]
    assert not run.comparison.exists()


def test_the_probe_needs_one_pass(settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = train(settings(single_label_file, recipe=Recipe.probe))
    monkeypatch.setattr(held_out, "fit_fold", None)
    from_folds = calibrated(run, from_=HeldOutFrom.out_of_fold)
    assert from_folds["about"]["documents"] == len(lines(run.out_of_fold)) == 96
    from_validation = calibrated(run)
    assert from_validation["about"]["from"] == "validation"
    assert from_validation["about"]["documents"] == 24
    assert evaluated(run)["scores"]["from"] == "validation"


def test_what_auto_chose_is_what_is_held_out(settings: Make, multi_label_file: Path) -> None:
    run, _ = train(settings(multi_label_file, recipe=Recipe.auto, epochs=1, validation_share=0.0))
    choice = json.loads(run.choice.read_text())
    for about in choice.values():
        about["chosen"] = about["frozen_layers"] == 1
    run.choice.write_text(json.dumps(choice))
    calibrated(run, folds=2)
    assert json.loads((run.folds / "about.json").read_text())["frozen_layers"] == 1
    run.choice.write_text("[1]")
    with pytest.raises(DataError, match=r"choice\.json"):
        calibrated(run, folds=2)


def test_a_threshold_on_the_command_line_wins(settings: Make, multi_label_file: Path) -> None:
    run, evaluation = train(settings(multi_label_file, **LEARNS))
    assert evaluation["thresholds"] == pytest.approx(dict(zip(*_thresholds(run), strict=True)))
    given = evaluated(run, threshold=0.99)
    assert set(given["thresholds"].values()) == {0.99} == {given["threshold"]}
    for line in lines(run.predictions):
        assert sorted(line["predicted"]) == sorted(name for name, score in line["scores"].items() if score >= 0.99)
    assert evaluated(run, split=Split.validation)["split"] == "validation"


def _thresholds(run: RunFolder) -> tuple[list[str], list[float]]:
    return list(Schema.load(run.schema).classes), json.loads(run.decision.read_text())["thresholds"]


def test_costs_change_what_is_predicted(settings: Make, single_label_file: Path) -> None:
    run, before = train(settings(single_label_file, epochs=1))
    calibrated(run, costs=["animals>food=100", "tools>food=100"])
    after = evaluated(run)
    said = [sum(row[1] for row in found["confusion_matrix"]) for found in (before, after)]
    assert said[1] < said[0]
    with pytest.raises(SettingsError, match="costs: expected"):
        calibrated(run, costs=["animals>plants=2"])


def test_mistakes_are_reported(settings: Make, single_label_file: Path) -> None:
    run, _ = train(settings(single_label_file, recipe=Recipe.probe, validation_share=0.0))
    with pytest.raises(SettingsError, match="no validation split"):
        calibrated(run, from_=HeldOutFrom.validation)
    calibrated(run)
    run.decision.write_text("{")
    with pytest.raises(DataError, match=r"decision\.json: expected a decision rule"):
        evaluated(run)
    run.settings.write_text(run.settings.read_text().replace('"train.recipe": "probe"', '"train.recipe": "guess"'))
    with pytest.raises(DataError, match="'guess' is not a valid Recipe"):
        calibrated(run)


def test_new_weights_remove_the_rule(settings: Make, single_label_file: Path) -> None:
    run, _ = train(settings(single_label_file, recipe=Recipe.probe))
    calibrated(run, target_precision=0.5)
    train(settings(single_label_file, recipe=Recipe.probe, resume=True))
    assert json.loads(run.decision.read_text())["about"]["target"] == 0.5
    run.weights.unlink()
    train(settings(single_label_file, recipe=Recipe.probe, resume=True))
    assert json.loads(run.decision.read_text())["about"]["settings"]["target_precision"] is None


def test_few_documents_promise_nothing(settings: Make, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "few.jsonl", make_documents(30, multi_label=False))
    run, evaluation = train(settings(file, recipe=Recipe.probe))
    assert evaluation["operating_point"] is None
    assert evaluation["not_promised"]["target"] == 0.95
    assert "operating point: none. target_precision=0.95 cannot be promised with " in decision_text(evaluation)
    assert evaluation["out_of_scope"] is None
    assert not any(line["to_person"] for line in lines(run.predictions))
    # Only on demand does every document go to a person.
    write_page(run)
    asked = calibrated(run, target_precision=0.99)
    assert "target_precision=0.99 cannot be promised" in run.page.read_text()
    assert (asked["abstain_below"], asked["about"]["target"]) == (2.0, 0.99)
    evaluated(run)
    assert all(line["to_person"] for line in lines(run.predictions))


def test_all_processes_wait_for_the_lock_and_exit_alike_without_it(
    settings: Make, single_label_file: Path, tmp_path: Path
) -> None:
    run, _ = train(settings(single_label_file, recipe=Recipe.probe))
    with FileLock(run.path.with_name(f".{run.path.name}.lock")):
        done = run_forked(locked.main, run.path, tmp_path, folder=tmp_path, processes=2)
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads((tmp_path / f"{process}.json").read_text()) for process in range(2)]
    assert outcomes == [[TryAgainLater.exit_status, 0]] * 2
