"""Whoever is told gets the outcome and no text of a document; what fails changes nothing."""

import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import RefreshRun
from tagsmith.config.settings.refresh import NotifySettings
from tagsmith.refresh import notify as module
from tagsmith.refresh.notify import notify, without_texts

README = Path(__file__).parents[2] / "src" / "tagsmith" / "refresh" / "README.md"
RECORD: dict[str, Any] = {
    "format": 1,
    "status": 65,
    "outcome": "refused",
    "sentence": "2 checks failed:\n  - 'my secret text' is tagged twice",
    "checks": [{"name": "copies", "value": 0.7, "examples": ["my secret text"], "text": "my secret text"}],
}


def told(record: dict[str, Any] = RECORD, **settings: object) -> list[dict[str, Any]]:
    run = RefreshRun(store="store")
    run.notify = NotifySettings(**settings)  # type: ignore[arg-type]
    return notify(run, record)


class Receiver:
    """A server that answers with one status after the other, and keeps what it was sent."""

    def __init__(self, *statuses: int):
        self.statuses, self.received = list(statuses), []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((dict(self.headers), body))
                self.send_response(receiver.statuses.pop(0))
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.received: list[tuple[dict[str, str], bytes]]
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=secret"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without waiting."""
    monkeypatch.setattr(module, "RETRIES", module.RETRIES.new(backoff_factor=0))


def receiving(*statuses: int) -> Iterator[Receiver]:
    receiver = Receiver(*statuses)
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join()


def test_the_command_gets_the_record_without_texts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tagsmith")
    (found,) = told(command=f"cat > {tmp_path}/told.json; echo sent to the team")
    assert (found["to"], found["ok"]) == ("command", True)
    assert json.loads((tmp_path / "told.json").read_text()) == {
        "format": 1,
        "status": 65,
        "outcome": "refused",
        "sentence": "2 checks failed:",
        "checks": [{"name": "copies", "value": 0.7}],
    }
    assert "sent to the team" in caplog.text


@pytest.mark.parametrize(
    ("status", "sentence", "expected"),
    [
        (0, "version 0007 is better: 'refund' by 0.1", "version 0007 is better: 'refund' by 0.1"),
        (65, "a.csv:3: expected a class, found 'my secret text'.", "a.csv:3: expected a class, found '...'."),
        (65, "1 problem:\n  - my secret text", "1 problem:"),
        (70, "KeyError: my secret text", "KeyError: a bug, see refresh.log"),
    ],
)
def test_a_sentence_leaves_without_what_errors_quote(status: int, sentence: str, expected: str) -> None:
    assert without_texts({"status": status, "sentence": sentence}) == {"status": status, "sentence": expected}


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("cat; exit 7", "ended with status 7"),
        ("no-such-program-here", "ended with status 127"),
        ("true", ""),  # Reads nothing of what it is sent.
        ("kill -9 $$", "ended with status -9"),
    ],
)
def test_a_command_that_fails_is_recorded(command: str, problem: str) -> None:
    (found,) = told({**RECORD, "sentence": "x" * 200_000}, command=command)
    assert (found["ok"], found.get("problem", "")) == (not problem, problem)


def test_a_command_that_hangs_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    start = time.monotonic()
    (found,) = told(command=f"echo begun; (sleep 3; touch {tmp_path}/late) & sleep 60", seconds=0.3)
    assert found["problem"] == "did not end within 0.3 seconds"
    # A child that outlives the shell and holds its output is ended too.
    (found,) = told(command=f"(sleep 3; touch {tmp_path}/late) & exit 0", seconds=0.3)
    assert time.monotonic() - start < 3
    assert not (tmp_path / "late").exists()


@pytest.mark.parametrize(("outcome", "expected"), [("promoted", 1), ("nothing_new", 0), ("later", 0)])
def test_only_the_outcomes_of_the_settings_are_told(outcome: str, expected: int) -> None:
    assert len(told({**RECORD, "outcome": outcome}, command="true")) == expected
    assert len(told({**RECORD, "outcome": outcome}, command="true", on=[outcome])) == 1
    assert told({**RECORD, "outcome": outcome}) == []


def test_a_webhook_is_signed_over_time_and_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGSMITH_WEBHOOK_SECRET", "s3cret")
    for receiver in receiving(204):
        (found,) = told(webhook=receiver.url)
        assert found["ok"]
        ((headers, body),) = receiver.received
    assert "my secret text" not in body.decode()
    assert json.loads(body)["outcome"] == "refused"
    assert abs(int(headers["X-Tagsmith-Timestamp"]) - time.time()) < 60
    # As the README lets a receiver check it.
    (code,) = re.findall(r"^```python\n(def is_genuine.+?)^```$", README.read_text(), re.M | re.S)
    names: dict[str, Any] = {"hmac": hmac, "hashlib": hashlib, "time": time}
    exec(code, names)
    assert names["is_genuine"](headers, body, "s3cret")
    assert not names["is_genuine"](headers, body + b" ", "s3cret")
    assert not names["is_genuine"](headers, body, "another")
    later = headers | {"X-Tagsmith-Timestamp": str(int(headers["X-Tagsmith-Timestamp"]) + 1)}
    assert not names["is_genuine"](later, body, "s3cret")


def test_without_a_secret_there_is_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAGSMITH_WEBHOOK_SECRET", raising=False)
    for receiver in receiving(200):
        told(webhook=receiver.url)
        assert "X-Tagsmith-Signature-256" not in receiver.received[0][0]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("statuses", "requests", "problem"),
    [
        ([503, 500, 429, 200], 4, None),
        ([503] * 5, 5, "127.0.0.1: answered with 503"),
        ([400], 1, "127.0.0.1: answered with 400"),
        # What is signed for one address is not sent to another.
        ([307], 1, "127.0.0.1: answered with 307"),
    ],
)
def test_a_webhook_is_tried_again_where_that_may_help(statuses: list[int], requests: int, problem: str | None) -> None:
    for receiver in receiving(*statuses):
        (found,) = told(webhook=receiver.url)
        assert found.get("problem") == problem
        assert len(receiver.received) == requests
        assert len({body for _, body in receiver.received}) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/secret", "https://name.invalid/secret", "secret", "http://[/secret"]
)
def test_a_dead_webhook_is_recorded_without_its_address(url: str, caplog: pytest.LogCaptureFixture) -> None:
    (found, other) = sorted(told(webhook=url, command="true"), key=lambda one: one["to"], reverse=True)
    assert not found["ok"]
    assert other["ok"]
    assert "secret" not in found["problem"] + caplog.text
