"""Named deployments of verified bundles, which are replaced while requests are in flight, and only by valid ones."""

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
from tagsmith.core.errors import DataError, TagsmithError, listing
from tagsmith.core.files import digest, json_object, read_json
from tagsmith.serve.answers import Answer, calls, tokens_of
from tagsmith.serve.batching import Batcher
from tagsmith.serve.problems import RequestError
from tagsmith.serve.store import Place, place_of

log = logging.getLogger("tagsmith.serve")

Observe = Callable[[str, Sequence[str], Sequence[Answer], float], None]
"""Called after each call of the encoder with the deployment, the texts, the answers and the seconds."""

WARM_UP = ("a", "A sentence of some words, as people write them.", "word " * 400, "x")
"""Texts that a model classifies before it serves requests: first calls are slow, and a broken graph is detected."""


class Model:
    """A loaded bundle and the threads that run it.

    Attributes:
        version: the first 12 hex digits of the SHA-256 of the bundle's manifest.
        store_version: its version in the store, such as 0007; None: the deployment names no store.
        run: the run of which it was exported, as the manifest names it; in a store with the version before it.
        trained: when the training of this run started, in ISO 8601; None: the manifest does not say it.
        requests: how many use it; it is closed only after they are answered.
    """

    def __init__(self, name: str, place: Place, settings: ServeSettings, observe: Observe):
        """Load, verify and warm up a bundle. Blocks for a second or more.

        Raises:
            TagsmithError: the bundle cannot be used.
        """
        folder, self.store_version = place.bundle, place.version
        self.version = digest(folder / MANIFEST)[:12] if (folder / MANIFEST).is_file() else ""
        self.classifier = Classifier.load(folder, threads=settings.threads, public_key=settings.public_key)
        manifest: dict[str, Any] = read_json(folder / MANIFEST, json_object, "a manifest", "export the run again")
        self.run: str | None = manifest.get("run")
        if self.run is not None and self.store_version is not None:
            self.run = f"{self.store_version}/{self.run}"
        self.trained: str | None = manifest.get("training", {}).get("started")
        reference = Reference.load(folder / REFERENCE)
        self.production = Production(self.classifier.schema, reference, settings.drift_documents)
        _check_answers(folder, self.classifier)
        self.requests = 0
        self._idle = asyncio.Event()

        def after_call(texts: list[str], found: list[Answer], seconds: float) -> None:
            self.production.add(found)
            observe(name, texts, found, seconds)

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


class Deployment:
    """A name, the folder of its bundle or store, and the model in use.

    Attributes:
        loaded: the model in use; None: the store has no promoted version yet.
        fingerprint: of the folder when the model was loaded.
        refused: whether the bundle now in the folder cannot be used, so that an older one, or none, is in use.
        queue_full: number of requests refused because the queue was full.
    """

    def __init__(self, name: str, folder: Path, loaded: Model | None, fingerprint: tuple[object, ...]):
        self.name, self.folder, self.loaded, self.fingerprint = name, folder, loaded, fingerprint
        self.refused = False
        self.queue_full = 0
        self.lock = asyncio.Lock()

    @property
    def model(self) -> Model:
        """The model in use; see `require`."""
        return self.require()

    def require(self) -> Model:
        """The model in use. Raises: RequestError (503), if there is none yet."""
        if self.loaded is None:
            why = "its first bundle was refused, see the log" if self.refused else "its store has no version yet"
            raise RequestError(503, f"{self.name} serves no bundle: {why}.", headers={"Retry-After": "10"})
        return self.loaded


class Deployments:
    """All deployments of a service; while it runs, used only from its event loop."""

    def __init__(self, settings: ServeSettings, observe: Observe, reloaded: Callable[[str, bool], None]):
        """Load all deployments.

        Raises:
            DataError: bundles cannot be used; all are listed.
            InputMissing: the only problem is one missing bundle.
        """
        self._settings, self._observe, self._reloaded = settings, observe, reloaded
        self._retiring: set[asyncio.Task[None]] = set()
        self.by_name: dict[str, Deployment] = {}
        problems: dict[str, TagsmithError] = {}
        for name, folder in settings.deployments.items():
            path = Path(folder)
            fingerprint = _fingerprint(path)
            try:
                place = place_of(path)
                model = Model(name, place, settings, observe) if place is not None else None
                self.by_name[name] = Deployment(name, path, model, fingerprint)
                if model is None:
                    log.warning("%s: the store %s has no version yet; requests are answered with 503", name, folder)
            except TagsmithError as error:
                problems[name] = error
        if problems:
            for model in self.models:
                model.batcher.close()
            if len(problems) == 1:
                raise next(iter(problems.values()))
            lines = [f"{name}: {error}" for name, error in problems.items()]
            raise DataError(listing("These deployments cannot be served:", lines))

    @property
    def default(self) -> Deployment:
        """`production` if there is one, otherwise the first deployment."""
        return self.by_name.get("production") or next(iter(self.by_name.values()))

    @property
    def models(self) -> list[Model]:
        """The models in use."""
        return [deployment.loaded for deployment in self.by_name.values() if deployment.loaded is not None]

    def require_all(self) -> None:
        """Raises: RequestError (503), if a deployment serves no bundle yet."""
        for deployment in self.by_name.values():
            deployment.require()

    async def reload(self, name: str) -> bool:
        """Load the bundle that is now in the folder, and use it from now on if it is valid; returns whether it is.

        Requests in progress are answered by the previous one.
        """
        deployment = self.by_name[name]
        async with deployment.lock:
            deployment.fingerprint = _fingerprint(deployment.folder)
            old = deployment.loaded
            if (place := place_of(deployment.folder)) is None and old is None:
                log.info("%s: the store has no version yet", name)
                return False
            try:
                if place is None:
                    raise DataError(f"{deployment.folder}: the store names no version in production any more.")
                model = await asyncio.to_thread(Model, name, place, self._settings, self._observe)
            except Exception as error:
                deployment.refused = True
                self._reloaded(name, False)
                # Whether the bundle is broken or there is a bug, the previous bundle stays in use.
                reason = str(error) if isinstance(error, TagsmithError) else type(error).__name__
                stays = f"version {old.version} stays in use" if old is not None else "none is in use"
                log.error("%s: new bundle refused, %s: %s", name, stays, reason)
                return False
            deployment.loaded, deployment.refused = model, False
            if old is not None:
                task = asyncio.create_task(old.retire())
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)
        self._reloaded(name, True)
        if old is None:
            log.info("%s: version %s is now in use, the first one", name, model.version)
            return True
        if model.version == old.version:
            log.info("%s: reloaded version %s, which is unchanged", name, model.version)
        else:
            log.info("%s: version %s is now in use, replacing %s", name, model.version, old.version)
        if model.classifier.schema != old.classifier.schema:
            log.warning("%s: its schema differs from that of the previous version", name)
        return True

    async def reload_all(self) -> None:
        """Reload every deployment, as SIGHUP requests."""
        for name in self.by_name:
            await self.reload(name)

    async def watch(self, seconds: float) -> None:
        """Reload deployments whose link or manifest has changed; runs until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            for name, deployment in self.by_name.items():
                if _fingerprint(deployment.folder) != deployment.fingerprint:
                    await self.reload(name)

    async def close(self) -> None:
        """Answer the requests in progress and end all threads."""
        await asyncio.gather(*self._retiring, *(model.retire() for model in self.models))


def _fingerprint(folder: Path) -> tuple[object, ...]:
    """Values that differ if another bundle is in the folder."""
    place = place_of(folder)
    if place is None:
        return ()
    try:
        stat = (place.bundle / MANIFEST).stat()
    except OSError:
        return (str(place.bundle), None)
    return (str(place.bundle), stat.st_mtime_ns, stat.st_ino, stat.st_size)
