"""`scripts/label_studio.py` against a server that answers as Label Studio 1.23 did."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tagsmith.config.settings import LabelStudioRun, PushPull
from tagsmith.core.errors import DataError, InputMissing, SettingsError, TryAgainLater
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, Task
from tagsmith.improve.annotation import label_studio_server as server
from tagsmith.improve.annotation.label_studio_server import pull, push
from tests.conftest import write_jsonl


class Fake:
    """Projects and tasks of a server, and what it was asked."""

    def __init__(self) -> None:
        self.projects: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.exchanged, self.uses = 0, dict[str, int]()

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any, token: str) -> tuple[int, Any]:
        self.asked.append(f"{method} {path}")
        if path == "/api/token/refresh":
            self.exchanged += 1
            return (200, {"access": f"short {self.exchanged}"}) if body == {"refresh": "a.b.c"} else (401, {})
        # What a personal token is exchanged for lasts three requests here, minutes there.
        self.uses[token] = self.uses.get(token, 0) + 1
        if token != "Token good" and (token != f"Bearer short {self.exchanged}" or self.uses[token] > 3):
            return 401, {"detail": "Invalid token."}
        if (method, path) == ("GET", "/api/projects"):
            return 200, {"count": len(self.projects), "next": None, "results": self.projects}
        if (method, path) == ("POST", "/api/projects"):
            self.projects.append({"id": 7, **body})
            return 201, self.projects[-1]
        if method == "PATCH":
            self.projects[0].update(body)
            return 200, self.projects[0]
        if path == "/api/projects/7/import":
            self.tasks += [{"id": len(self.tasks) + i, "annotations": [], **task} for i, task in enumerate(body)]
            return 201, {"task_count": len(body)}
        if path == "/api/tasks":
            page, size = int(query["page"][0]), int(query["page_size"][0])
            return 200, {"total": len(self.tasks), "tasks": self.tasks[(page - 1) * size : page * size]}
        return 404, {"detail": "no such page"}


@pytest.fixture
def fake() -> Iterator[tuple[Fake, str]]:
    state = Fake()

    class Handler(BaseHTTPRequestHandler):
        def handle_all(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            place = urlsplit(self.path)
            status, content = state.answer(
                self.command, place.path, parse_qs(place.query), json.loads(raw or b"null"),
                self.headers.get("Authorization", ""),
            )  # fmt: skip
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = handle_all

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield state, f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", "good")
    found = RunFolder(tmp_path / "run")
    found.improve.mkdir(parents=True)
    found.settings.write_text("{}")
    Schema(("a", "b"), Task.single_label).save(found.schema)
    lines = [{"id": f"d{i}", "text": f"text {i}", "score": 0.5, "suggested": "a", "tag": None} for i in range(5)]
    write_jsonl(found.improve / "tag_next.jsonl", lines)
    return found


def settings(run: RunFolder, url: str, action: PushPull = PushPull.push, **changes: Any) -> LabelStudioRun:
    return LabelStudioRun(run=str(run.path), url=url, action=action, **changes)


def test_pushed_twice_and_pulled(fake: tuple[Fake, str], run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAGE", 2)  # Several pages of five tasks.
    state, url = fake
    assert push(settings(run, url))[1:] == (5, 0)
    result = [{"type": "choices", "value": {"choices": ["b"]}}]
    state.tasks[4]["annotations"] = [{"result": result, "lead_time": 5.0, "completed_by": 1, "was_cancelled": False}]
    before = json.loads(json.dumps(state.tasks))
    assert push(settings(run, url))[1:] == (0, 5)
    assert state.tasks == before  # A person's work stays.
    path, counts = pull(settings(run, url, PushPull.pull))
    assert counts == {"tagged": 1}
    assert json.loads(path.read_text()) == {"id": "d4", "text": "text 4", "tag": "b"}


def test_new_classes_are_offered_in_a_project_that_is_there(fake: tuple[Fake, str], run: RunFolder) -> None:
    state, url = fake
    push(settings(run, url))
    own = state.projects[0]["label_config"].replace("<View>", '<View><Header value="Our rules"/>')
    state.projects[0]["label_config"] = own
    Schema(("a", "b", "<c>"), Task.single_label).save(run.schema)
    more = [{"id": "new", "text": "another", "score": 0.5, "suggested": "a", "tag": None}]
    write_jsonl(run.improve / "tag_next.jsonl", more)
    assert push(settings(run, url))[1:] == (1, 0)
    assert "&lt;c&gt;" in state.projects[0]["label_config"]
    assert "Our rules" in state.projects[0]["label_config"]  # What a person has put there stays.
    assert len(state.tasks) == 6


def test_a_personal_token_is_exchanged(fake: tuple[Fake, str], run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", "a.b.c")
    assert push(settings(run, fake[1]))[1] == 5
    assert fake[0].asked[0] == "POST /api/token/refresh"
    assert fake[0].exchanged == 2  # And again when its time is over.


def test_ids_that_another_pool_has_used(fake: tuple[Fake, str], run: RunFolder) -> None:
    state, url = fake
    push(settings(run, url))
    again: list[dict[str, Any]] = [{"id": name, "text": "of another pool", "tag": None} for name in ("d1", "new")]
    write_jsonl(run.improve / "tag_next.jsonl", again)
    with pytest.raises(DataError, match="has these ids with other texts"):
        push(settings(run, url))
    assert len(state.tasks) == 5


def test_what_a_server_refuses(fake: tuple[Fake, str], run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    state, url = fake
    with pytest.raises(InputMissing, match="push creates it"):
        pull(settings(run, url, PushPull.pull))
    state.projects += [{"id": i, "title": "tagsmith", "label_config": ""} for i in (1, 2)]
    with pytest.raises(SettingsError, match="2 projects with this title"):
        push(settings(run, url))
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", "bad")
    with pytest.raises(SettingsError, match="rejected the token in LABEL_STUDIO_TOKEN"):
        push(settings(run, url))
    monkeypatch.delenv("LABEL_STUDIO_TOKEN")
    with pytest.raises(SettingsError, match="set this environment variable to your access token"):
        push(settings(run, url))


def test_no_server(run: RunFolder) -> None:
    with pytest.raises(TryAgainLater, match="is the server running"):
        push(settings(run, "http://127.0.0.1:9"))
