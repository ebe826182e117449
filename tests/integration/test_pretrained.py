"""Documents as they were before training, and scores by regressions that have not seen them."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from tagsmith.config.settings import CacheSettings, EvaluateRun, Recipe, TrainRun
from tagsmith.core.errors import DataError, InputMissing
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.data.dataset_folders import load_documents
from tagsmith.evaluate.evaluate_run import evaluate_run
from tagsmith.model.loaded_model import load_pretrained
from tagsmith.model.pretrained_vectors import PretrainedEncoder, folds_of, out_of_fold
from tagsmith.train.train_run import train

pytestmark = pytest.mark.slow


@pytest.fixture
def run(settings: Callable[..., TrainRun], single_label_file: Path) -> RunFolder:
    return train(settings(single_label_file))[0]


def pretrained(run: RunFolder) -> PretrainedEncoder:
    return PretrainedEncoder(run, 512, CacheSettings(folder=None), Accelerator(cpu=True))


def test_vectors_are_those_before_training(
    settings: Callable[..., TrainRun], single_label_file: Path, run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    part = load_documents(run.data, Schema.load(run.schema))["train"]
    found = pretrained(run).vectors_of_split("train", part)
    given = settings(single_label_file)
    model = load_pretrained(given.model, given.data, Schema.load(run.schema), 0.5)
    batch = model.encode(part["text"][:1]).batch(np.arange(1))
    expected = model.classifier.eval().features(torch.from_numpy(batch.inputs), torch.from_numpy(batch.attention_mask))
    assert np.allclose(found[0], expected.detach().numpy()[0], atol=5e-3)  # They are kept in half precision,
    assert np.array_equal(pretrained(run).vectors_of_split("train", part), found)  # and given so the first time too.
    (run.vectors / "train.npy").write_bytes(b"no array")
    log = logging.getLogger("tagsmith")
    log.addHandler(caplog.handler)
    again = pretrained(run).vectors_of_split("train", part)
    log.removeHandler(caplog.handler)
    assert np.array_equal(again, found)
    assert "computing it again" in caplog.text


@pytest.mark.parametrize("recipe", [Recipe.probe, Recipe.finetune])
def test_training_and_analysis_compute_the_vectors_of_a_document_once(
    settings: Callable[..., TrainRun], single_label_file: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(settings(single_label_file, recipe=recipe))[0]
    saved = np.load(run.vectors / "train.npy")
    part = load_documents(run.data, Schema.load(run.schema))["train"]
    assert np.array_equal(saved, pretrained(run).vectors("train", part["text"]).astype(np.float16))
    computed: list[str] = []
    vectors = PretrainedEncoder.vectors

    def counted(self: PretrainedEncoder, what: str, texts: list[str]) -> NDArray[np.float32]:
        computed.append(what)
        return vectors(self, what, texts)

    monkeypatch.setattr(PretrainedEncoder, "vectors", counted)
    for _ in range(2):
        evaluate_run(EvaluateRun(run=str(run.path), cpu=True, cache=CacheSettings(folder=None)), run)
    assert computed == ["test"]


def test_a_missing_encoder_is_reported(run: RunFolder) -> None:
    content = run.settings.read_text(encoding="utf-8")
    path = run.read_record()["settings"]["model.path"]
    run.settings.write_text(content.replace(path, f"{path}-gone"), encoding="utf-8")
    with pytest.raises(InputMissing, match="gone: expected a folder"):
        pretrained(run)
    run.settings.write_text(content.replace('"model.pooling": "mean"', '"model.pooling": "median"'), encoding="utf-8")
    with pytest.raises(DataError, match="'median' is not a valid Pooling"):
        pretrained(run)


def test_no_document_affects_its_own_score(run: RunFolder) -> None:
    schema = Schema.load(run.schema)
    part = load_documents(run.data, schema)["train"]
    folds = folds_of(part, schema, 3, seed=0)
    vectors = pretrained(run).vectors_of_split("train", part)
    truth = np.eye(len(schema.classes), dtype=np.int8)[part["labels"][:]]
    before = out_of_fold(vectors, truth, folds, schema.multi_label)
    assert (before.argmax(axis=1) == truth.argmax(axis=1)).mean() > 0.6
    truth[0] = np.roll(truth[0], 1)
    after = out_of_fold(vectors, truth, folds, schema.multi_label)
    same = folds == folds[0]
    assert np.array_equal(before[same], after[same])
    assert not np.array_equal(before[~same], after[~same])
    with pytest.raises(ValueError, match="two folds"):
        out_of_fold(vectors, truth, np.zeros_like(folds), schema.multi_label)
