"""`train.start_from`: what of an earlier run is taken over, and what must not be."""

import json
import shutil
from collections.abc import Callable
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tagsmith.config.settings import CalibrateRun, CompareRuns, Pooling, Recipe, TrainRun, TrainSettings
from tagsmith.core.errors import DataError, Interrupted, SettingsError
from tagsmith.core.files import digest
from tagsmith.core.schema import Schema
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.evaluate.analysis.predictions import read_predictions
from tagsmith.evaluate.comparison.compare_runs import compare_runs
from tagsmith.train import fit
from tagsmith.train.calibration.calibrate_run import calibrate_run
from tagsmith.train.earlier import head_rows, rows_of
from tagsmith.train.train_run import train
from tests.conftest import make_encoder

pytestmark = pytest.mark.slow

Make = Callable[..., TrainRun]


def test_rows_of_renamed_merged_and_split_classes() -> None:
    changes = SchemaChanges({"a": "A", "b": "bc", "c": "bc"}, {"d": ("d1", "d2")}, ("new",))
    classes = ("A", "bc", "d1", "d2", "new")
    sources = rows_of(classes, ("a", "b", "c", "d"), changes)
    weights, bias = torch.tensor([[1.0, 0], [2, 4], [4, 0], [0, 3]]), torch.tensor([0.5, 1, 2, 3])
    rows, shift = head_rows(weights, bias, sources)
    assert rows.tolist() == [[1, 0], [3, 2], [0, 3], [0, 3], [0, 0]]
    assert shift.tolist() == pytest.approx([0.5, 1.5 + log(2), 3 - log(2), 3 - log(2), 0])


def test_where_two_classes_are_alike_their_odds_add_up() -> None:
    sources = rows_of(("ab", "c"), ("a", "b", "c"), SchemaChanges({"a": "ab", "b": "ab"}))
    weights, bias = torch.tensor([[1.0], [1.0], [-1.0]]), torch.tensor([0.2, 0.2, 0.1])
    x = torch.tensor([0.7])
    before = torch.softmax(weights @ x + bias, 0)
    rows, shift = head_rows(weights, bias, sources)
    assert torch.softmax(rows @ x + shift, 0).tolist() == pytest.approx([float(before[:2].sum()), float(before[2])])


def test_a_run_starts_where_the_earlier_one_ended(
    settings: Make, single_label_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = train(settings(single_label_file, "first"))
    (tmp_path / "changes.yaml").write_text("rename: {animals: zoo}")
    # So slow that no weight moves in float32.
    monkeypatch.setattr(TrainSettings, "weight_decay", 0.0)
    again = settings(
        single_label_file, "second", split_from=str(first.path), validation_share=0.0, learning_rate=1e-30,
        epochs=1, start_from=str(first.path), schema_changes=str(tmp_path / "changes.yaml"),
    )  # fmt: skip
    monkeypatch.setattr(fit, "set_head", None)  # Every class has a row: no regression is asked.
    second, _ = train(again)
    old, new = Schema.load(first.schema), Schema.load(second.schema)
    assert "zoo" in new.classes
    order = [old.classes.index({"zoo": "animals"}.get(name, name)) for name in new.classes]
    weights = [load_file(run.weights) for run in (first, second)]
    assert torch.equal(weights[0]["head.weight"][order], weights[1]["head.weight"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0] if not name.startswith("head"))
    (compared,) = compare_runs(
        CompareRuns(runs=[str(first.path), str(second.path)], schema_changes=str(tmp_path / "changes.yaml"))
    )
    assert compared.found["changed"] == []
    assert {row["difference"] for name, row in compared.found["figures"].items() if name != "log_loss"} == {0.0}
    assert compared.page.is_file()


def test_a_new_class_gets_a_row_of_the_regression(settings: Make, single_label_file: Path, tmp_path: Path) -> None:
    (tmp_path / "delete.yaml").write_text("delete: [animals]")
    changed = str(tmp_path / "delete.yaml")
    first, _ = train(settings(single_label_file, "first", schema_changes=changed, validation_share=0.0))
    second, _ = train(
        settings(
            single_label_file, "second", split_from=str(first.path), start_from=str(first.path), validation_share=0.0
        )
    )
    assert not second.vectors.exists()  # The encoder of an earlier run is not the pretrained one.
    schema = Schema.load(second.schema)
    predictions = read_predictions(second.predictions, schema)
    assert predictions.predicted.sum() == len(predictions)
    rows = load_file(second.weights)["head.weight"].norm(dim=1).numpy()
    assert rows.min() > 0.3 * np.median(rows)


def test_stopped_and_resumed_equals_uninterrupted(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tagsmith.train import loop

    first, _ = train(settings(single_label_file, "first", validation_share=0.0))
    given = {"split_from": str(first.path), "start_from": str(first.path), "checkpoint_every": 1, "frozen_layers": 1}
    whole, _ = train(settings(single_label_file, "whole", validation_share=0.0, **given))
    due = loop._is_due

    def die(*args: object) -> bool:
        if args[0].epoch == 1 and args[0].batch == 1:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        return due(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_is_due", die)
    stopped = settings(single_label_file, "stopped", validation_share=0.0, **given)
    with pytest.raises(Interrupted):
        train(stopped)
    monkeypatch.undo()
    stopped.resume = True
    resumed, _ = train(stopped)
    found = [load_file(run.weights) for run in (whole, resumed)]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_run_resumes_with_what_it_started_with(
    settings: Make, single_label_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The changes of classes are those of its record, whatever has become of the file; other weights are refused."""
    first, _ = train(settings(single_label_file, "first", validation_share=0.0))
    changes = tmp_path / "changes.yaml"
    changes.write_text("rename: {animals: zoo}")
    given = {
        "split_from": str(first.path), "start_from": str(first.path), "schema_changes": str(changes),
        "validation_share": 0.0, "epochs": 1,
    }  # fmt: skip
    whole, _ = train(settings(single_label_file, "whole", **given))
    made_from = whole.read_record()["made_from"]
    assert made_from["schema_changes"]["rename"] == {"animals": "zoo"}
    assert made_from["start_from_sha256"] == digest(first.weights)

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tagsmith.train.train_run.fit_recipe", stop)  # Before there is a checkpoint.
    stopped = settings(single_label_file, "stopped", **given)
    with pytest.raises(Interrupted):
        train(stopped)
    monkeypatch.undo()
    stopped.resume = True
    changes.write_text("rename: {tools: zoo}")
    weights = first.weights.read_bytes()
    first.weights.write_bytes(weights[:-4] + b"\0\0\0\0")
    with pytest.raises(SettingsError, match="expected the weights that run="):
        train(stopped)
    first.weights.write_bytes(weights)
    path = Path(str(stopped.run)) / "settings.json"
    record = path.read_text()
    path.write_text(json.dumps({name: value for name, value in json.loads(record).items() if name != "made_from"}))
    with pytest.raises(DataError, match="expected the SHA-256"):
        train(stopped)
    path.write_text(record)
    resumed, _ = train(stopped)
    found = [load_file(run.weights) for run in (whole, resumed)]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    with pytest.raises(DataError, match=r"changes\.yaml: other changes of classes"):
        train(stopped)  # Finished: nothing is left to resume.


def test_calibration_by_folds_knows_nothing_of_the_earlier_run(
    settings: Make, single_label_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = train(settings(single_label_file, "first", validation_share=0.0))
    given = {"split_from": str(first.path), "start_from": str(first.path), "validation_share": 0.0}
    second, _ = train(settings(single_label_file, "second", **given))
    fresh, _ = train(settings(single_label_file, "fresh", split_from=str(first.path), validation_share=0.0))
    shutil.rmtree(first.path)
    for run in (second, fresh):
        calibrate_run(CalibrateRun(run=str(run.path), folds=2, cpu=True))
    # What started from it is held out by the same models as what did not: those of the pretrained encoder.
    logits = [
        [json.loads(line)["logits"] for line in run.out_of_fold.read_text().splitlines()] for run in (second, fresh)
    ]
    assert logits[0] == logits[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "held-out document.* were training documents there"),
        ({"split_from": "first", "pooling": Pooling.cls}, "expected model.pooling=cls, found mean"),
        ({"split_from": "first", "path": "other"}, "expected (an encoder of type|the same tokenizer)"),
    ],
)
def test_runs_that_training_cannot_start_from(
    settings: Make, single_label_file: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    first, _ = train(settings(single_label_file, "first", recipe=Recipe.probe, validation_share=0.0))
    if "split_from" in changes:
        changes = {**changes, "split_from": str(first.path)}
    if "path" in changes:
        changes = {**changes, "path": str(make_encoder(tmp_path / "other", "roberta"))}
    other = {"seed": 5, "start_from": str(first.path), "validation_share": 0.0, **changes}
    with pytest.raises(SettingsError, match=message):
        train(settings(single_label_file, "second", **other))


def test_recipes_that_leave_no_earlier_head() -> None:
    for recipe in (Recipe.probe, Recipe.auto):
        assert any(line.startswith("start_from") for line in TrainSettings(recipe=recipe, start_from="x").problems())
    assert not any(line.startswith("start_from") for line in TrainSettings(start_from="x").problems())
