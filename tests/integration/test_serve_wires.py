"""text-embeddings-inference and the Open Inference Protocol, with clients that know nothing of this service."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from azure.ai.textanalytics import TextAnalyticsClient
from azure.core.credentials import AzureKeyCredential
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from tagsmith.classify.classifier import Classifier
from tests.bundles import make_bundle
from tests.serving import KEY, Served, serving

TEXTS = ["the cat and the dog", "soup with rice", "a hammer near the saw", "the cat likes cheese"]


def key() -> dict[str, str]:
    """A new dict for every call, since tritonclient adds its own headers to it."""
    return {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def served(bundles: dict[str, Path]) -> Iterator[Served]:
    with serving(bundles) as running:
        yield running


@pytest.fixture
def triton(served: Served) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(f"127.0.0.1:{served.port}")
    yield client
    client.close()


def test_predict_matches_text_embeddings_inference(served: Served, bundles: dict[str, Path]) -> None:
    classifier = Classifier.load(bundles["production"])
    scores, logits = classifier.predict_proba(TEXTS), classifier.logits(TEXTS)
    alone = served.post("/predict", json={"inputs": TEXTS[0]}).json()
    assert [list(entry) for entry in alone] == [["label", "score"]] * 3
    assert [entry["score"] for entry in alone] == sorted((entry["score"] for entry in alone), reverse=True)
    batch = served.post("/predict", json={"inputs": [[text] for text in TEXTS]}).json()
    assert batch[0] == alone == served.post("/predict", json={"inputs": [TEXTS[0]]}).json()
    for kind, expected in ((False, scores), (True, logits)):
        found = served.post("/", json={"inputs": [[text] for text in TEXTS], "raw_scores": kind}).json()
        rows = [{entry["label"]: entry["score"] for entry in row} for row in found]
        assert np.allclose([[row[name] for name in classifier.classes] for row in rows], expected, atol=1e-5)
    other = served.post("/predict?deployment=staging", json={"inputs": TEXTS[0]}).json()
    assert served.post("/predict", json={"inputs": TEXTS[0], "deployment": "staging"}).json() == other
    assert other[0]["score"] > alone[0]["score"]


def test_truncate(served: Served) -> None:
    long = {"inputs": "cat " * 20}
    assert served.post("/predict", json=long).status_code == 200
    assert served.post("/predict", json={**long, "truncate": True}).status_code == 200
    refused = served.post("/predict", json={**long, "truncate": False})
    assert (refused.status_code, refused.json()["error_type"]) == (413, "Validation")
    assert "12 tokens" not in refused.json()["error"]
    assert "10 of 22 tokens would not be read" in refused.json()["error"]
    assert served.post("/predict", json={"inputs": "cat", "truncate": False}).status_code == 200


def test_info(served: Served) -> None:
    info = served.get("/info").json()
    assert (info["model_id"], info["max_input_length"], info["auto_truncate"]) == ("news/production", 12, True)
    assert info["model_type"]["classifier"]["id2label"] == {"0": "animals", "1": "food", "2": "tools"}
    assert info["model_type"]["classifier"]["label2id"] == {"animals": 0, "food": 1, "tools": 2}
    assert served.get("/info?deployment=tags").json()["model_id"] == "news/tags"


@pytest.mark.parametrize("place", ["", "/predict", "/predict?deployment=tags"])
def test_the_client_of_the_hub(served: Served, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # It only connects to this machine.
    client = InferenceClient(model=served.url + place, token=KEY)
    found = client.text_classification(TEXTS[0])
    assert found[0].label == "animals"
    assert len(found) == 3
    assert len(client.text_classification(TEXTS[0], top_k=1)) == 1
    raw = client.text_classification(TEXTS[0], function_to_apply="none")
    assert raw[0].score == pytest.approx(3.0 if "tags" in place else 4.0)
    # The function that the bundle does not use: sigmoid of 4, softmax of (3, -1, -1).
    function = "softmax" if "tags" in place else "sigmoid"
    other = client.text_classification(TEXTS[0], function_to_apply=function)
    assert other[0].score == pytest.approx(0.964663 if "tags" in place else 0.982014, abs=1e-5)
    with pytest.raises(HfHubHTTPError):
        client.text_classification("")
    with pytest.raises(HfHubHTTPError):
        InferenceClient(model=served.url, token="wrong").text_classification(TEXTS[0])


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("name", ["production", "tags"])
def test_the_client_of_triton(
    triton: InferenceServerClient, bundles: dict[str, Path], name: str, binary_in: bool, binary_out: bool | None
) -> None:
    classifier = Classifier.load(bundles[name])
    tensor = InferInput("text", [len(TEXTS)], "BYTES")
    tensor.set_data_from_numpy(np.array(TEXTS, dtype=object), binary_data=binary_in)
    names = ("label", "scores", "predicted", "to_person")
    wanted = None if binary_out is None else [InferRequestedOutput(n, binary_data=binary_out) for n in names]
    result = triton.infer(name, [tensor], outputs=wanted, request_id="mine", headers=key())
    scores = classifier.predict_proba(TEXTS)
    assert np.allclose(result.as_numpy("scores"), scores, atol=1e-6)
    assert result.as_numpy("scores").dtype == np.float32
    labels = [one.decode() if isinstance(one, bytes) else one for one in result.as_numpy("label")]
    predictions = classifier.predict(TEXTS)
    decided = [list(found.labels) if name == "tags" else found.label for found in predictions]
    assert [json.loads(label) for label in labels] == decided if name == "tags" else labels == decided
    predicted = [[classifier.classes[i] for i in np.flatnonzero(row)] for row in result.as_numpy("predicted")]
    assert [set(row) for row in predicted] == [set(found.labels) for found in predictions]
    assert result.as_numpy("to_person").tolist() == [False] * len(TEXTS)
    assert result.get_response()["id"] == "mine"


def test_health_and_metadata_of_v2(triton: InferenceServerClient, served: Served) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.get_server_metadata(headers=key())["name"] == "tagsmith"
    about = triton.get_model_metadata("production", headers=key())
    assert about["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert {"name": "scores", "datatype": "FP32", "shape": [-1, 3]} in about["outputs"]
    assert about["parameters"]["classes"] == ["animals", "food", "tools"]
    (version,) = about["versions"]
    assert triton.is_model_ready("production", version, headers=key())
    assert triton.get_model_metadata("production", version, headers=key()) == about
    assert not triton.is_model_ready("production", "1", headers=key())
    assert not triton.is_model_ready("nowhere", headers=key())
    tensor = InferInput("text", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([["cat"]], dtype=object))
    assert triton.infer("production", [tensor], model_version=version, headers=key()).as_numpy("scores").shape == (
        1,
        3,
    )
    with pytest.raises(InferenceServerException, match="Unknown model"):
        triton.infer("nowhere", [tensor], headers=key())
    with pytest.raises(InferenceServerException, match="no valid key"):
        triton.infer("production", [tensor])
    with pytest.raises(InferenceServerException, match="not supported"):
        triton.infer("production", [tensor], outputs=[InferRequestedOutput("scores", class_count=2)], headers=key())
    empty = InferInput("text", [0], "BYTES")
    empty.set_data_from_numpy(np.array([], dtype=object))
    with pytest.raises(InferenceServerException):
        triton.infer("production", [empty], headers=key())


@pytest.mark.slow
def test_abstentions_on_every_wire(tmp_path: Path) -> None:
    bundles = {
        "careful": make_bundle(tmp_path / "careful", abstain_below=0.999),
        "sure": make_bundle(tmp_path / "sure"),
    }
    assert all(found.to_person for found in Classifier.load(bundles["careful"]).predict(TEXTS))
    with serving(bundles) as running:
        client = InferenceServerClient(f"127.0.0.1:{running.port}")
        for name, left in (("careful", True), ("sure", False)):
            tensor = InferInput("text", [len(TEXTS)], "BYTES")
            tensor.set_data_from_numpy(np.array(TEXTS, dtype=object))
            result = client.infer(name, [tensor], headers=key())
            assert result.as_numpy("to_person").tolist() == [left] * len(TEXTS)
            # Azure's wire has a class as well, with a warning, as for truncated documents.
            azure = TextAnalyticsClient(running.url, AzureKeyCredential(KEY), api_version="2023-04-01")
            answers = list(azure.begin_single_label_classify(TEXTS, "news", name).result())
            assert [[one.code for one in answer.warnings] for answer in answers] == [["LeftToPerson"] * left] * len(
                TEXTS
            )
            assert all(answer.classifications for answer in answers)
        client.close()
        counted = running.get("/metrics").text
        assert f'tagsmith_to_person_total{{deployment="careful"}} {2.0 * len(TEXTS)}' in counted
        assert f'tagsmith_to_person_total{{deployment="sure"}} {2.0 * len(TEXTS)}' not in counted
