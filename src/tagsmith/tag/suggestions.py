"""Suggested classes, and the plan of what to tag next, by the names of classes, then by a regression on the tags."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tagsmith.config.settings import TagRun
from tagsmith.core.schema import Schema, indicators_of_names
from tagsmith.decision.metrics import probabilities
from tagsmith.improve.acquisition import centred_unit_rows, choose, representatives
from tagsmith.model.probe import fit_head, probe_c
from tagsmith.tag.accepted import Source, accepted, accepted_line
from tagsmith.tag.classes import History
from tagsmith.tag.cold_start import class_texts, cold_scores, mixed
from tagsmith.tag.decisions import Kind, State, StoredDocument
from tagsmith.tag.llm import LanguageModel
from tagsmith.tag.order import Order, Shown
from tagsmith.tag.store import Store
from tagsmith.tag.vectors import Vectors

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]

Embed = Callable[[Sequence[str]], tuple[Floats, Floats] | None]
"""From texts of classes to the vectors of all documents and of the classes; None where there are none."""

Planned = tuple[int, str]
"""The row of a document, and the reason why it is shown."""

EVERY = 5
"""Tags after which the regression is fitted again."""

PLANNED = 30
"""Documents in a plan: enough for the people who tag until the next one is there."""

CLUSTERED = 1000
"""Documents, drawn at random, whose clusters are represented."""

TAGS_A_CLASS = 1
"""Tags for each class, on average, before which documents are chosen by their clusters alone (README: Decisions and
measurements)."""

MOST = 5
"""Suggestions for a document."""


@dataclass(frozen=True)
class Scored:
    """Scores of all documents, float32 [documents, classes], and what they come from."""

    scores: Floats
    classes: tuple[str, ...]
    source: Source


def regression_scores(vectors: Floats, tags: Sequence[Sequence[str] | None], schema: Schema) -> Floats | None:
    """Scores of all documents, float32 [documents, classes], by a regression on the tags; None until these differ.

    Args:
        vectors: float32 [documents, hidden].
        tags: of each document; None: not tagged.
    """
    rows = [row for row, names in enumerate(tags) if names is not None]
    truth = indicators_of_names([tags[row] or () for row in rows], schema.classes)
    if len(rows) < 2 or not schema.classes or len(np.unique(truth, axis=0)) < 2:
        return None
    weights, bias = fit_head(vectors[rows], truth, schema.multi_label, probe_c(schema.multi_label))
    return probabilities(np.asarray(vectors @ weights.T + bias, dtype=np.float32), schema.multi_label)


def representative(vectors: Floats, tagged_rows: Sequence[int], open_rows: Sequence[int], seed: int) -> list[int]:
    """Open rows that represent clusters without a tagged document, the largest cluster first: at least `PLANNED`.

    Hacohen et al., Active Learning on a Budget, arXiv 2202.02794.

    Args:
        vectors: float32 [documents, hidden].
    """
    draw = np.random.default_rng(seed)
    tagged, left = (draw.permutation(rows)[:CLUSTERED].astype(np.int64) for rows in (tagged_rows, open_rows))
    rows = np.concatenate([tagged, left])
    unit, weights = centred_unit_rows(vectors[rows]), np.ones(len(rows), dtype=np.float32)
    clusters = representatives(unit, weights, PLANNED + len(tagged), seed)
    return [int(rows[members[0]]) for members in clusters if len(members) and members.min() >= len(tagged)]


def planned(
    vectors: Floats,
    scores: Floats | None,
    tags: Sequence[Sequence[str] | None],
    left: Sequence[int],
    schema: Schema,
    seed: int,
) -> list[Planned]:
    """The rows to tag next with the reason, best first: representative documents at first, then uncertain ones.

    Args:
        vectors, scores: float32 [documents, hidden] and [documents, classes]; scores are None before the first fit.
        tags: of each document; None: not tagged.
        left: the rows to choose from.
    """
    tagged_rows = [row for row, names in enumerate(tags) if names is not None]
    if scores is None or not schema.classes or len(tagged_rows) < TAGS_A_CLASS * len(schema.classes):
        return [(row, "representative") for row in representative(vectors, tagged_rows, left, seed)] if left else []
    truth = indicators_of_names([tags[row] or () for row in tagged_rows], schema.classes)
    rows = np.asarray(left, dtype=np.int64)
    chosen = choose(
        scores[rows], vectors[rows], truth.sum(axis=0, dtype=np.int64), PLANNED, 0.0, schema.multi_label, seed
    )
    return [(int(rows[one.position]), one.reason.value) for one in chosen]


class Suggestions:
    """The suggestions of a project; a thread fits and plans, and never makes a request wait.

    Attributes:
        accepted: how often people accepted suggestions, for the page.
        plans: number of plans made so far.
    """

    def __init__(self, store: Store, order: Order, settings: TagRun):
        self._store, self._order, self._settings = store, order, settings
        self._read_outline()
        self._rows = {one.id: row for row, one in enumerate(self._outline)}
        self._vectors = Vectors(settings, len(self._outline))
        self._cold: tuple[Floats, Floats] | None = None  # The vectors of the classes, and the scores by them.
        self._scored: Scored | None = None
        self._llm = LanguageModel(store, settings.llm, Path(settings.project)) if settings.llm.url else None
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._new = 0
        self._status = self.accepted = ""
        self.plans = 0

    def _read_outline(self) -> None:
        self._version, self._outline = self._store.history.version, self._store.outline()
        self._given = [one.given if one.place is None else None for one in self._outline]

    def _read(self) -> tuple[History, dict[str, State]]:
        """The classes and the states, both of the same version; `_given` is that of it, too."""
        while True:
            history, states = self._store.history, self._store.snapshot()
            if self._version != history.version:
                self._read_outline()
            if self._store.history is history and self._version == history.version:
                return history, states

    def start(self) -> None:
        """Start the thread, unless a run has chosen the order, or the settings want no suggestions."""
        if self._settings.suggest and any(one.place is None for one in self._outline):
            self._status = "reading the documents; suggestions follow"
            self._thread.start()
            if self._llm is not None:
                self._llm.start()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10)
        if self._llm is not None:
            self._llm.stop()

    @property
    def status(self) -> str:
        """What the threads do, for the page."""
        return "; ".join(filter(None, (self._status, self._llm.status if self._llm is not None else "")))

    def decided(self) -> None:
        """Say that a decision was made."""
        self._new += 1
        if self._new >= EVERY:
            self._wake.set()

    def classes_changed(self) -> None:
        """Say that the classes were changed: suggestions and plan follow at once."""
        self._wake.set()

    def of(self, document: StoredDocument) -> list[dict[str, Any]]:
        """The best classes of a document with their scores, best first; `take`: whether Enter takes the class.

        `source` is the same for all of them: where the first one comes from.
        """
        if not self._settings.suggest:
            return []
        schema = self._store.history.schema
        if (line := document.suggested) and (line["suggested"] or line["scores"]):
            names = list(dict.fromkeys((*line["suggested"], *line["scores"])))
            known = [name for name in names if name in schema.classes]
            return _listed(known, line["scores"], line["suggested"], Source.run)
        scores: dict[str, float] = {}
        if (scored := self._scored) is not None:
            row = scored.scores[self._rows[document.id]]
            best = [i for i in np.argsort(-row, kind="stable") if scored.classes[i] in schema.classes]
            scores = {scored.classes[i]: round(float(row[i]), 4) for i in best[:MOST]}
        if self._llm is not None and (named := self._llm.of(document)) is not None:
            return _listed(list(dict.fromkeys((*named, *scores))), scores, named, Source.llm)
        several = schema.multi_label
        take = [name for place, name in enumerate(scores) if (scores[name] >= 0.5 if several else place == 0)]
        return _listed([*scores], scores, take, scored.source) if scored is not None else []

    def _work(self) -> None:
        try:
            with threadpool_limits(1):  # The other cores answer requests.
                while not self._stop.is_set():
                    self._new = 0
                    self._wake.clear()
                    if not self.plan(lambda classes: self._vectors.of(classes, self._stop)):
                        self._status = "there are no suggestions: the encoder could not be used"
                        return
                    self._status = ""
                    self._wake.wait()
        except Exception as error:
            # Without suggestions the page still works; the message holds no text.
            self._status = f"there are no suggestions: {type(error).__name__}"
            log.exception("the suggestions have stopped")

    def plan(self, embed: Embed) -> bool:
        """Score the documents by names and by the tags so far, and give the order a new plan.

        Returns:
            Whether there are vectors.
        """
        history, states = self._read()
        schema = history.schema
        if (found := embed(class_texts(history.guidelines))) is None:
            return False
        vectors, classes = found
        tags = [_tags(states.get(one.id), given) for one, given in zip(self._outline, self._given, strict=True)]
        if self._cold is None or not np.array_equal(self._cold[0], classes):
            self._cold = (classes, cold_scores(vectors, classes, schema.multi_label, self._settings.seed))
        tagged = sum(names is not None for names in tags)
        by_tags = regression_scores(vectors, tags, schema)
        scores = mixed(self._cold[1], by_tags, tagged)
        self._scored = Scored(scores, schema.classes, Source.names if by_tags is None else Source.tags)
        left = [
            row
            for row, one in enumerate(self._outline)
            if tags[row] is None and ((state := states.get(one.id)) is None or state.status is None)
        ]
        # With several classes a document, names say which class fits best, but not how surely.
        by = by_tags if schema.multi_label else scores
        plan = planned(vectors, by, tags, left, schema, self._settings.seed + tagged)
        shown: list[Shown] = [(self._outline[row].id, reason) for row, reason in plan]
        self._order.set_plan(shown)
        if self._llm is not None:
            self._llm.want([name for name, _ in shown[: 2 * EVERY]])
        self.accepted = accepted_line(accepted(self._store.log(), schema.multi_label))
        self.plans += 1
        return True


def _listed(
    names: Sequence[str], scores: Mapping[str, float], take: Sequence[str], source: Source
) -> list[dict[str, Any]]:
    """Suggestions as the page shows them, at most `MOST`."""
    return [
        {"name": name, "score": scores.get(name), "take": name in take, "source": source.value} for name in names[:MOST]
    ]


def _tags(state: State | None, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The tags of a document: those of a person, or else those that it came with."""
    if state is None or state.status is None:
        return given
    return state.tags if state.status is Kind.tag else None
