"""A person with true tags who tags on the page of a project, through its HTTP interface, as its scripts do."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
import uvicorn

from tagsmith.config.settings import TagRun
from tagsmith.core.local_http import listen
from tagsmith.tag.suggestions import EVERY, Suggestions
from tagsmith.tag.tag_run import opened, server_config

AHEAD = 3
"""Documents that the page fetches before they are shown."""


@dataclass(frozen=True)
class Shown:
    """A document as the page shows it: its suggestions, best first, and those that are marked at first."""

    document: str
    suggestions: tuple[str, ...]
    taken: tuple[str, ...]
    reason: str


class Page:
    """The page of a project, for one person.

    A person needs seconds for a document, so the plan is waited for: each is there when the person needs it.
    """

    def __init__(self, url: str, token: str, suggestions: Suggestions | None):
        self._url, self._suggestions, self._name = url, suggestions, token[:16]
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._ahead: list[Shown] = []
        self._sources: dict[str, str | None] = {}
        self._decided = 0
        self._wait_for(1)
        self._version: int = self._ask("project", {})["classes_version"]

    def _ask(self, name: str, body: dict[str, Any]) -> Any:
        answer = self._session.post(f"{self._url}/api/{name}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def wait_until_read(self) -> None:
        """Wait until there are vectors of all documents."""
        while self._ask("project", {})["status"]:
            time.sleep(0.2)

    def look(self, document: str) -> Shown:
        """A document that the person looks for."""
        return self._shown(self._ask("document", {"name": document}))

    def documents(self) -> Iterator[Shown]:
        """The documents in the order of the page; each has to be decided before the next."""
        current: Shown | None = None
        while True:
            if len(self._ahead) < AHEAD:
                without = [one.document for one in (*([current] if current else []), *self._ahead)]
                answer = self._ask("next", {"count": AHEAD, "without": without})
                self._ahead += [self._shown(one) for one in answer["documents"]]
            if not self._ahead:
                return
            current = self._ahead.pop(0)
            yield current

    def tag(self, shown: Shown, tags: tuple[str, ...], several: bool) -> None:
        """Save the tags of a document."""
        body = {
            "key": f"{self._name} {self._decided}", "document": shown.document, "kind": "tag", "tags": tags,
            "suggestion": shown.taken if several else shown.suggestions, "reason": shown.reason,
            "source": self._sources[shown.document], "classes": self._version,
        }  # fmt: skip
        self._ask("decisions", body)
        self._decided += 1
        if self._decided % EVERY == 0:
            self._wait_for(1 + self._decided // EVERY)

    def _shown(self, one: dict[str, Any]) -> Shown:
        found = one["suggestions"]
        self._sources[one["id"]] = found[0]["source"] if found else None
        names, taken = (tuple(each["name"] for each in found if each["take"] or not only) for only in (False, True))
        return Shown(one["id"], names, taken, one["reason"])

    def _wait_for(self, plans: int) -> None:
        while self._suggestions is not None and self._suggestions.plans < plans:
            if "no suggestions" in self._suggestions.status:
                raise RuntimeError(self._suggestions.status)
            time.sleep(0.005)


@contextmanager
def opened_page(settings: TagRun) -> Iterator[Page]:
    """The page of a project while the block runs, served in a thread."""
    with opened(settings) as (tagging, tokens), listen(settings.host, 0) as listener:
        server = uvicorn.Server(server_config(tagging))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
        thread.start()
        try:
            while not server.started:
                thread.join(0.01)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            yield Page(url, next(iter(tokens)), tagging.suggestions if settings.suggest else None)
        finally:
            server.should_exit = True
            thread.join(30)
