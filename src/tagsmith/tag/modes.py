"""What a person may look through instead of new documents: suspected tags, one class, disagreements, a search."""

from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.config.settings import TagRun
from tagsmith.core.schema import Schema, indicators_of_names
from tagsmith.data.class_names import folded_name
from tagsmith.tag.decisions import CHOSEN, tags_of
from tagsmith.tag.listing import all_documents
from tagsmith.tag.store import Store
from tagsmith.tag.vectors import kept_vectors
from tagsmith.tag.web import Route, Strict

FOLDS = 5

FEWEST = 20
"""Tagged documents below which no tag is suspected: a regression on fewer is wrong more often than people are."""

MOST = 1000
"""Documents of a mode."""


class Mode(Enum):
    """What is shown, besides what is new."""

    suspected = "suspected"
    of_class = "class"
    disagreements = "disagreements"
    search = "search"


class Look(Strict):
    """Documents to look through; `name`: the class, or what is searched for."""

    mode: Mode
    name: str = ""


class Modes:
    """The request for the documents of a mode; the page then shows them one after the other."""

    def __init__(self, store: Store, settings: TagRun):
        self._store, self._settings = store, settings

    def routes(self) -> Iterator[Route]:
        yield Route("look", Look, self.look)

    def look(self, body: Look, person: str) -> dict[str, Any]:
        """The ids of the documents, in the order in which to look at them."""
        if body.mode is Mode.suspected:
            found = suspected(self._store, self._settings)
        elif body.mode is Mode.of_class:
            found = of_class(self._store, body.name)
        elif body.mode is Mode.search:
            found = matching(self._store, body.name)
        else:
            states = self._store.snapshot()
            found = sorted((name for name, one in states.items() if one.disputed), key=lambda name: states[name].number)
        return {"documents": found[:MOST], "total": len(found)}


def of_class(store: Store, name: str) -> list[str]:
    """The documents with a class, those first that were tagged last."""
    states = store.snapshot()
    found = []
    for one in store.outline():
        state = states.get(one.id)
        if name in (tags_of(one, state) or ()):
            found.append((-state.number if state is not None else 0, one.number, one.id))
    return [document for *_, document in sorted(found)]


def matching(store: Store, search: str) -> list[str]:
    """The documents whose text holds what is searched for, without regard to case and accents; tagged ones last."""
    wanted, states = folded_name(search.strip()), store.snapshot()
    found = [one.id for one in all_documents(store) if wanted in folded_name(one.text)]
    return sorted(found, key=lambda name: (state := states.get(name)) is not None and state.status is not None)


def suspected(store: Store, settings: TagRun) -> list[str]:
    """The documents whose tags look wrong, the most suspicious first: by the run's queue, then out of fold.

    A tag is not suspected where a person has looked it up and given it again.
    """
    states, outline, schema = store.snapshot(), store.outline(), store.history.schema
    queue = [one for one in outline if one.place is not None and one.suggested.get("reason") == "suspected"]
    first = [one.id for one in sorted(queue, key=lambda one: one.place or 0) if one.id not in states]
    vectors = kept_vectors(Path(settings.project), settings)
    rows, tags = [], []
    for row, one in enumerate(outline[: len(vectors)]):
        state = states.get(one.id)
        if (names := tags_of(one, state)) is not None:
            rows.append(row)
            tags.append(names)
    if len(rows) < FEWEST:
        return first
    checked = {name for name, state in states.items() if state.reason == CHOSEN}
    order = out_of_fold(vectors[rows].astype(np.float32), tags, [outline[row].group for row in rows], schema)
    found = [outline[rows[i]].id for i in order]
    return [*first, *(name for name in found if name not in checked and name not in first)]


def out_of_fold(
    vectors: NDArray[np.float32], tags: Sequence[Sequence[str]], groups: Sequence[str | None], schema: Schema
) -> list[int]:
    """Positions of the documents whose tags regressions that have not seen them hold for wrong, the surest first.

    Args:
        vectors: float32 [documents, hidden].
    """
    # Not while the page starts: scikit-learn takes seconds.
    from tagsmith.data.split import draw_folds
    from tagsmith.improve.suspicion import PROBE_C, wrong_odds
    from tagsmith.model.probe import fit_head

    truth = indicators_of_names(tags, schema.classes)
    folds = draw_folds([str(i) for i in range(len(tags))], groups, truth, FOLDS, seed=0)
    logits = np.zeros(truth.shape, dtype=np.float32)
    for fold in np.unique(folds):
        inside, out = folds != fold, folds == fold
        if len(np.unique(truth[inside], axis=0)) > 1:
            weights, bias = fit_head(vectors[inside], truth[inside], schema.multi_label, PROBE_C)
            logits[out] = vectors[out] @ weights.T + bias
    odds = wrong_odds(logits, truth, schema.multi_label).max(axis=1)
    return [int(i) for i in np.argsort(-odds, kind="stable") if odds[i] > 0]
