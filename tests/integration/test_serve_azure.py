"""Azure's runtime API, with Azure's client, which changes only its endpoint."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.textanalytics import TextAnalyticsClient
from azure.ai.textanalytics.aio import TextAnalyticsClient as AsyncClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

from tests.bundles import make_bundle
from tests.serving import KEY, Served, serving

JOBS = "/language/analyze-text/jobs"
SINGLE, MULTI = "CustomSingleLabelClassification", "CustomMultiLabelClassification"
TEXTS = ["the cat and the dog", "soup with rice", "a hammer near the saw"]
CLASSES = ["animals", "food", "tools"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "production": make_bundle(folder / "single"),
        "tags": make_bundle(folder / "tags", multi_label=True, max_tokens=12),
    }


@pytest.fixture(scope="module")
def served(bundles: dict[str, Path]) -> Iterator[Served]:
    with serving(bundles, max_documents=40, max_characters=500) as running:
        yield running


@pytest.fixture(params=["2022-05-01", "2023-04-01"])
def client(served: Served, request: pytest.FixtureRequest) -> TextAnalyticsClient:
    return TextAnalyticsClient(served.url, AzureKeyCredential(KEY), api_version=request.param)


def body(texts: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    documents = [{"id": str(i), "text": text, "language": "en"} for i, text in enumerate(texts or TEXTS)]
    parameters = {"projectName": "news", "deploymentName": "production"}
    task = {"kind": SINGLE, "taskName": "0", "parameters": parameters}
    return {"displayName": "mine", "analysisInput": {"documents": documents}, "tasks": [task], **changes}


def submit(served: Served, content: dict[str, Any], **headers: str) -> str:
    answer = served.post(f"{JOBS}?api-version=2023-04-01", json=content, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.content == b""
    assert "location" not in answer.headers  # The client would fetch it as the result.
    return answer.headers["operation-location"]


def done(served: Served, url: str, query: str = "") -> dict[str, Any]:
    for _ in range(500):
        answer = served.http.get(url + query, timeout=30)
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        if state["status"] not in ("notStarted", "running", "cancelling"):
            assert "retry-after" not in answer.headers
            return state
        assert answer.headers["retry-after"] == "1"
        time.sleep(0.01)
    raise AssertionError("not done")


def test_single_label(client: TextAnalyticsClient) -> None:
    poller = client.begin_single_label_classify(TEXTS, "news", "production", display_name="mine", show_stats=True)
    found = list(poller.result())
    assert [one.classifications[0].category for one in found] == CLASSES
    # Two votes of 2 for one class of three: e^4 / (e^4 + 2).
    assert found[0].classifications[0].confidence_score == pytest.approx(0.964663, abs=1e-6)
    assert [one.id for one in found] == ["0", "1", "2"]
    assert all(one.warnings == [] and not one.is_error for one in found)
    assert (found[0].statistics.character_count, found[0].statistics.transaction_count) == (19, 1)
    assert poller.display_name == "mine"
    assert 23 * 3600 < (poller.expires_on - poller.created_on).total_seconds() <= 24 * 3600


def test_multi_label_with_warnings_and_errors_of_documents(client: TextAnalyticsClient) -> None:
    documents = [
        {"id": "b", "text": "the cat likes cheese"},
        {"id": "a", "text": ""},
        {"id": "none", "text": "the and of"},
        {"id": "long", "text": "cat " * 40},
        {"id": "much too long", "text": "a" * 501},
    ]
    found = {one.id: one for one in client.begin_multi_label_classify(documents, "news", "tags").result()}
    assert list(found) == ["b", "a", "none", "long", "much too long"]
    assert [one.category for one in found["b"].classifications] == ["animals", "food"]
    assert found["none"].classifications == []
    assert [warning.code for warning in found["long"].warnings] == ["DocumentTruncated"]
    assert found["a"].error.code == "InvalidDocument"
    assert found["a"].error.message == "Document text is empty."
    assert "at most 500 characters" in found["much too long"].error.message


@pytest.mark.slow
def test_several_actions_and_continuation_tokens(client: TextAnalyticsClient) -> None:
    from azure.ai.textanalytics import MultiLabelClassifyAction, SingleLabelClassifyAction

    actions = [SingleLabelClassifyAction("news", "production"), MultiLabelClassifyAction("news", "tags")]
    poller = client.begin_analyze_actions(TEXTS, actions)
    token = poller.continuation_token()
    for one in (poller, client.begin_analyze_actions(None, None, continuation_token=token)):
        found = [list(results) for results in one.result()]
        assert [[result.kind for result in results] for results in found] == [["CustomDocumentClassification"] * 2] * 3
        assert [results[0].classifications[0].category for results in found] == CLASSES
        assert (one.actions_succeeded_count, one.actions_failed_count, one.total_actions_count) == (2, 0, 2)
    token = client.begin_single_label_classify(TEXTS, "news", "production").continuation_token()
    again = client.begin_single_label_classify(None, None, None, continuation_token=token)  # type: ignore[arg-type]
    assert [one.classifications[0].category for one in again.result()] == CLASSES


@pytest.mark.slow
def test_the_asynchronous_client(served: Served) -> None:
    async def run() -> None:
        async with AsyncClient(served.url, AzureKeyCredential(KEY)) as client:
            poller = await client.begin_single_label_classify(TEXTS, "news", "production", show_stats=True)
            token = poller.continuation_token()
            found = [one async for one in await poller.result()]
            assert [one.classifications[0].category for one in found] == CLASSES
            again = await client.begin_single_label_classify(None, None, None, continuation_token=token)  # type: ignore[arg-type]
            assert [one.id async for one in await again.result()] == ["0", "1", "2"]
            tags = await client.begin_multi_label_classify(["cat with cheese"], "news", "tags")
            assert [[c.category for c in one.classifications] async for one in await tags.result()] == [
                ["animals", "food"]
            ]
            with pytest.raises(ResourceNotFoundError):
                await client.begin_single_label_classify(TEXTS, "news", "nowhere")

    asyncio.run(run())


def test_errors_of_the_client(served: Served, client: TextAnalyticsClient) -> None:
    stranger = TextAnalyticsClient(served.url, AzureKeyCredential("wrong"))
    with pytest.raises(ClientAuthenticationError, match="no valid key"):
        stranger.begin_single_label_classify(TEXTS, "news", "production")
    for project, deployment, message in (
        ("news", "nowhere", "Unknown deployment; expected one of production, tags."),
        ("other", "production", "Unknown project; expected news."),
    ):
        with pytest.raises(ResourceNotFoundError, match=message):
            client.begin_single_label_classify(TEXTS, project, deployment)
    with pytest.raises(HttpResponseError, match="is of the kind CustomMultiLabelClassification"):
        client.begin_single_label_classify(TEXTS, "news", "tags")
    with pytest.raises(HttpResponseError, match="at most 40 documents"):
        client.begin_single_label_classify(["a"] * 41, "news", "production")
    with pytest.raises(HttpResponseError, match="more than one document"):
        client.begin_single_label_classify([{"id": "1", "text": "a"}] * 2, "news", "production")


def test_cancelling(bundles: dict[str, Path]) -> None:
    with serving(bundles) as running:
        batcher = running.service.deployments.by_name["production"].model.batcher
        calls, batcher._calls = batcher._calls, lambda texts: time.sleep(0.05) or calls(texts)  # type: ignore[func-returns-value]
        client = TextAnalyticsClient(running.url, AzureKeyCredential(KEY))
        poller = client.begin_single_label_classify(["the cat"] * 1000, "news", "production", polling_interval=1)
        poller.cancel()  # Raises unless the status is 202.
        url = f"{running.url}{JOBS}/{poller.id}?api-version=2023-04-01"
        state = done(running, url)
        assert (state["status"], state["errors"]) == ("cancelled", [])
        (item,) = state["tasks"]["items"]
        assert (item["status"], item["results"]["documents"], item["results"]["errors"]) == ("cancelled", [], [])
        with pytest.raises(HttpResponseError, match="cannot be cancelled: its status is cancelled"):
            poller.cancel()
        missing = running.post(f"{JOBS}/none:cancel?api-version=2023-04-01")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "NotFound")


def test_the_state_of_a_job(served: Served) -> None:
    url = submit(served, body([*TEXTS, " "]))
    assert url.startswith(f"{served.url}{JOBS}/")
    state = done(served, url, "&showStats=True")
    assert set(state) == {
        "jobId", "displayName", "createdDateTime", "lastUpdatedDateTime", "expirationDateTime", "status", "errors",
        "tasks",
    }  # fmt: skip
    assert url.split("/jobs/")[1] == f"{state['jobId']}?api-version=2023-04-01"
    assert {name: state["tasks"][name] for name in ("completed", "failed", "inProgress", "total")} == {
        "completed": 1, "failed": 0, "inProgress": 0, "total": 1,
    }  # fmt: skip
    (item,) = state["tasks"]["items"]
    assert (item["kind"], item["taskName"], item["status"]) == (f"{SINGLE}LROResults", "0", "succeeded")
    assert item["results"]["statistics"] == {
        "documentsCount": 4, "validDocumentsCount": 3, "erroneousDocumentsCount": 1, "transactionsCount": 3,
    }  # fmt: skip
    assert item["results"]["errors"] == [
        {
            "id": "3",
            "error": {
                "code": "InvalidArgument",
                "message": "Invalid document in request.",
                "innererror": {"code": "InvalidDocument", "message": "Document text is empty."},
            },
        }
    ]
    assert "statistics" not in str(done(served, url))


@pytest.mark.parametrize("dollar", ["", "$"])
def test_pages(served: Served, dollar: str) -> None:
    url = submit(served, body(["cat"] * 7))
    assert "nextLink" not in done(served, url)
    seen: list[str] = []
    state = done(served, url, f"&{dollar}top=3&showStats=true")
    for _ in range(3):
        results = state["tasks"]["items"][0]["results"]
        assert results["statistics"]["documentsCount"] == 7
        seen += [document["id"] for document in results["documents"]]
        state = done(served, state["nextLink"]) if "nextLink" in state else {}
        if not state:
            break
    assert seen == [str(i) for i in range(7)]
    for wrong in ("-1", "x", "²"):
        answer = served.http.get(url, params={f"{dollar}skip": wrong})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    ("content", "target"),
    [
        ({}, "#/analysisInput"),
        (body(tasks=[]), "#/tasks"),
        (body(tasks=[{"kind": "EntityRecognition", "parameters": {}}]), "#/tasks/0/kind"),
        (body(tasks=[{"kind": SINGLE}]), "#/tasks/0/parameters"),
        (body(analysisInput={"documents": []}), "#/analysisInput/documents"),
        (body(analysisInput={"documents": [{"text": "a"}]}), "#/analysisInput/documents/0/id"),
        (body(analysisInput={"documents": [{"id": "", "text": "a"}]}), "#/analysisInput/documents/0/id"),
        (body(analysisInput={"documents": [{"id": "1", "text": 5}]}), "#/analysisInput/documents/0/text"),
        (body(analysisInput={"documents": [{"id": "1", "text": "a"}] * 2}), "#/analysisInput/documents"),
    ],
)
def test_an_invalid_request_is_located(served: Served, content: dict[str, Any], target: str) -> None:
    answer = served.post(f"{JOBS}?api-version=2023-04-01", json=content)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["target"]) == (400, "InvalidRequest", target)


def test_every_status_has_the_envelope(served: Served) -> None:
    found = [
        (served.get(f"{JOBS}/none?api-version=2023-04-01"), 404),
        (served.get("/language/other"), 404),
        (served.get(JOBS), 405),
        (served.post(f"{JOBS}?api-version=2021-01-01", json=body()), 400),
        (served.post(JOBS, json=body()), 400),
        (served.post(f"{JOBS}?api-version=2023-04-01", data=b"no JSON"), 400),
        (served.post(f"{JOBS}?api-version=2023-04-01", data=b"x", headers={"Content-Encoding": "gzip"}), 415),
        (served.post(f"{JOBS}?api-version=2023-04-01", data=b" " * (9 << 20)), 413),
        (served.post(JOBS, headers={"Ocp-Apim-Subscription-Key": "wrong"}), 401),
    ]
    for answer, status in found:
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert isinstance(answer.json()["error"]["code"], str)
        assert answer.json()["error"]["message"]


def test_a_retry_of_the_client_does_not_create_a_second_job(served: Served) -> None:
    first, second, other = (
        submit(served, body(), **{"x-ms-client-request-id": name}) for name in ("one", "one", "another")
    )
    assert first == second != other


@pytest.mark.slow
def test_too_many_jobs_and_expired_ones(bundles: dict[str, Path]) -> None:
    with serving(bundles, max_jobs=1, job_hours=0.0002, public_url="https://api.example/tagsmith/") as running:
        batcher = running.service.deployments.by_name["production"].model.batcher
        calls, batcher._calls = batcher._calls, lambda texts: time.sleep(0.3) or calls(texts)  # type: ignore[func-returns-value]
        public = submit(running, body())
        assert public.startswith(f"https://api.example/tagsmith{JOBS}/")
        full = running.post(f"{JOBS}?api-version=2023-04-01", json=body())
        assert (full.status_code, full.headers["retry-after"]) == (429, "5")
        url = public.replace("https://api.example/tagsmith", running.url)
        assert done(running, url)["status"] == "succeeded"
        time.sleep(0.8)  # 0.72 s is its life.
        assert running.http.get(url).status_code == 404
        submit(running, body())


@pytest.mark.slow
def test_jobs_survive_a_restart_and_tasks_fail_separately(bundles: dict[str, Path], tmp_path: Path) -> None:
    """Jobs from before a restart run after it; a deployment that no longer exists fails its task, not the job."""
    several = [
        {"kind": SINGLE, "taskName": "a", "parameters": {"projectName": "news", "deploymentName": "production"}},
        {"kind": MULTI, "taskName": "b", "parameters": {"projectName": "news", "deploymentName": "gone"}},
    ]
    other = [{"kind": MULTI, "taskName": "c", "parameters": {"projectName": "news", "deploymentName": "tags"}}]
    file = str(tmp_path / "jobs.sqlite")
    with serving({**bundles, "gone": bundles["tags"]}, jobs=file) as running:
        before = done(running, finished := submit(running, body()))
        for name in ("production", "tags"):
            batcher = running.service.deployments.by_name[name].model.batcher
            batcher._calls = lambda texts, calls=batcher._calls: time.sleep(0.5) or calls(texts)  # type: ignore[misc]
        waiting, failing = submit(running, body(tasks=several)), submit(running, body(tasks=other))
        lost = running.url
    with serving({"production": bundles["production"], "tags": bundles["production"]}, jobs=file) as running:
        state = done(running, waiting.replace(lost, running.url))
        assert state["status"] == "partiallyCompleted"
        (error,) = state["errors"]
        assert (error["code"], error["target"]) == ("NotFound", "#/tasks/items/1")
        good, bad = state["tasks"]["items"]
        assert [document["class"][0]["category"] for document in good["results"]["documents"]] == CLASSES
        assert (bad["status"], "results" in bad) == ("failed", False)
        failed = done(running, failing.replace(lost, running.url))
        assert (failed["status"], failed["errors"][0]["code"]) == ("failed", "InvalidArgument")
        assert failed["errors"][0]["target"] == "#/tasks/items/0"
        assert done(running, finished.replace(lost, running.url)) == before
