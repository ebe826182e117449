"""A tagging page that runs in a thread, and a person who has nothing but a keyboard, for tests."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
import uvicorn

from tagsmith.config.settings import TagRun
from tagsmith.core.local_http import listen
from tagsmith.tag.tag_run import opened, server_config

HOSTILE = "<script>window.bad = 1</script><img src=x onerror='window.bad = 1'>"
TEXTS = ["the invoice is wrong", "it does not start", HOSTILE, "مرحبا بالعالم", "refund please", "a crash"]


class Page:
    """A running page; `url` has no token, `address` has that of the first person."""

    def __init__(self, port: int, tokens: dict[str, str], tagging: Any):
        self.url, self.tagging = f"http://127.0.0.1:{port}", tagging
        self.tokens = {person: token for token, person in tokens.items()}
        self.address = f"{self.url}/#{next(iter(tokens))}"

    def post(self, name: str, body: Any = None, person: str | None = "me", **headers: str) -> requests.Response:
        token = {} if person is None else {"Authorization": f"Bearer {self.tokens[person]}"}
        return requests.post(f"{self.url}/api/{name}", json=body or {}, headers={**token, **headers}, timeout=30)

    def ask(self, name: str, body: Any = None, person: str = "me") -> Any:
        answer = self.post(name, body, person)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextlib.contextmanager
def page(settings: TagRun, port: int = 0) -> Iterator[Page]:
    """The page of a project while the block runs, in a thread."""
    with opened(settings) as (tagging, tokens), listen("127.0.0.1", port) as listener:
        server = uvicorn.Server(server_config(tagging))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                thread.join(0.01)
            yield Page(listener.getsockname()[1], tokens, tagging)
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def settings_of(folder: Path, texts: list[str] = TEXTS, **changes: Any) -> TagRun:
    pool = folder / "pool.jsonl"
    pool.write_text("".join(json.dumps({"id": f"d{i}", "text": text}) + "\n" for i, text in enumerate(texts)))
    classes: Any = {"billing": "invoices, refunds", "bug": "something does not work", "Größe": HOSTILE}
    given = {"classes": classes, "suggest": False, **changes}
    return TagRun(project=str(folder / "tickets"), pool=str(pool), **given)


class Person:
    """A person who has nothing but a keyboard."""

    def __init__(self, browser: Any):
        self.browser = browser

    def at(self, name: str) -> Any:
        return self.browser.find_element("id", name)

    def text(self, name: str) -> str:
        return str(self.browser.execute_script("return document.getElementById(arguments[0]).textContent", name))

    def until(self, condition: Any) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.browser, 20, poll_frequency=0.02).until(lambda _: condition())

    def open(self, address: str) -> None:
        self.browser.get("about:blank")
        self.browser.get(address)
        self.until(lambda: self.text("text"))

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    def press_for_next(self, key: str) -> str:
        """Press a key that decides; returns the text that was shown, when the next one is."""
        before = self.text("text")
        self.press(key)
        self.until(lambda: self.text("text") != before)
        return before

    def tagged(self) -> int:
        return int(self.text("progress").split()[0])
