"""How long people wait for a decision to be saved, and for the next documents, while many of them tag."""

import multiprocessing
import os
import random
import threading
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import requests

from tagsmith.bench.tagging.simulated_person import Page
from tagsmith.config.settings import TagRun
from tagsmith.core.local_http import listen
from tagsmith.tag.store import Store
from tagsmith.tag.tag_run import open_page

SECONDS = 40.0
"""How long people tag."""

PAUSE = 3.0
"""Seconds that a person needs for a document, on average."""


@dataclass(frozen=True)
class Waited:
    """Milliseconds of the requests of many people: `decision` saves a tag, `next` fetches documents ahead."""

    people: int
    documents: int
    decisions: int
    decision_p50: float
    decision_p95: float
    next_p50: float
    next_p95: float

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "many people", **asdict(self)}


def measure_waiting(page: TagRun, tags: Mapping[str, tuple[str, ...]], people: int, several: bool, seed: int) -> Waited:
    """Let people tag on a page that a process of its own serves, and whose regression is fitted again meanwhile.

    Args:
        page: settings of the page; the vectors of its documents are in the project.
        tags: of each document, by id.
    """
    with listen(page.host, 0) as free:
        port = free.getsockname()[1]
    page = replace(page, port=port, people=[f"person {i}" for i in range(people)])
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(page,))
    process.start()
    url = f"http://127.0.0.1:{port}"
    decisions, fetched = list[float](), list[float]()

    def tag(number: int, opened: Page, until: float) -> None:
        draw, documents = random.Random(seed + number), opened.documents()
        while time.monotonic() < until:
            started = time.monotonic()
            shown = next(documents, None)
            if shown is None:
                return
            fetched.append(time.monotonic() - started)
            time.sleep(PAUSE * draw.uniform(0.5, 1.5))
            started = time.monotonic()
            opened.tag(shown, tags[shown.document], several)
            decisions.append(time.monotonic() - started)

    try:
        _wait_for(url, process)
        store = Store(Path(page.project))
        pages = [Page(url, store.token(name), None) for name in page.people]
        store.close()
        pages[0].wait_until_read()
        until = time.monotonic() + SECONDS
        threads = [threading.Thread(target=tag, args=(i, opened, until)) for i, opened in enumerate(pages)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        process.terminate()
        process.join()
    times = [round(1000 * float(value), 1) for part in (decisions, fetched) for value in np.percentile(part, [50, 95])]
    return Waited(people, len(tags), len(decisions), *times)


def _serve(page: TagRun) -> None:
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # noqa: PTH123  (The addresses.)
        open_page(page)


def _wait_for(url: str, process: Any) -> None:
    while True:
        try:
            requests.get(url, timeout=5)
            return
        except requests.ConnectionError:
            if not process.is_alive():
                raise RuntimeError("the page could not be opened") from None
            time.sleep(0.1)
