"""A GPU trains what a CPU serves."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tagsmith.classify.classifier import Classifier
from tagsmith.config.settings import ExportRun, Precision, TrainRun
from tagsmith.export.export_run import export
from tagsmith.train.train_run import train

pytestmark = pytest.mark.gpu


def test_a_bundle_gives_the_scores_of_a_model_that_a_gpu_trained_in_bf16(
    settings: Callable[..., TrainRun], single_label_file: Path, tmp_path: Path
) -> None:
    wanted = settings(single_label_file, mixed_precision=Precision.bf16)
    run, _ = train(replace(wanted, train=replace(wanted.train, cpu=False)))
    assert run.read_record()["precision"] == "bf16"
    losses = [step["loss"] for line in run.metrics.open() if "loss" in (step := json.loads(line))]
    assert losses
    assert all(map(math.isfinite, losses))
    classifier = Classifier.load(export(ExportRun(run=str(run.path), bundle=str(tmp_path / "bundle"))))
    documents = [json.loads(line) for line in run.predictions.open(encoding="utf-8")]
    scores = np.array([list(document["scores"].values()) for document in documents])
    assert np.abs(classifier.predict_proba([document["text"] for document in documents]) - scores).max() < 1e-3
