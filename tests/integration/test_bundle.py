"""A bundle with all its formats, and bundles that must not load."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import transformers
from accelerate import Accelerator
from huggingface_hub import ModelCard

from tagsmith.classify.bundle import contents as layout
from tagsmith.classify.bundle.command_line import main
from tagsmith.classify.classifier import Classifier
from tagsmith.classify.verify import verify
from tagsmith.config.settings import ExportRun, ExportSettings, GoldenFrom, ModelSettings, TableSettings, TrainRun
from tagsmith.config.settings import TrainSettings as Training
from tagsmith.config.settings import problems as problems_of
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.core.files import digest
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.decision.scope import Scope, unit_rows
from tagsmith.evaluate.evaluate_run import rule_of_run
from tagsmith.export import export_run as export_module
from tagsmith.export.export_run import export
from tagsmith.model.loaded_model import load_trained
from tagsmith.model.score import score
from tagsmith.train.train_run import train
from tests.conftest import make_documents, write_jsonl
from tests.integration import conftest

pytestmark = pytest.mark.slow

ALL = ExportSettings(formats=["onnx", "transformers"], quantize=True, golden=GoldenFrom.documents)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Path:
    """A run with a decision rule that scales and shifts logits, abstains, and has a scope."""
    folder = tmp_path_factory.mktemp("runs")
    data = write_jsonl(folder / "train.jsonl", make_documents(150, multi_label=True))
    settings = TrainRun(
        run=str(folder / "run"),
        data=TableSettings(train=str(data)),
        model=ModelSettings(path=str(encoder)),
        train=Training(cpu=True, tensorboard=False, batch_tokens=256, epochs=4, learning_rate=1e-3),
    )
    made, _ = train(settings)
    rule = {"scale": [1.5, 0.8, 1.1], "shift": [0.2, -0.1, 0.05], "thresholds": [0.45, 0.52, 0.6]}
    about = {"from": "validation", "target": 0.9, "coverage": None, "false_alarms": 0.1}
    others = {"abstain_below": 0.5, "out_of_scope_beyond": 0.7, "about": about}
    made.decision.write_text(json.dumps({**rule, **others}))
    references = np.random.default_rng(0).normal(size=(20, 32)).astype(np.float32)
    Scope(unit_rows(references), 0.7).save(made.references)
    return made.path


@pytest.fixture(scope="module")
def whole(run: Path) -> Path:
    return export(ExportRun(run=str(run), bundle=str(run.parent / "bundle"), export=ALL))


@pytest.fixture
def same_graph(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conftest.same_graph(whole, monkeypatch)


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "bundle"))


def sealed(bundle: Path) -> Path:
    """Update the manifest for the current files, as someone could who knows the format."""
    manifest = json.loads((bundle / layout.MANIFEST).read_text())
    for name, entry in manifest["files"].items():
        entry["sha256"] = digest(bundle / name)
    manifest["schema_hash"] = Schema.load(bundle / layout.SCHEMA).hash
    (bundle / layout.MANIFEST).write_text(json.dumps(manifest))
    return bundle


def test_the_manifest_lists_all_files_and_certificates(whole: Path, run: Path) -> None:
    manifest = json.loads((whole / layout.MANIFEST).read_text())
    files = {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == files - {layout.MANIFEST}
    assert {layout.GRAPH, layout.QUANTIZED, layout.GOLDEN, layout.CONFIG, "transformers/config.json"} <= files
    assert manifest["format"] == 2
    assert manifest["schema_hash"] == Schema.load(run / "schema.json").hash
    assert manifest["run"] == "run"
    assert manifest["training"]["recipe"] == "finetune"
    for name, entry in manifest["files"].items():
        assert entry["bytes"] == (whole / name).stat().st_size
    parity = manifest["parity"]
    assert set(parity) == {"onnx", "onnx_quantized", "transformers"}
    assert parity["onnx"]["largest_distance_difference"] < 1e-4
    for name in ("onnx", "transformers"):
        assert parity[name]["labels_differ"] == 0
        assert parity[name]["largest_score_difference"] < 1e-4
    assert parity["onnx_quantized"]["macro_f1_lost"] <= 0.003
    assert {found["documents"] for found in parity.values()} == {30}


def test_every_library_returns_the_calibrated_scores(whole: Path, run: Path) -> None:
    schema = Schema.load(run / "schema.json")
    texts = [str(record["text"]) for record in make_documents(20, multi_label=True, seed=7)]
    classifier = Classifier.load(whole)
    scores = classifier.predict_proba(texts)
    assert set(classifier.decision.rule.scale) == {1.0}
    model = load_trained(run / "model", schema)
    logits = score(model.classifier.eval(), model.encode(texts), 512, Accelerator(cpu=True), "scoring")
    assert np.abs(rule_of_run(RunFolder(run), schema, 0.5).scores(logits) - scores).max() < 1e-5
    pipeline = transformers.pipeline("text-classification", model=str(whole / "transformers"), truncation=True)
    for text, row in zip(texts, scores, strict=True):
        found = {one["label"]: one["score"] for one in pipeline(text, top_k=None)}
        assert max(abs(found[name] - row[i]) for i, name in enumerate(schema.classes)) < 1e-4
    # transformers.js applies the sigmoid to the logits, according to the problem type in the config.
    config = json.loads((whole / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert config["transformers.js_config"] == {"dtype": "fp32"}
    assert np.abs(1 / (1 + np.exp(-classifier.logits(texts))) - scores).max() < 1e-6
    unscoped = Classifier.load(whole, out_of_scope=False)
    assert unscoped.decision.rule.scope is None
    assert (unscoped.predict_proba(texts) == scores).all()
    quantized = Classifier.load(whole, quantized=True).predict_proba(texts)
    assert 0 < np.abs(quantized - scores).max() < 0.2


def test_verify_lists_the_checks(whole: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = "\n".join(verify(whole))
    for part in (
        "format 2",
        "model.onnx: matches the schema of 3 classes",
        "model_quantized.onnx: matches",
        "17 answers",
        "parity of transformers over 30 test documents",
    ):
        assert part in message
    assert main(["verify", str(whole)]) == 0
    assert "verified" in capsys.readouterr().out
    assert main(["verify", str(run)]) == 66
    assert main(["verify"]) == 64
    assert main([]) == 64
    assert capsys.readouterr().err.count("usage: python -m tagsmith.bundle") == 2


def test_the_hub_can_read_the_model_card(whole: Path) -> None:
    card = ModelCard.load(whole / layout.CARD)
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert set(results) == {"accuracy", "f1", "precision", "recall"}
    assert card.data.pipeline_tag == "text-classification"
    assert card.data.base_model is None  # The encoder is a local folder.
    for heading in ("Intended use", "Evaluation", "Formats", "Training", "Limits"):
        assert f"## {heading}" in card.text
    assert "0 of 30" in card.text
    assert "For the licence, see the encoder." in card.text
    assert str(whole.parent) not in card.text
    assert f"| {results['f1']:.4f} |" in card.text


FILES = [
    layout.GRAPH, layout.QUANTIZED, layout.TOKENIZER, layout.SCHEMA, layout.DECISION, layout.SCOPE, layout.GOLDEN,
    layout.CARD, layout.CONFIG, "tokenizer_config.json", "transformers/config.json", "transformers/model.safetensors",
    "transformers/tokenizer.json", "transformers/tokenizer_config.json", "transformers/sentence_bert_config.json",
]  # fmt: skip


def test_every_file_has_a_constant(whole: Path) -> None:
    assert set(json.loads((whole / layout.MANIFEST).read_text())["files"]) == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_changed_and_missing_files_are_reported(bundle: Path, name: str) -> None:
    content = (bundle / name).read_bytes()
    middle = len(content) // 2
    (bundle / name).write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(DataError, match=f"{name}: changed"):
        Classifier.load(bundle)
    (bundle / name).write_bytes(content[:-1])
    with pytest.raises(DataError, match=f"{name}: changed"):
        verify(bundle)
    (bundle / name).unlink()
    with pytest.raises(DataError, match=f"{name}: missing"):
        Classifier.load(bundle)


@pytest.mark.parametrize("name", ["scope2.npy", "notes.txt", "onnx/model_fp16.onnx", "transformers/pytorch_model.bin"])
def test_files_not_in_the_manifest_are_reported(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"x")
    with pytest.raises(DataError, match=f"{name}: not in the manifest"):
        Classifier.load(bundle)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"format": 2}', '{"format": 2, "files": []}', '{"format": "x", "files": {}}',
     '{"format": Infinity, "files": {}}', '{"format": 2, "files": {"a": {}}}', "[" * 100_000],
    ids=range(10),
)  # fmt: skip
def test_an_invalid_manifest_is_refused(bundle: Path, content: str) -> None:
    (bundle / layout.MANIFEST).write_text(content)
    with pytest.raises(DataError, match="expected a manifest"):
        Classifier.load(bundle)


def test_a_truncated_manifest_is_refused(bundle: Path) -> None:
    path = bundle / layout.MANIFEST
    content = path.read_bytes()
    for end in (1, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:end])
        with pytest.raises(DataError, match="expected a manifest"):
            Classifier.load(bundle)
    path.write_bytes(b"\xff\xfe" + content)
    with pytest.raises(DataError, match="expected a manifest"):
        Classifier.load(bundle)
    path.unlink()
    with pytest.raises(InputMissing):
        Classifier.load(bundle)


@pytest.mark.parametrize(
    ("version", "message"),
    [(3, "upgrade tagsmith"), (0, "expected format 1 or later"), (-2, "expected format 1 or later")],
)
def test_other_formats_are_refused(bundle: Path, version: int, message: str) -> None:
    manifest = json.loads((bundle / layout.MANIFEST).read_text())
    (bundle / layout.MANIFEST).write_text(json.dumps(manifest | {"format": version}))
    with pytest.raises(DataError, match=message):
        Classifier.load(bundle)


def test_format_2_has_golden_answers(bundle: Path) -> None:
    manifest = json.loads((bundle / layout.MANIFEST).read_text())
    del manifest["files"][layout.GOLDEN]
    (bundle / layout.GOLDEN).unlink()
    (bundle / layout.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"golden\.jsonl: missing"):
        Classifier.load(bundle)


def test_a_schema_that_does_not_match_the_graph_is_refused(bundle: Path) -> None:
    """Even if the manifest was updated."""
    schema = Schema.load(bundle / layout.SCHEMA)
    for classes, message in (
        (schema.classes[::-1], "another schema"),
        ((*schema.classes[:2], "other"), "another schema"),
        (schema.classes[:2], "scale for each of|expected thresholds"),
        ((*schema.classes, "other"), "scale for each of|expected thresholds"),
    ):
        Schema(classes, schema.task).save(bundle / layout.SCHEMA)
        with pytest.raises(DataError, match=message):
            Classifier.load(sealed(bundle))
    manifest = json.loads((bundle / layout.MANIFEST).read_text())
    schema.save(bundle / layout.SCHEMA)
    sealed(bundle)
    files = json.loads((bundle / layout.MANIFEST).read_text())["files"]
    (bundle / layout.MANIFEST).write_text(json.dumps(manifest | {"files": files}))
    with pytest.raises(DataError, match=r"schema\.json: expected the hash"):
        Classifier.load(bundle)


def change_decision(bundle: Path, **values: object) -> None:
    content = json.loads((bundle / layout.DECISION).read_text())
    (bundle / layout.DECISION).write_text(json.dumps(content | values))


def other_graph(bundle: Path) -> None:
    import onnx

    graph = onnx.load(bundle / layout.GRAPH)
    weights = next(tensor for tensor in graph.graph.initializer if len(tensor.dims) == 2 and 3 in tensor.dims)
    changed = onnx.numpy_helper.to_array(weights) * 1.2
    weights.CopyFrom(onnx.numpy_helper.from_array(changed, weights.name))
    onnx.save(graph, bundle / layout.GRAPH)


def other_tokenizer(bundle: Path) -> None:
    content = json.loads((bundle / layout.TOKENIZER).read_text())
    words = content["model"]["vocab"]
    content["model"]["vocab"] = dict(zip(words, [*range(4), *range(len(words) - 1, 3, -1)], strict=True))
    (bundle / layout.TOKENIZER).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda bundle: change_decision(bundle, thresholds=[0.001] * 3), "expected labels"),
        (lambda bundle: change_decision(bundle, abstain_below=1.0), "expected to_person"),
        (lambda bundle: change_decision(bundle, scale=[3.0] * 3), "a score differs"),
        (lambda bundle: change_decision(bundle, out_of_scope_beyond=0.01), "expected to_person"),
        (lambda bundle: Scope(np.eye(32, dtype=np.float32), 0.7).save(bundle / layout.SCOPE), "expected the distance"),
        (
            lambda bundle: Scope(np.eye(8, dtype=np.float32), 0.7).save(bundle / layout.SCOPE),
            "does not match the outputs",
        ),
        (lambda bundle: change_decision(bundle, window_rule={"max_tokens": 4}), "a score differs"),
        (lambda bundle: change_decision(bundle, window_rule={"tokens": 4}), "decision.json: expected"),
        (lambda bundle: change_decision(bundle, thresholds=[0.5]), "thresholds for each of 3 classes"),
        (other_graph, "a score differs"),
        (other_tokenizer, "a score differs"),
        (lambda bundle: (bundle / layout.GRAPH).write_bytes(b"no graph"), "expected a graph"),
        (lambda bundle: (bundle / layout.TOKENIZER).write_text("{}"), "expected a tokenizer"),
        (lambda bundle: (bundle / layout.GOLDEN).write_text("{}"), "expected texts with their scores"),
    ],
)
def test_golden_answers_detect_what_the_manifest_does_not(
    bundle: Path, change: Callable[[Path], None], message: str
) -> None:
    change(bundle)
    with pytest.raises(DataError, match=message):
        Classifier.load(sealed(bundle))
    assert main(["verify", str(bundle)]) == 65


def test_a_missing_quantized_graph_is_reported(run: Path, same_graph: None, tmp_path: Path) -> None:
    plain = export(ExportRun(run=str(run), bundle=str(tmp_path / "plain")))
    with pytest.raises(InputMissing, match=r"export\.quantize=true"):
        Classifier.load(plain, quantized=True)
    assert not (plain / layout.STOCK).exists()
    texts = [json.loads(line)["text"] for line in (plain / layout.GOLDEN).read_text(encoding="utf-8").splitlines()]
    documents = {json.loads(line)["text"] for line in (run / "predictions.jsonl").read_text().splitlines()}
    assert not documents & set(texts)


def test_a_quantized_graph_that_loses_too_much_is_left_out(
    run: Path, same_graph: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "F1_LOST", -1.0)
    settings = ExportRun(run=str(run), bundle=str(tmp_path / "b"), export=ExportSettings(quantize=True))
    bundle = export(settings)
    assert not (bundle / layout.QUANTIZED).exists()
    manifest = json.loads((bundle / layout.MANIFEST).read_text())
    assert "onnx_quantized" not in manifest["parity"]
    assert manifest["left_out"]["onnx_quantized"].count("points of macro F1 lost") >= 4
    assert "Left out: onnx_quantized" in (bundle / layout.CARD).read_text()
    Classifier.load(bundle)


def test_unsupported_models_are_refused_before_any_work(run: Path, same_graph: None, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "run"))
    reading = json.loads((other / "model/reading.json").read_text())
    reading["window_rule"]["long_documents"] = "windows"
    (other / "model/reading.json").write_text(json.dumps(reading))
    wanted = ExportSettings(formats=["onnx", "transformers"])
    with pytest.raises(SettingsError, match=r"data\.long_documents=head"):
        export(ExportRun(run=str(other), bundle=str(tmp_path / "b"), export=wanted))
    assert not (tmp_path / "b").exists()
    bundle = export(ExportRun(run=str(other), bundle=str(tmp_path / "b")))
    assert not (bundle / layout.CONFIG).exists()
    assert "transformers.js" in json.loads((bundle / layout.MANIFEST).read_text())["left_out"]


def test_formats_are_checked() -> None:
    def found(formats: list[str]) -> str:
        return " ".join(problems_of(ExportRun(run="r", bundle="b", export=ExportSettings(formats=formats))))

    assert found(["onnx", "transformers"]) == ""
    assert "export.formats: expected some of onnx, transformers; found gguf" in found(["onnx", "gguf"])
    assert "expected onnx among them" in found(["transformers"])
