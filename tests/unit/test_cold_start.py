"""Suggestions without tags: by the names of classes, and by a language model."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagsmith.config.settings import LlmSettings, TagRun, problems
from tagsmith.core.schema import Schema, Task
from tagsmith.tag import cold_start, llm
from tagsmith.tag.accepted import Accepted, Source, accepted, accepted_line
from tagsmith.tag.cold_start import class_texts, cold_scores, mixed
from tagsmith.tag.decisions import Decision, Kind, StoredDocument
from tagsmith.tag.llm import LanguageModel, NotUsableError, classes_of, messages
from tagsmith.tag.store import Store

SINGLE = Schema(("billing", "bug"), Task.single_label)
MULTI = Schema(("billing", "bug"), Task.multi_label)


def test_names_are_read_as_words() -> None:
    assert class_texts({"top_up-failed": "", "bug": "it fails"}) == ["top up failed", "bug: it fails"]


def blobs() -> tuple[Any, Any]:
    """Two groups of 30 documents; the name of each class is nearer to its group, but far away from both."""
    draw = np.random.default_rng(0)
    vectors = draw.normal(0, 0.4, (60, 6)).astype(np.float32)
    vectors[:30, 0] += 2
    vectors[30:, 1] += 2
    names = np.zeros((2, 6), dtype=np.float32)
    names[:, 2] = 3
    names[0, 0] = names[1, 1] = 1
    return vectors, names


@pytest.mark.parametrize("landmarks", [60, 20])
def test_documents_share_what_is_similar_to_a_name(landmarks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_start, "LANDMARKS", landmarks)
    vectors, names = blobs()
    vectors[0] = vectors[30] = vectors.mean(axis=0)  # Nothing tells these two apart.
    scores = cold_scores(vectors, names, False, seed=0)
    assert np.allclose(scores.sum(axis=1), 1)
    right = scores.argmax(axis=1) == [0] * 30 + [1] * 30
    assert right[[*range(1, 30), *range(31, 60)]].all()
    several = cold_scores(vectors, names, True, seed=0)
    assert np.allclose(several.max(axis=1), 0.5)
    assert (several.argmax(axis=1) == scores.argmax(axis=1)).all()


@pytest.mark.parametrize("documents", [1, 2, 3])
def test_very_few_documents_have_scores_too(documents: int) -> None:
    scores = cold_scores(np.eye(3, dtype=np.float32)[:documents], np.eye(3, dtype=np.float32), False, seed=0)
    assert scores.shape == (documents, 3)
    assert np.isfinite(scores).all()


def test_the_regression_counts_more_with_every_tag() -> None:
    cold, scores = np.array([[1, 0]], dtype=np.float32), np.array([[0, 1]], dtype=np.float32)
    assert mixed(cold, None, 3) is cold
    half = cold_start.TAGS_A_CLASS * 2
    assert mixed(cold, scores, half).tolist() == [[0.5, 0.5]]
    assert mixed(cold, scores, 3 * half).tolist() == [[0.25, 0.75]]


def test_how_often_suggestions_are_accepted() -> None:
    def tag(name: str, source: str, suggestion: tuple[str, ...] = ("billing", "bug"), **more: Any) -> Decision:
        return Decision("key", "d", Kind.tag, "anna", 0.0, (name,), suggestion=suggestion, source=source, **more)

    log = [
        tag("billing", "names"), tag("bug", "names"), tag("other", "names"), tag("bug", "llm"),
        tag("bug", "names", reason="chosen"), tag("bug", "", ()), Decision("k", "d", Kind.skip, "anna", 0.0),
    ]  # fmt: skip
    found = accepted(log, False)
    assert found == {Source.names: Accepted(3, (1, 1)), Source.llm: Accepted(1, (0, 1))}
    assert accepted_line(found) == (
        "first suggestion accepted: by class names 33%, 67% in the list (of 3); "
        "by the language model 0%, 100% in the list (of 1)"
    )
    assert accepted_line({}) == ""
    assert accepted([tag("bug", "tags", ("bug",)), tag("bug", "tags")], True) == {Source.tags: Accepted(2, (1,))}


# A language model


@pytest.mark.parametrize(
    ("content", "schema", "expected"),
    [
        ('{"classes": ["bug"]}', SINGLE, ("bug",)),
        ('Here:\n```json\n{"classes": ["BUG"]}\n```', SINGLE, ("bug",)),
        ('{"classes": []}', MULTI, ()),
        ('{"classes": ["bug", "billing", "bug"]}', MULTI, ("bug", "billing")),
        ('{"classes": []}', SINGLE, "expected one class, found 0"),
        ('{"classes": ["bug", "billing"]}', SINGLE, "expected one class, found 2"),
        ('{"classes": ["secret"]}', MULTI, "expected classes of the project"),
        ('{"classes": "bug"}', SINGLE, "found something else"),
        ("bug", SINGLE, "found something else"),
        ("{not json}", SINGLE, "found something else"),
    ],
)
def test_answers_are_validated(content: str, schema: Schema, expected: Any) -> None:
    if isinstance(expected, tuple):
        assert classes_of(content, schema) == expected
    else:
        with pytest.raises(NotUsableError, match=expected) as error:
            classes_of(content, schema)
        assert "secret" not in str(error.value)


Answer = tuple[int, Any, dict[str, str]]


class Endpoint:
    """A language model that answers as `reply` says; `asked` holds the bodies and headers that it received."""

    def __init__(self, reply: Callable[[str], Answer]):
        self.asked: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.reply = reply


@contextmanager
def endpoint(reply: Callable[[str], Answer]) -> Iterator[tuple[Endpoint, str]]:
    served = Endpoint(reply)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.asked.append((body, {"path": self.path, **self.headers}))
            status, content, headers = served.reply(body["messages"][1]["content"])
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # A client that did not wait for the answer.

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield served, f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def completion(content: str, tokens: int = 7) -> Answer:
    choice = {"message": {"role": "assistant", "content": content}}
    return 200, {"choices": [choice], "usage": {"total_tokens": tokens}}, {}


def project(folder: Path, *texts: str) -> Store:
    store = Store(folder)
    store.set_schema(SINGLE, {"billing": "invoices, refunds"})
    store.add([StoredDocument(f"d{i}", text) for i, text in enumerate(texts, 1)])
    return store


def asked(store: Store, folder: Path, url: str, *names: str, **changes: Any) -> LanguageModel:
    """A model that was asked for documents; the calls are made here, one after the other."""
    model = LanguageModel(store, LlmSettings(url=url, model="small", **changes), folder)
    model._wanted = names
    model._stop.set()  # Pauses end at once.
    while model._failures < llm.TRIES and model._ask_next():
        pass
    return model


def of(model: LanguageModel, store: Store, name: str) -> Any:
    document = store.document(name)
    assert document is not None
    return model.of(document)


def test_a_language_model_is_asked_once_for_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGSMITH_LLM_KEY", "the key")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # Nothing is sent to an address that was not named.
    store = project(tmp_path, "refund please", "it crashes")

    def reply(text: str) -> Answer:
        return completion(json.dumps({"classes": ["bug" if "crash" in text else "billing"]}))

    with endpoint(reply) as (served, url):
        model = asked(store, tmp_path, url, "d2", "d1", "no such")
        assert (of(model, store, "d1"), of(model, store, "d2")) == (("billing",), ("bug",))
        assert model.status == "language model: 2 of 500 calls, 14 tokens"
        body, headers = served.asked[0]
        assert (headers["path"], headers["Authorization"]) == ("/v1/chat/completions", "Bearer the key")
        assert body["model"] == "small"
        assert body["messages"] == messages("it crashes", {"billing": "invoices, refunds", "bug": ""}, False)
        assert "- billing: invoices, refunds\n- bug\n" in body["messages"][0]["content"]
        # Kept over a restart; other classes are another question.
        again = asked(store, tmp_path, url, "d1", "d2")
        assert of(again, store, "d1") == ("billing",)
        assert len(served.asked) == 2
        store.set_schema(Schema(("billing", "bug", "praise"), Task.single_label), {})
        assert of(again, store, "d1") is None
        limited = asked(store, tmp_path, url, "d1", "d2", calls=1)
        assert len(served.asked) == 3
        assert limited.status == "language model: 1 of 1 calls, 7 tokens, the limit llm.calls= is reached"


def test_answers_that_are_not_usable_are_not_asked_for_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    replies: dict[str, Answer] = {
        "one": completion("sorry"), "two": completion('{"classes": ["secret"]}'), "three": (200, b"<html>", {}),
        "four": (200, {"choices": []}, {}), "five": completion('{"classes": ["bug"]}'),
    }  # fmt: skip
    store = project(tmp_path, *replies)
    with endpoint(lambda text: replies[text]) as (served, url):
        names = [f"d{i}" for i in range(1, 6)]
        model = asked(store, tmp_path, url, *names)
        assert [of(model, store, name) for name in names] == [None, None, None, None, ("bug",)]
        assert "4 answers not usable" in model.status
        asked(store, tmp_path, url, *names)
        assert len(served.asked) == 5
    assert "secret" not in caplog.text


def test_errors_are_tried_again_and_then_given_up(tmp_path: Path) -> None:
    store = project(tmp_path, "one")
    replies: list[Answer] = [(429, {}, {"Retry-After": "7"}), (503, {}, {}), completion('{"classes": ["bug"]}')]
    with endpoint(lambda _: replies.pop(0)) as (served, url):
        model = asked(store, tmp_path, url, "d1")
        assert of(model, store, "d1") == ("bug",)
        assert model.status == "language model: 3 of 500 calls, 7 tokens"
        assert model._failed("HTTP 429", "7") == 7.0
        assert model._failed("HTTP 429", "86400") == llm.LONGEST_PAUSE

    # A redirect would send the text to another address.
    (tmp_path / llm.FILE).unlink()
    with endpoint(lambda _: (307, {}, {"Location": "/elsewhere"})) as (served, url):
        model = asked(store, tmp_path, url, "d1")
        assert {headers["path"] for _, headers in served.asked} == {"/v1/chat/completions"}
        assert len(served.asked) == llm.TRIES
        assert model.status.endswith("stopped after 4 calls without an answer: HTTP 307")
    assert "ConnectionError" in asked(store, tmp_path, url, "d1").status

    held = threading.Event()
    with endpoint(lambda _: (held.wait(10), completion("{}"))[1]) as (_, url):
        assert "Timeout" in asked(store, tmp_path, url, "d1", timeout=0.1).status
        held.set()


def test_what_is_sent_is_said_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = project(tmp_path, "x" * 400)
    model = LanguageModel(store, LlmSettings(url="http://127.0.0.1:9/v1", model="small", calls=20), tmp_path)
    prompt = messages("x" * 400, {"billing": "invoices, refunds", "bug": ""}, False)
    each = round(sum(len(one["content"]) for one in prompt) / 4)
    model.start()
    model.stop()
    assert f"at most llm.calls=20 calls, about {each} tokens each, {20 * each:,} in all; 0 answers" in caplog.text
    assert "llm.url=http://127.0.0.1:9/v1: the texts of documents that are shown next are sent there" in caplog.text


def test_settings_that_do_not_fit() -> None:
    def found(**changes: Any) -> str:
        return "\n".join(problems(TagRun(project="p", **changes)))

    assert "llm.url, llm.model: expected both or none" in found(llm=LlmSettings(url="http://localhost/v1"))
    assert "begins with http://" in found(llm=LlmSettings(url="localhost", model="small"))
    for hidden in ({"suggest": False}, {"blind": True}):
        assert "nobody sees" in found(llm=LlmSettings(url="http://localhost/v1", model="small"), **hidden)
