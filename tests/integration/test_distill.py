"""A student that learns from a teacher: also on untagged texts, never on held-out ones, and after a kill."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tagsmith.config.settings import CacheSettings, CalibrateRun, Recipe, TrainRun
from tagsmith.core.errors import DataError, SettingsError
from tagsmith.core.run import RunFolder
from tagsmith.train import teacher
from tagsmith.train.calibration.calibrate_run import calibrate_run
from tagsmith.train.teacher import TeacherScores
from tagsmith.train.train_run import train
from tests.conftest import make_documents, write_jsonl
from tests.integration.conftest import Made, settings_in
from tests.integration.test_saving import Killed, kill
from tests.integration.test_soup import at_step_of_training
from tests.integration.test_train import same_weights

pytestmark = pytest.mark.slow

Make = Callable[..., TrainRun]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Few tagged documents, the test documents, and a pool in which these are too: as they are, and in capitals."""
    folder = tmp_path_factory.mktemp("distill")
    train_, test = make_documents(24, multi_label=False), make_documents(60, multi_label=False, seed=1, longest=20)
    pool = [str(one["text"]) for one in make_documents(60, multi_label=False, seed=2)]
    copies = [str(test[0]["text"]), str(test[1]["text"]).upper(), f"{test[2]['text']} milk", str(train_[0]["text"])]
    write_jsonl(folder / "pool.jsonl", [{"text": text} for text in [*pool, pool[0], *copies, ""]])
    return {
        "train": write_jsonl(folder / "train.jsonl", train_),
        "test": write_jsonl(folder / "test.jsonl", test),
        "pool": folder / "pool.jsonl",
    }


@pytest.fixture(scope="module")
def taught(
    encoder: Path, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunFolder, TrainRun, RunFolder]:
    """A teacher, and the settings of a student with its run."""
    make = settings_in(tmp_path_factory.mktemp("runs"), encoder)
    about = {"validation_share": 0.0, "test": str(files["test"])}
    master, _ = train(make(files["train"], "teacher", recipe=Recipe.probe, **about))
    given = make(files["train"], "student", **student(master, files))
    given.cache = CacheSettings(str(tmp_path_factory.mktemp("cache")))
    return master, given, train(given)[0]


def student(master: RunFolder, files: dict[str, Path]) -> dict[str, Any]:
    return {
        "recipe": Recipe.distill,
        "teacher": str(master.path),
        "pool": str(files["pool"]),
        "test": str(files["test"]),
        "validation_share": 0.0,
        "checkpoint_every": 2,
        "hidden_dropout": 0.1,
    }


def test_a_student_learns_on_the_pool_but_on_no_held_out_text(
    files: dict[str, Path], taught: tuple[RunFolder, TrainRun, RunFolder]
) -> None:
    _, _, run = taught
    pool = datasets.load_from_disk(str(run.pool))
    made = [str(one["text"]) for one in make_documents(60, multi_label=False, seed=2)]
    assert pool["text"][:] == made
    log = run.log.read_text()
    left_out = "1 without a text; 3 that repeat a text of the pool or of a document; 2 that are nearly a held-out"
    assert f"data.pool: 60 untagged texts; left out: {left_out} document." in log


def test_a_student_that_was_killed_equals_one_that_was_not(
    settings: Make,
    files: dict[str, Path],
    taught: tuple[RunFolder, TrainRun, RunFolder],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    master, _, whole = taught
    at_step_of_training(monkeypatch, 0, 5, kill)
    stopped = settings(files["train"], "stopped", **student(master, files))
    stopped.cache = CacheSettings(None)
    with pytest.raises(Killed):
        train(stopped)
    monkeypatch.undo()
    stopped.resume = True
    run, _ = train(stopped)
    assert same_weights(whole, run)
    weights = load_file(master.weights)
    run.weights.unlink()
    try:
        save_file({**weights, "head.bias": weights["head.bias"] + 1}, master.weights)
        with pytest.raises(SettingsError, match="not the teacher that the run was made with"):
            train(stopped)
    finally:
        save_file(weights, master.weights)


def test_scores_of_a_teacher_are_computed_once(
    settings: Make,
    files: dict[str, Path],
    taught: tuple[RunFolder, TrainRun, RunFolder],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    master, given, whole = taught

    def score_again(*_: Any) -> Any:
        raise AssertionError("scored again")

    monkeypatch.setattr(teacher, "_open", score_again)
    again = settings(files["train"], "again", **student(master, files))
    again.cache = given.cache
    assert same_weights(whole, train(again)[0])


def test_a_student_of_a_bundle_and_of_several_teachers(
    settings: Make, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _, bundle = made
    found: list[TeacherScores] = []
    original = TeacherScores.probabilities

    def probabilities(self: TeacherScores, documents: Any) -> Any:
        found.append(self)
        return original(self, documents)

    monkeypatch.setattr(TeacherScores, "probabilities", probabilities)
    about = {"recipe": Recipe.distill, "teacher": [str(run.path), str(bundle)], "epochs": 1}
    data = write_jsonl(tmp_path / "train.jsonl", make_documents(40, multi_label=False, seed=3))
    train(settings(data, test_share=0.2, **about))
    of_run, of_bundle = (each[0] for each in found[0].logits)
    assert np.abs(of_run - of_bundle).max() < 1e-4


def test_a_multi_label_student_in_a_soup(settings: Make, multi_label_file: Path) -> None:
    master, _ = train(settings(multi_label_file, "teacher", recipe=Recipe.probe))
    run, _ = train(settings(multi_label_file, recipe=Recipe.distill, teacher=[str(master.path)], soup=2, epochs=1))
    assert run.weights.is_file()


def test_what_a_student_must_not_do(
    settings: Make, files: dict[str, Path], taught: tuple[RunFolder, TrainRun, RunFolder], tmp_path: Path
) -> None:
    master, _, run = taught
    about = {"recipe": Recipe.distill, "teacher": str(master.path)}
    with pytest.raises(SettingsError, match=r"train.teacher=.*: \d+ of \d+ held-out documents were training documents"):
        train(settings(files["train"], "leak", **about))
    with pytest.raises(SettingsError, match=r"the teacher of this run knows the tags of every fold"):
        calibrate_run(CalibrateRun(run=str(run.path)))
    copies = write_jsonl(tmp_path / "copies.jsonl", [{"text": one["text"]} for one in make_documents(24, False)])
    with pytest.raises(DataError, match="each text is that of a tagged document"):
        train(settings(files["train"], "nothing", **{**student(master, files), "pool": str(copies)}))
    bad = write_jsonl(tmp_path / "bad.jsonl", [{"text": text} for text in ("a cat", "", "", "")])
    with pytest.raises(DataError, match=r"(?s)3 rows without a text; correct them.*bad.jsonl:2"):
        train(settings(files["train"], "bad", **{**student(master, files), "pool": str(bad)}))
