"""Azure's authoring interface, and the runtime interface in front of a service, as the published reference has them.

Faults are given by the number of the request, from 1: an HTTP status with headers and a body, or None, which cuts the
connection after the request was read.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import requests

from tests.serving import KEY

PROJECTS = "/language/authoring/analyze-text/projects/"
Fault = tuple[int, dict[str, str], Any] | None


class FakeAzure:
    """A project with one trained model.

    Attributes:
        export: the project as JSON.
        results: of the evaluation of the model, one a document.
        runtime: address of a service that answers for the deployment; None: it echoes the first class.
        faults: by number of the request.
        seen: method and path of each request.
        states: of the export job, one a poll; the last one for ever.
        page: items of a page of a list.
    """

    def __init__(self, export: dict[str, Any], results: list[dict[str, Any]], runtime: str | None = None):
        self.export, self.results, self.runtime = export, results, runtime
        self.faults: dict[int, Fault] = {}
        self.seen: list[str] = []
        self.states: list[dict[str, Any]] = [{"status": "notStarted"}, {"status": "running"}, {"status": "succeeded"}]
        self.page = 2
        self.blobs: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.deployments = [{"deploymentName": "production", "modelId": "m1-id", "lastDeployedDateTime": "2026-01-02"}]
        self.key = KEY
        self.url = ""
        self.http = requests.Session()

    def answer(self, method: str, url: str, headers: Any, body: bytes) -> Fault:
        """What a request is answered with."""
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.seen.append(f"{method} {parts.path}")
        number = len(self.seen)
        if number in self.faults:
            return self.faults[number]
        if parts.path.startswith("/container/"):
            found = self.blobs.get(unquote(parts.path.removeprefix("/container/")))
            allowed = query.get("sig") == "secret"
            return (200, {}, found) if found is not None and allowed else (404 if allowed else 403, {}, b"")
        if headers.get("Ocp-Apim-Subscription-Key") != self.key:
            return error(401, "401", "Access denied due to invalid subscription key or wrong API endpoint.")
        if parts.path.startswith(PROJECTS):
            version = query.get("api-version")
            assert version in ("2023-04-01", "2025-05-15-preview")
            return self.authoring(method, unquote(parts.path.removeprefix(PROJECTS)), query)
        if self.runtime is not None:
            own = {"Ocp-Apim-Subscription-Key": KEY}
            response = self.http.request(method, f"{self.runtime}{url}", data=body, headers=own, timeout=30)
            passed = ("Operation-Location", "Retry-After")
            kept = {name: response.headers[name] for name in passed if name in response.headers}
            return response.status_code, kept, response.content
        return self.predict(method, parts.path, body)

    def authoring(self, method: str, place: str, query: dict[str, str]) -> Fault:
        project, _, rest = place.partition("/")
        if project != self.export["metadata"]["projectName"]:
            return error(404, "NotFound", "Project not found.")
        link = f"{self.url}{PROJECTS}{project}/export/jobs/7"
        if method == "POST" and rest == ":export":
            assert query["stringIndexType"] == "Utf16CodeUnit"
            return 202, {"operation-location": f"{link}?api-version={query['api-version']}"}, b""
        if rest == "export/jobs/7":
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            result = {"resultUrl": f"{link}/result?api-version={query['api-version']}"}
            return 200, {"Retry-After": "3"}, {"jobId": "7", "errors": [], **state, **result}
        if rest == "export/jobs/7/result":
            return 200, {}, self.export
        if rest == "":
            return 200, {}, {"projectName": project, "projectKind": self.export["metadata"]["projectKind"]}
        model = {"label": "m 1", "modelId": "m1-id", "lastTrainedDateTime": "2026-01-01T00:00:00Z", "hasSnapshot": True}
        old = {"label": "m0", "modelId": "m0-id", "lastTrainedDateTime": "2025-01-01T00:00:00Z", "hasSnapshot": False}
        lists: dict[str, list[dict[str, Any]]] = {
            "models": [old, model],
            "deployments": self.deployments,
            "models/m 1/evaluation/result": self.results,
        }
        if rest in lists:
            skip = int(query.get("skip", "0"))
            items, following = lists[rest][skip : skip + self.page], skip + self.page
            again = f"https://another.host{PROJECTS}{project}/{rest}".replace(" ", "%20")
            more = f"{again}?api-version={query['api-version']}&skip={following}"
            return 200, {}, {"value": items, "nextLink": more if following < len(lists[rest]) else None}
        if rest == "models/m 1/evaluation/summary-result":
            return 200, {}, {"projectKind": "x", "evaluationOptions": {"kind": "percentage"}}
        return error(404, "ModelNotFound", "The evaluation does not exist.")

    def predict(self, method: str, path: str, body: bytes) -> Fault:
        if method == "POST":
            number = str(len(self.jobs) + 1)
            self.jobs[number] = json.loads(body)
            return 202, {"Operation-Location": f"{self.url}/language/analyze-text/jobs/{number}"}, b""
        asked = self.jobs.get(path.rpartition("/")[2])
        if asked is None:
            return error(404, "NotFound", "Job not found.")
        chosen = [{"category": self.export["assets"]["classes"][0]["category"], "confidenceScore": 0.75}]
        documents = [{"id": one["id"], "class": chosen, "warnings": []} for one in asked["analysisInput"]["documents"]]
        item = {"kind": "x", "status": "succeeded", "results": {"documents": documents, "errors": []}}
        return 200, {}, {"status": "succeeded", "errors": [], "tasks": {"items": [item]}}


def error(status: int, code: str, message: str) -> Fault:
    return status, {}, {"error": {"code": code, "message": message}}


@contextlib.contextmanager
def azure(fake: FakeAzure) -> Iterator[FakeAzure]:
    """Serve it on a free port while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = fake.answer(self.command, self.path, self.headers, body)
            self.close_connection = True
            if found is None:
                return
            status, headers, content = found
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(raw)), "Connection": "close", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = handle_one

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
