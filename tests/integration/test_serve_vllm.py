"""The wire of vLLM and SGLang, and HEAD for load balancers."""

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tagsmith.classify.classifier import Classifier
from tests.serving import KEY, Served, serving

TEXTS = ["the cat and the dog", "soup with rice", "a hammer near the saw"]


@pytest.fixture(scope="module")
def served(bundles: dict[str, Path]) -> Iterator[Served]:
    with serving(bundles, max_documents=40) as running:
        yield running


@pytest.mark.parametrize("place", ["/classify", "/v1/classify"])
@pytest.mark.parametrize("name", ["production", "staging", "tags"])
def test_a_batch_has_the_shape_of_vllm(served: Served, bundles: dict[str, Path], place: str, name: str) -> None:
    classifier = Classifier.load(bundles[name])
    scores = classifier.predict_proba(TEXTS)
    answer = served.post(place, json={"model": name, "input": TEXTS}).json()
    assert list(answer) == ["id", "object", "created", "model", "data", "usage"]
    assert answer["id"].startswith("classify-")
    assert (answer["object"], answer["model"]) == ("list", name)
    assert [list(entry) for entry in answer["data"]] == [["index", "label", "probs", "num_classes"]] * 3
    assert [entry["index"] for entry in answer["data"]] == [0, 1, 2]
    assert [entry["label"] for entry in answer["data"]] == [classifier.classes[i] for i in scores.argmax(axis=1)]
    assert np.allclose([entry["probs"] for entry in answer["data"]], scores, atol=1e-5)
    assert {entry["num_classes"] for entry in answer["data"]} == {len(classifier.classes)}
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 9
    assert (answer["usage"]["completion_tokens"], answer["usage"]["prompt_tokens_details"]) == (0, None)


@pytest.mark.parametrize("name", ["use_activation", "activation", "softmax"])
def test_without_activation_the_logits_are_returned(served: Served, bundles: dict[str, Path], name: str) -> None:
    answer = served.post("/v1/classify", json={"input": TEXTS, name: False}).json()
    expected = Classifier.load(bundles["production"]).logits(TEXTS)
    assert np.allclose([entry["probs"] for entry in answer["data"]], expected, atol=1e-5)


def test_one_text_the_default_model_and_unknown_fields(served: Served) -> None:
    answer = served.post("/classify", json={"input": TEXTS[0], "user": "u", "truncate_prompt_tokens": -1}).json()
    assert answer["model"] == "production"
    assert len(answer["data"]) == 1


def test_the_own_form_of_classify_is_as_before(served: Served) -> None:
    answer = served.post("/classify", json={"texts": TEXTS}).json()
    assert list(answer) == ["project", "deployment", "version", "documents"]


def test_the_models_are_the_deployments(served: Served, bundles: dict[str, Path]) -> None:
    models = served.get("/v1/models").json()
    assert models["object"] == "list"
    assert [entry["id"] for entry in models["data"]] == list(bundles)
    one = served.get("/v1/models/production").json()
    assert one == models["data"][1]
    assert (one["object"], one["max_model_len"], one["root"]) == ("model", 12, "news/production")
    assert one["classes"] == Classifier.load(bundles["production"]).classes


@pytest.mark.parametrize(
    ("body", "status", "what"),
    [
        ({"input": []}, 400, "input"),
        ({"input": 5}, 400, "input"),
        ({"input": [1, 2]}, 400, "input"),
        ({"input": [[1], [2]]}, 400, "input"),
        ({"input": "a", "model": 5}, 400, "model"),
        ({"input": ""}, 422, "Document 0 is empty."),
        ({"input": ["a"] * 41}, 413, "at most 40 documents"),
        ({"input": "a", "model": "gpt"}, 404, "Unknown model; expected one of staging, production, tags."),
    ],
)
def test_errors_have_the_envelope_of_openai(served: Served, body: Any, status: int, what: str) -> None:
    answer = served.post("/v1/classify", json=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert what in error["message"]
    assert error["code"] == status
    other = served.post("/classify", json=body)
    assert (other.status_code, other.json()["error"]) == (status, error["message"])


def test_every_route_needs_a_key(served: Served) -> None:
    for place in ("/v1/models", "/v1/models/production", "/v1/no/such"):
        answer = requests.get(served.url + place, timeout=30)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, 401)
    assert requests.post(f"{served.url}/v1/classify", json={"input": "a"}, timeout=30).status_code == 401
    assert served.get("/v1/models/gpt").json()["error"]["param"] == "model"
    assert served.get("/v1/classify").json()["error"]["type"] == "MethodNotAllowed"


def test_the_client_of_openai(served: Served) -> None:
    openai = pytest.importorskip("openai", reason="a client of users, which no extra installs")
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["staging", "production", "tags"]
        assert client.models.retrieve("tags").owned_by == "tagsmith"
        with pytest.raises(openai.NotFoundError, match="Unknown model"):
            client.models.retrieve("gpt")
        answer = client.post("/classify", body={"model": "production", "input": TEXTS}, cast_to=object)
        assert len(answer["data"]) == 3
    with (
        openai.OpenAI(base_url=f"{served.url}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="no valid key"),
    ):
        client.models.list()


@pytest.mark.parametrize("place", ["/health", "/ping", "/", "/page.js", "/v2/health/ready", "/v1/models", "/no/such"])
def test_head_answers_as_get_without_a_body(served: Served, place: str) -> None:
    get = served.get(place)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    for _ in range(2):  # On one connection: a body would be read as the next response.
        connection.request("HEAD", place, headers={"Authorization": f"Bearer {KEY}"})
        head = connection.getresponse()
        assert (head.status, head.read()) == (get.status_code, b"")
        assert head.getheader("content-length") == get.headers["content-length"]
        assert head.getheader("content-type") == get.headers.get("content-type")
    connection.close()


def test_head_is_guarded_as_get(served: Served, bundles: dict[str, Path]) -> None:
    assert requests.head(f"{served.url}/health", timeout=30).status_code == 200
    assert requests.head(f"{served.url}/info", timeout=30).status_code == 401
    assert served.http.head(f"{served.url}/predict", timeout=30).status_code == 405
    with serving({"production": bundles["production"]}, keys=()) as running:
        assert requests.head(f"{running.url}/health", headers={"Host": "evil.example"}, timeout=30).status_code == 403
