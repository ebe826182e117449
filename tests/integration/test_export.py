import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tagsmith.classify.classifier import Classifier
from tagsmith.config.settings import ExportRun, LongDocuments, Pooling, TrainRun
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.core.run import RunFolder
from tagsmith.export import export_run as export_module
from tagsmith.export.export_run import export
from tagsmith.train.train_run import train
from tests.conftest import FILLERS, TOPICS, make_documents, make_encoder, write_jsonl
from tests.integration.conftest import Made, same_graph

pytestmark = pytest.mark.slow

Make = Callable[..., TrainRun]


def exported(run: RunFolder) -> Path:
    return export(ExportRun(run=str(run.path), bundle=str(run.path.parent / f"{run.path.name}-bundle")))


def expected_scores(run: RunFolder) -> tuple[list[str], np.ndarray]:
    lines = [json.loads(line) for line in run.predictions.read_text().splitlines()]
    return [line["text"] for line in lines], np.array([list(line["scores"].values()) for line in lines])


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("bert", LongDocuments.windows),
        ("mpnet", LongDocuments.head),
        ("xlm-roberta", LongDocuments.head_tail),
        ("deberta-v2", LongDocuments.windows),
        ("modernbert", LongDocuments.windows),
    ],
)
def test_every_encoder_of_the_configs_trains_and_exports_and_reads_long_documents_in_the_same_way(
    settings: Make, tmp_path: Path, kind: str, rule: LongDocuments
) -> None:
    # Writing a graph takes seconds a layer. That of bert is there, and two layers of ModernBERT attend differently.
    layers = 2 if kind in ("bert", "modernbert") else 1
    folder = make_encoder(tmp_path / "encoder", kind, layers=layers)
    documents = write_jsonl(tmp_path / "long.jsonl", make_documents(120, multi_label=True, longest=60))
    pooling = Pooling.cls if kind == "deberta-v2" else Pooling.mean
    reading = {"max_tokens": 16, "window_overlap": 4, "long_documents": rule}
    run, _ = train(settings(documents, path=str(folder), pooling=pooling, epochs=1, **reading))
    classifier = Classifier.load(exported(run))
    texts, scores = expected_scores(run)
    assert np.abs(classifier.predict_proba(texts) - scores).max() < 1e-4


def test_a_batch_of_one_equals_a_batch_of_many(made: Made) -> None:
    classifier = Classifier.load(made[2])
    draw = random.Random(3)
    words = [*FILLERS, *(word for words in TOPICS.values() for word in words), "never-seen"]
    texts = [" ".join(draw.choices(words, k=draw.randint(1, 90))) for _ in range(60)]
    together = classifier.predict_proba(texts)
    alone = np.concatenate([classifier.predict_proba([text]) for text in texts])
    assert together.dtype == np.float32
    assert together.shape == (60, 3)
    assert np.abs(together - alone).max() < 1e-5
    assert [found.label for found in classifier.predict(texts)] == [
        classifier.classes[i] for i in together.argmax(axis=1)
    ]
    assert classifier.predict_proba([]).shape == (0, 3)


def test_one_string_is_not_accepted_as_a_list(made: Made) -> None:
    classifier = Classifier.load(made[2])
    with pytest.raises(TypeError, match="list of strings"):
        classifier.predict("a cat")
    with pytest.raises(TypeError, match="list of strings"):
        classifier.predict([None])  # type: ignore[list-item]


def test_a_bundle_with_other_scores_is_refused(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(shutil.copytree(made[0].path, tmp_path / "run"))
    graph = onnx.load(made[2] / "onnx" / "model.onnx")
    (bias,) = (weights for weights in graph.graph.initializer if weights.name == "head.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32([0.1, 0, 0]), bias.name))
    monkeypatch.setattr(export_module, "write_graph", lambda path, *_, **__: onnx.save(graph, path))
    with pytest.raises(DataError, match="largest difference"):
        exported(run)
    assert [p.name for p in run.path.parent.iterdir() if "bundle" in p.name] == []


def test_export_refuses_missing_runs_and_existing_folders(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same_graph(made[2], monkeypatch)
    with pytest.raises(InputMissing, match="no run here"):
        export(ExportRun(run=str(tmp_path / "nowhere"), bundle=str(tmp_path / "b")))
    run = RunFolder(shutil.copytree(made[0].path, tmp_path / "run"))
    bundle = shutil.copytree(made[2], tmp_path / "run-bundle")
    with pytest.raises(SettingsError, match="overwrite=true"):
        exported(run)
    export(ExportRun(run=str(run.path), bundle=str(bundle), overwrite=True))
    other = tmp_path / "other"
    other.mkdir()
    (other / "a").write_text("mine")
    with pytest.raises(SettingsError, match="exists but is not a bundle"):
        export(ExportRun(run=str(run.path), bundle=str(other), overwrite=True))
    run.weights.unlink()
    with pytest.raises(InputMissing, match="training is not finished"):
        export(ExportRun(run=str(run.path), bundle=str(tmp_path / "c")))


def test_a_modified_bundle_is_refused(made: Made, tmp_path: Path) -> None:
    bundle = shutil.copytree(made[2], tmp_path / "touched")
    decision = bundle / "decision.json"
    whole = decision.read_bytes()
    decision.write_bytes(whole.replace(b"0.5", b"0.4"))
    with pytest.raises(DataError, match=r"decision\.json: changed"):
        Classifier.load(bundle)
    decision.unlink()
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"(?s)decision\.json: missing.*notes\.txt: not in the manifest"):
        Classifier.load(bundle)
    decision.write_bytes(whole)
    (bundle / "notes.txt").unlink()
    Classifier.load(bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(DataError, match="expected format 2 or earlier, found 99"):
        Classifier.load(bundle)
    with pytest.raises(InputMissing, match="is not a bundle"):
        Classifier.load(bundle / "onnx")


def test_a_bundle_needs_neither_its_run_nor_torch(made: Made, tmp_path: Path) -> None:
    run, _, whole = made
    bundle = shutil.copytree(whole, tmp_path / "moved")
    code = f"""
import sys
for name in ("torch", "transformers", "datasets", "hydra", "omegaconf", "sklearn", "rich", "evaluate", "accelerate"):
    sys.modules[name] = None
from tagsmith import Classifier
print(Classifier.load({str(bundle)!r}).predict(["the cat and the dog"])[0].label)
"""
    away = run.path.parent.rename(tmp_path / "away")  # Neither the run nor its bundle is where it was.
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    finally:
        away.rename(run.path.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("animals", "food", "tools")


def test_the_model_card_has_the_metrics(made: Made) -> None:
    _, evaluation, bundle = made
    card = (bundle / "README.md").read_text()
    assert f"Accuracy {evaluation['accuracy']:.4f}" in card
    for name, row in evaluation["classes"].items():
        assert f"| {name} | {row['precision']:.4f} | {row['recall']:.4f} | {row['f1']:.4f} |" in card
