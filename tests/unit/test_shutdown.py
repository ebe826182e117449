"""Shutdown of the service: requests that are not answered in time, and a second signal."""

import asyncio
import json
import logging
import signal
from typing import Any

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from tagsmith.serve.gate import Gate, Keys
from tagsmith.serve.prometheus_metrics import Metrics
from tagsmith.serve.service import _Server


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/predict", {"error": "The service is shutting down; try again.", "error_type": "Unhealthy"}),
        (
            "/language/analyze-text/jobs",
            {"error": {"code": "ServiceUnavailable", "message": "The service is shutting down; try again."}},
        ),
    ],
)
def test_requests_not_answered_in_time_get_503(
    path: str, content: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async def receive() -> Message:
        raise AssertionError("the app must not read")

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"host", b"localhost")]}
        response = asyncio.create_task(Gate(app, Keys([]), Metrics())(scope, receive, send))
        await asyncio.sleep(0.05)
        response.cancel()  # As uvicorn does when the time is over.
        await response

    with caplog.at_level(logging.INFO, "tagsmith.serve"):
        asyncio.run(run())
    start, body = sent
    assert start["status"] == 503
    assert dict(start["headers"])[b"retry-after"] == b"1"
    assert json.loads(body["body"]) == content
    (record,) = [one for one in caplog.records if one.message == "request"]
    assert vars(record)["status"] == 503


def test_only_a_second_sigint_skips_waiting() -> None:
    server = _Server(uvicorn.Config(lambda: None))
    server.stop(signal.SIGTERM)
    assert server.should_exit
    server.stop(signal.SIGTERM)
    assert not server.force_exit
    server.stop(signal.SIGINT)
    assert server.force_exit
