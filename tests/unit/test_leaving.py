"""A service that leaves: who is not answered in time, and who asks twice."""

import asyncio
import json
import logging
import signal
from typing import Any

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from tagsmith.serve.gate import Gate, Keys
from tagsmith.serve.prometheus_metrics import Figures
from tagsmith.serve.service import _Server


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/predict", {"error": "The service is leaving; try again.", "error_type": "Unhealthy"}),
        (
            "/language/analyze-text/jobs",
            {"error": {"code": "ServiceUnavailable", "message": "The service is leaving; try again."}},
        ),
    ],
)
def test_who_is_not_answered_in_time_is_told_so(
    path: str, told: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"host", b"localhost")]}
        answering = asyncio.create_task(Gate(app, Keys([]), Figures())(scope, receive, send))
        await asyncio.sleep(0.05)
        answering.cancel()  # As uvicorn does when the time is over.
        await answering

    with caplog.at_level(logging.INFO, "tagsmith.serve"):
        asyncio.run(run())
    start, body = sent
    assert start["status"] == 503
    assert dict(start["headers"])[b"retry-after"] == b"1"
    assert json.loads(body["body"]) == told
    (record,) = [one for one in caplog.records if one.message == "request"]
    assert vars(record)["status"] == 503


def test_only_a_person_who_asks_twice_does_not_wait() -> None:
    server = _Server(uvicorn.Config(lambda: None))
    server.leave(signal.SIGTERM)
    assert server.should_exit
    server.leave(signal.SIGTERM)
    assert not server.force_exit
    server.leave(signal.SIGINT)
    assert server.force_exit
