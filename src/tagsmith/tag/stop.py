"""When to stop: figures on the tags so far, computed by a process of its own after every few tags, or by a command."""

import json
import logging
import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from tagsmith.config.settings import TagRun
from tagsmith.core.errors import TagsmithError
from tagsmith.core.files import write_json
from tagsmith.core.schema import indicators_of_names
from tagsmith.tag.decisions import State, StoredDocument, tags_of
from tagsmith.tag.order import audited
from tagsmith.tag.store import Store
from tagsmith.tag.vectors import kept_vectors
from tagsmith.tag.web import Nothing, Route

log = logging.getLogger("tagsmith")

FILE = "status.json"

LEAST_NEW = 10
"""Tags after which the figures are computed again, or a twentieth of those that there are, where that is more."""

WAIT = 2.0
"""Seconds between two looks at how many tags there are."""


def status(store: Store, settings: TagRun) -> dict[str, Any]:
    """What can be said about the tags so far; ready for JSON.

    Returns:
        See `outlook.outlook`; and people: name -> tags, tags_an_hour.
    """
    from tagsmith.tag.outlook import Tagged, outlook  # Not while the page starts: scikit-learn takes seconds.

    known = store.schema()
    assert known is not None
    schema, states, outline = known[0], store.snapshot(), store.outline()
    vectors = kept_vectors(Path(settings.project), settings)
    sample = audited(outline, states, settings.seed)
    tags = [tags_of(one, states.get(one.id)) for one in outline]
    rows = [row for row, names in enumerate(tags) if names is not None]
    seen = [row for row in rows if row < len(vectors)]
    by_run = not any(outline[row].id in sample and outline[row].place is None for row in rows)
    if by_run:
        # Judged are the suggestions of the run, which did not know these tags.
        used, features = rows, np.zeros((len(rows), 1), dtype=np.float32)
    else:
        used, features = seen, vectors[seen].astype(np.float32)
    audit = np.asarray([outline[row].id in sample for row in used], dtype=bool)
    suggested = [outline[row].suggested.get("suggested") or () for row in used if outline[row].id in sample]
    tagged = Tagged(
        features,
        indicators_of_names([tags[row] or () for row in used], schema.classes),
        [_group(outline[row], states.get(outline[row].id)) for row in used],
        audit,
        np.asarray([(state := states.get(outline[row].id)) is not None and state.helped for row in used], dtype=bool),
    )
    found = outlook(tagged, indicators_of_names(suggested, schema.classes) if by_run else None, schema, settings.seed)
    if rows and not used:
        found["sentences"] = [
            "The documents have no vectors, from which the figures follow; a page with suggest=true computes them."
        ]
    for name, one in found["classes"].items():
        one["tags"] = sum(name in (tags[row] or ()) for row in rows)
    people = {name: {"tags": count, "tags_an_hour": pace} for name, (count, pace) in store.tally.paces().items()}
    return {**found, "tags": len(rows), "people": people}


def write_status(settings: TagRun) -> dict[str, Any]:
    """Write `status.json` of a project, and return it."""
    folder = Path(settings.project)
    store = Store(folder)
    try:
        found = status(store, settings)
    finally:
        store.close()
    write_json(folder / FILE, found)
    return found


def _in_background(settings: TagRun) -> None:
    os.nice(10)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    try:
        write_status(settings)
    except TagsmithError as error:
        log.error(f"when to stop: {error}")
        raise SystemExit(error.exit_status) from None


class Stop:
    """The figures of an open page; a thread has them computed by a process, so that no request waits.

    Attributes:
        latest: the last `status`; None before the first.
    """

    def __init__(self, store: Store, settings: TagRun):
        self._store, self._settings = store, settings
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._path = Path(settings.project) / FILE
        self.latest: dict[str, Any] | None = self._read()

    def routes(self) -> Iterator[Route]:
        yield Route("status", Nothing, lambda body, person: {"status": self.latest})

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def brief(self) -> dict[str, Any] | None:
        """What is always in view; None before there are figures."""
        if self.latest is None or self.latest["audit"] is None:
            return None
        audit, gain = self.latest["audit"], self.latest["gain"]
        enough = gain is not None and gain["macro_f1"] <= gain["chance"]
        return {"accuracy": audit["accuracy"], "macro_f1": audit["macro_f1"], "gain": gain, "enough": enough}

    def _work(self) -> None:
        measured = -LEAST_NEW if self.latest is None else int(self.latest["tags"])
        while not self._end.wait(WAIT):
            tags = self._store.tally.tagged
            if abs(tags - measured) < max(LEAST_NEW, tags / 20):
                continue
            measured = tags
            process: Any = multiprocessing.get_context("spawn").Process(
                target=_in_background, args=(self._settings,), daemon=True
            )
            process.start()
            while process.is_alive():
                process.join(0.2)
                if self._end.is_set():
                    process.terminate()
                    process.join()
                    return
            self.latest = self._read()

    def _read(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found


def status_tables(found: Mapping[str, Any]) -> list[Table]:
    """The status for the terminal: people, and classes, those with the largest likely gain first."""
    people = Table(title="tags", title_justify="left", title_style="bold")
    for name in ("person", "tags", "an hour"):
        people.add_column(name, justify="left" if name == "person" else "right")
    for name, one in found["people"].items():
        pace = one["tags_an_hour"]
        people.add_row(name, f"{one['tags']:,}", "-" if pace is None else f"{pace:,.0f}")
    classes = Table(title="classes", title_justify="left", title_style="bold")
    for name in ("class", "tags", "audit", "F1", "95% interval", "likely gain"):
        classes.add_column(name, justify="left" if name == "class" else "right")
    by_gain = sorted(found["classes"].items(), key=lambda item: (-(item[1]["gain"] or {"gain": 0})["gain"], item[0]))
    for name, one in by_gain:
        audit, gain = one["audit"], one["gain"]
        interval = "-" if audit is None or audit["interval"] is None else "{:.2f} to {:.2f}".format(*audit["interval"])
        figures = ("-", "-") if audit is None else (f"{audit['documents']:,}", f"{audit['f1']:.2f}")
        classes.add_row(name, f"{one['tags']:,}", *figures, interval, "-" if gain is None else f"{gain['gain']:+.3f}")
    return [people, classes]


def _group(document: StoredDocument, state: State | None) -> str | None:
    """Of documents that were tagged together, what they have in common; or else the group of the document."""
    return state.alike if state is not None and state.alike else document.group
