"""Engines: which one is chosen, and that OpenVINO decides as onnxruntime does."""

import importlib.util
import json
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.classify import engine as engines
from tagsmith.classify.bundle import golden
from tagsmith.classify.classifier import Classifier
from tagsmith.classify.engine import BF16, CPU, FP32, ONNXRUNTIME, OPENVINO, Engine, choose, flags_in
from tagsmith.classify.session import Graph
from tagsmith.core.errors import DataError, InputMissing, SettingsError
from tagsmith.decision.rule import Decisions
from tagsmith.export import certify_engines
from tagsmith.export.certify_engines import certify_engine, engines_to_certify
from tagsmith.export.parity import Answers, Certificate, ParityTest
from tests.bundles import make_bundle
from tests.unit.test_classifier import run_alone, seal, texts

AVX2, AVX512 = frozenset({"avx2"}), frozenset({"avx2", "avx512f"})
AMX = AVX512 | {"avx512_bf16", "amx_bf16"}

needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs the extra openvino")


def certificate(lost: float = 0.0) -> dict[str, Any]:
    return asdict(Certificate("test", 100, 0.01, None, 1, 0, 0.9 - lost, 0.9, lost, 0.0))


def on(monkeypatch: pytest.MonkeyPatch, flags: frozenset[str], openvino: str | None = "2026.4.1") -> None:
    monkeypatch.setattr(engines, "processor_flags", lambda: flags)
    monkeypatch.setattr(engines, "installed", lambda name: openvino if name == OPENVINO else "1.32.0")


@pytest.mark.parametrize(
    ("flags", "certified", "expected", "why"),
    [
        (AMX, {"openvino": 0.0, "openvino_bf16": 0.001}, Engine(OPENVINO, BF16), "0.10 points of macro F1 lost"),
        (AMX, {"openvino": 0.0, "openvino_bf16": -0.002}, Engine(OPENVINO, BF16), "-0.20 points"),
        (AMX, {"openvino": 0.0, "openvino_bf16": 0.0011}, Engine(OPENVINO, FP32), "AVX-512"),
        (AMX, {"openvino_bf16": 0.0011}, Engine(ONNXRUNTIME, FP32), "no certificate"),
        (AVX512, {"openvino": 0.0, "openvino_bf16": 0.0}, Engine(OPENVINO, FP32), "AVX-512"),
        (AVX512, {}, Engine(ONNXRUNTIME, FP32), "no certificate"),
        (AVX2, {"openvino": 0.0, "openvino_bf16": 0.0}, Engine(ONNXRUNTIME, FP32), "no faster without AVX-512"),
        (frozenset(), {"openvino": 0.0}, Engine(ONNXRUNTIME, FP32), "no faster"),
    ],
)
def test_auto_takes_what_is_certified_and_built_in(
    monkeypatch: pytest.MonkeyPatch,
    flags: frozenset[str],
    certified: dict[str, float],
    expected: Engine,
    why: str,
) -> None:
    parity = {name: certificate(lost) for name, lost in certified.items()}
    on(monkeypatch, flags)
    found = choose("auto", "auto", parity)
    assert (found.name, found.precision) == (expected.name, expected.precision)
    assert why in found.reason
    assert choose("auto", FP32, parity).precision == FP32
    on(monkeypatch, flags, openvino=None)
    assert choose("auto", "auto", parity) == Engine(reason="OpenVINO is not installed")


def test_what_is_asked_for_and_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"openvino": certificate(), "openvino_bf16": certificate(0.05)}
    on(monkeypatch, AMX)
    assert choose("openvino", "auto", {}) == Engine(OPENVINO, FP32)
    assert choose("auto", BF16, both) == choose("openvino", BF16, both) == Engine(OPENVINO, BF16)
    with pytest.raises(InputMissing, match="no certificate of bf16; export its run again on this machine"):
        choose("auto", BF16, {"openvino": certificate()})
    with pytest.raises(SettingsError, match="onnxruntime computes in fp32"):
        choose("onnxruntime", BF16, both)
    with pytest.raises(SettingsError, match="expected one of auto, onnxruntime, openvino, found tensorrt"):
        choose("tensorrt", "auto", both)
    with pytest.raises(SettingsError, match="expected auto, fp32 or bf16, found fp16"):
        choose("auto", "fp16", both)
    on(monkeypatch, AVX512)
    with pytest.raises(SettingsError, match="amx_bf16 or avx512_bf16, found one without"):
        choose("openvino", BF16, both)
    on(monkeypatch, AMX, openvino=None)
    for arguments in (("openvino", "auto"), ("auto", BF16)):
        with pytest.raises(SettingsError, match=r"not installed: pip install 'tagsmith\[openvino\]'"):
            choose(*arguments, both)


def test_the_engine_is_named_with_its_version_and_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, AMX, "2026.4.1-22165-release")
    assert str(Engine(OPENVINO, BF16)) == "openvino 2026.4.1, bf16, amx_bf16"
    assert str(Engine(reason="why")) == "onnxruntime 1.32.0, fp32, avx512f (why)"
    assert Engine(precision="int8").as_dict()["instructions"] == "avx2"
    on(monkeypatch, frozenset())
    assert str(Engine()) == "onnxruntime 1.32.0, fp32"
    lines = ["processor\t: 0\n", "flags\t\t: fpu avx2 amx_bf16\n", "flags\t\t: other\n"]
    assert flags_in(lines) == {"fpu", "avx2", "amx_bf16"}
    assert flags_in(["model name: x\n"]) == frozenset()


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tagsmith" / "openvino"


@needs_openvino
def test_openvino_decides_as_onnxruntime_does(tmp_path: Path, cached: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", multi_label=True, scope_limit=0.5)
    one = Classifier.load(bundle, threads=2, engine="onnxruntime")
    other = Classifier.load(bundle, threads=2, engine="openvino")
    assert (one.engine.name, other.engine.name) == (ONNXRUNTIME, OPENVINO)
    parts = [texts(30, seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for part, (scores, decisions) in zip(parts, pool.map(other.decide, parts), strict=True):
            expected, expected_decisions = one.decide(part)
            np.testing.assert_allclose(scores, expected, atol=1e-5)
            np.testing.assert_array_equal(decisions.predicted, expected_decisions.predicted)
            np.testing.assert_array_equal(decisions.to_person, expected_decisions.to_person)
    again = pickle.loads(pickle.dumps(other))  # Reads the compiled graph from the cache.
    assert again.engine.name == OPENVINO
    np.testing.assert_allclose(again.predict_proba(parts[0]), one.predict_proba(parts[0]), atol=1e-5)
    with pytest.raises(SettingsError, match="cannot be chosen for the quantized graph, or with providers"):
        Classifier.load(bundle, engine="openvino", providers=["CUDAExecutionProvider"])
    # A damaged cache is compiled anew; another graph in the same folder has another name.
    (blob,) = cached.glob("*.blob")
    for content in (b"", blob.read_bytes()[:1000]):
        blob.write_bytes(content)
        assert Classifier.load(bundle, engine="openvino").predict(["a"])
        assert len(blob.read_bytes()) > 1000
    shutil.rmtree(bundle)
    make_bundle(bundle, multi_label=True, vote=5.0)
    changed = Classifier.load(bundle, engine="openvino")
    assert np.abs(changed.predict_proba(parts[0]) - one.predict_proba(parts[0])).max() > 0.01
    assert len(list(cached.glob("*.blob"))) == 2


@needs_openvino
def test_openvino_without_a_cache_and_with_a_damaged_graph(
    tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tagsmith.classify import openvino_session

    bundle = make_bundle(tmp_path / "bundle")
    cached.parent.parent.write_text("no folder")
    assert Classifier.load(bundle, engine="openvino", threads=1).predict(["a"])
    cached.parent.parent.unlink()
    monkeypatch.setattr(openvino_session, "CACHED_BYTES", 0)
    assert Classifier.load(bundle, engine="openvino", threads=1).predict(["a"])
    assert not list(cached.glob("*"))
    (bundle / "onnx" / "model.onnx").write_bytes(b"no graph")
    seal(bundle)
    with pytest.raises(DataError, match="expected a graph that OpenVINO can load"):
        Classifier.load(bundle, engine="openvino")


@needs_openvino
@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_computes_with_onnxruntime(cached: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from tagsmith import Classifier

classifier = Classifier.load(Path(sys.argv[1]).parents[1], threads=2, engine="openvino")
texts = ["a cat " * (i % 40 + 1) for i in range(60)]
expected = classifier.predict_proba(texts)
child = os.fork()
if not child:
    apart = abs(classifier.predict_proba(texts) - expected).max()
    name = classifier.engine.name
    del classifier
    os._exit(3 if apart < 1e-5 and name == "onnxruntime" else 4)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
"""
    run_alone(code)


def test_golden_answers_have_a_tolerance_of_their_own_in_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    assert golden.TOLERANCE[False] < golden.BF16_TOLERANCE
    seen: list[float | None] = []
    monkeypatch.setattr(golden, "check", lambda *_, tolerance, **__: seen.append(tolerance))
    (bundle / "golden.jsonl").write_text("{}\n")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["golden.jsonl"] = {"sha256": "", "bytes": 0}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    seal(bundle)
    Classifier.load(bundle, threads=1)
    bf16 = Engine(OPENVINO, BF16)
    monkeypatch.setattr("tagsmith.classify.classifier.choose", lambda *_: bf16)
    monkeypatch.setattr("tagsmith.classify.session.Graph._open", _in_onnxruntime)
    Classifier.load(bundle, threads=1)
    assert seen == [None, golden.BF16_TOLERANCE]


def _in_onnxruntime(graph: Any) -> Any:
    from tagsmith.classify.onnxruntime_session import OnnxruntimeSession

    return OnnxruntimeSession(graph._path, 1, graph._providers)


@needs_openvino
def test_certificates_of_openvino(tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    classifier = Classifier.load(bundle, threads=1, engine="onnxruntime")
    given = texts(40)
    scores, decisions = classifier.decide(given)
    model = Answers(scores, decisions)
    test = ParityTest(
        "test", given, decisions.predicted.astype(np.int8), classifier.schema, classifier.decision.rule, model
    )
    path = bundle / "golden.jsonl"
    golden.write(path, ["a cat", "a dog"], classifier.schema, classifier.decide)
    found, reason = certify_engine(bundle, test, Engine(OPENVINO))
    assert reason is None
    assert found is not None
    assert (found.documents, found.labels_differ, found.macro_f1_lost, found.same) == (40, 0, 0.0, True)
    apart = replace(test, model=Answers(scores + np.float32(0.01), decisions))
    found, reason = certify_engine(bundle, apart, Engine(OPENVINO))
    assert found is None
    assert reason == "parity over 40 test documents: largest score difference 1.0e-02, no label differs"
    found, _ = certify_engine(bundle, apart, Engine(OPENVINO, BF16))  # Allowed, with the difference in the certificate.
    assert found is not None
    assert found.largest_score_difference == pytest.approx(0.01, abs=1e-4)

    def otherwise(given: list[str], batch_tokens: int) -> tuple[golden.Floats, Decisions]:
        found, decisions = classifier.decide(given, batch_tokens)
        return found * np.float32(0.9), decisions

    golden.write(path, ["a cat", "a dog"], classifier.schema, otherwise)
    found, reason = certify_engine(bundle, test, Engine(OPENVINO, BF16))
    assert found is None
    assert reason is not None
    assert "differ from those at export" in reason  # Otherwise the bundle could not be loaded with it.
    for flags, asked, expected in (
        (AVX2, None, []),
        (AVX2, True, [FP32]),
        (AVX512, None, [FP32]),
        (AVX512, False, []),
        (AMX, None, [FP32, BF16]),
    ):
        on(monkeypatch, flags)
        monkeypatch.setattr(certify_engines, "installed", lambda _: "2026.4.1")
        assert [one.precision for one in engines_to_certify(asked)] == expected
    monkeypatch.setattr(certify_engines, "installed", lambda _: None)
    assert engines_to_certify(None) == []
    with pytest.raises(SettingsError, match=r"export.openvino=true: OpenVINO is not installed"):
        engines_to_certify(True)


def test_calls_in_bf16_are_larger_but_occupy_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagsmith.classify.session.Graph._open", _in_onnxruntime)
    path = Path(__file__).parents[1] / "fixtures" / "format_1" / "single" / "onnx" / "model.onnx"
    fp32, bf16 = (Graph(path, 2, [CPU], Engine(OPENVINO, precision)) for precision in (FP32, BF16))
    assert [fp32.tokens_per_call(tokens) for tokens in (10, 900, 10_000)] == [64, 64, 64]
    assert [bf16.tokens_per_call(tokens) for tokens in (10, 900, 10_000)] == [64, 450, 1024]
    alone = Graph(path, 1, [CPU], Engine(OPENVINO, BF16))
    assert alone.tokens_per_call(10) == 1024
