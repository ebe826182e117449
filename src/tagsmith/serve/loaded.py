"""A verified bundle in memory: alone, or with the queue and the threads that answer requests."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tagsmith.classify.bundle.contents import MANIFEST, REFERENCE
from tagsmith.classify.bundle.reference import Reference
from tagsmith.classify.classifier import Classifier
from tagsmith.classify.production import Production
from tagsmith.config.settings import ServeSettings
from tagsmith.core.errors import DataError
from tagsmith.core.files import digest, json_object, read_json
from tagsmith.serve.answers import Answer, calls, tokens_of
from tagsmith.serve.batching import Batcher
from tagsmith.serve.store import Place, place_of

log = logging.getLogger("tagsmith.serve")

Observe = Callable[["Model", Sequence[str], Sequence[Answer], float], None]
"""Called after each call of the encoder with the texts, the answers and the seconds."""

WARM_UP = ("a", "A sentence of some words, as people write them.", "word " * 400, "x")
"""Texts that a model classifies before it serves requests: first calls are slow, and a broken graph is detected."""


class Bundle:
    """A verified bundle.

    Attributes:
        version: the first 12 hex digits of the SHA-256 of the bundle's manifest.
        store_version: its version in the store, such as 0007; None: the deployment names no store.
        run: the run of which it was exported, as the manifest names it; in a store with the version before it.
        trained: when the training of this run started, in ISO 8601; None: the manifest does not say it.
        production: what it has classified.
    """

    def __init__(self, place: Place, settings: ServeSettings, threads: int | None):
        """Load, verify and warm up a bundle. Blocks for a second or more.

        Raises:
            TagsmithError: the bundle cannot be used.
        """
        folder, self.store_version = place.bundle, place.version
        self.version = digest(folder / MANIFEST)[:12] if (folder / MANIFEST).is_file() else ""
        self.classifier = Classifier.load(
            folder,
            threads=threads,
            public_key=settings.public_key,
            engine=settings.engine.value,
            precision=settings.precision.value,
        )
        log.info("%s: computed by %s", folder, self.classifier.engine)
        manifest: dict[str, Any] = read_json(folder / MANIFEST, json_object, "a manifest", "export the run again")
        self.run: str | None = manifest.get("run")
        if self.run is not None and self.store_version is not None:
            self.run = f"{self.store_version}/{self.run}"
        self.trained: str | None = manifest.get("training", {}).get("started")
        reference = Reference.load(folder / REFERENCE)
        self.production = Production(self.classifier.schema, reference, settings.drift_documents)
        _check_answers(folder, self.classifier)


class Model(Bundle):
    """A bundle with the threads that run it.

    Attributes:
        name: of the deployment.
        requests: how many use it; it is closed only after they are answered.
    """

    def __init__(self, name: str, place: Place, settings: ServeSettings, observe: Observe):
        """As for `Bundle`."""
        super().__init__(place, settings, settings.threads)
        self.name = name
        self.requests = 0
        self._idle = asyncio.Event()

        def after_call(texts: list[str], found: list[Answer], seconds: float) -> None:
            self.production.add(found)
            observe(self, texts, found, seconds)

        self.batcher = Batcher(
            f"encoder of {name}",
            lambda texts: calls(self.classifier, texts),
            lambda text: tokens_of(self.classifier, text),
            settings.batch_tokens,
            settings.queue_documents,
            self.classifier.calls_at_once,
            after_call,
        )

    @contextmanager
    def in_use(self) -> Iterator["Model"]:
        """Keep the model open while the block runs, even if another one replaces it meanwhile."""
        self.requests += 1
        self._idle.clear()
        try:
            yield self
        finally:
            self.requests -= 1
            if not self.requests:
                self._idle.set()

    async def retire(self) -> None:
        """Wait for the requests that use the model, then end its threads."""
        while self.requests:
            await self._idle.wait()
        await asyncio.to_thread(self.batcher.close)


def label_of(model: Model, answer: Answer) -> int:
    """The position of the chosen class, or of the one with the highest score where several or none may be chosen."""
    if answer.chosen and not model.classifier.schema.multi_label:
        return model.classifier.classes.index(answer.chosen[0])
    return int(answer.scores.argmax())


def _check_answers(folder: Path, classifier: Classifier) -> None:
    try:
        found = [answer for call in calls(classifier, WARM_UP) for answer in call.answers()]
    except FloatingPointError as error:
        raise DataError(f"{folder}: {error}; export the run again.") from error
    scores = np.stack([answer.scores for answer in found])
    if not np.isfinite(scores).all() or (scores < 0).any() or (scores > 1).any():
        raise DataError(f"{folder}: scores are not between 0 and 1; export the run again.")


def fingerprint_of(folder: Path) -> tuple[object, ...]:
    """Values that differ if another bundle is in the folder."""
    place = place_of(folder)
    if place is None:
        return ()
    try:
        stat = (place.bundle / MANIFEST).stat()
    except OSError:
        return (str(place.bundle), None)
    return (str(place.bundle), stat.st_mtime_ns, stat.st_ino, stat.st_size)
