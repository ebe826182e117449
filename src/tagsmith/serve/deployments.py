"""Named deployments: each a checked, warmed bundle; replaced while requests are in flight, and only by a good one."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tagsmith.classify.bundle.contents import MANIFEST, REFERENCE
from tagsmith.classify.bundle.reference import Reference
from tagsmith.classify.classifier import Classifier
from tagsmith.config.settings import ServeSettings
from tagsmith.core.errors import DataError, TagsmithError, listing
from tagsmith.core.files import digest
from tagsmith.serve.answers import Answer, calls, tokens_of
from tagsmith.serve.batching import Batcher
from tagsmith.serve.drift import Drift

log = logging.getLogger("tagsmith.serve")

Observe = Callable[[str, Sequence[str], Sequence[Answer], float], None]
"""Called after each call of the encoder with the deployment, the texts, the answers and the seconds."""

WARM_UP = ("a", "A sentence of some words, as people write them.", "word " * 400, "x")
"""What a model answers before it takes traffic: the first call of a shape is slow, and a broken graph shows."""


class Model:
    """A loaded bundle and the threads that run it.

    Attributes:
        version: the first 12 hex digits of the SHA-256 of the bundle's manifest.
        requests: how many hold it; it is not closed before they are answered.
    """

    def __init__(self, name: str, folder: Path, settings: ServeSettings, observe: Observe):
        """Load, check and warm a bundle. Blocks for a second or more.

        Raises:
            TagsmithError: the bundle cannot be used, and why.
        """
        self.version = digest(folder / MANIFEST)[:12] if (folder / MANIFEST).is_file() else ""
        self.classifier = Classifier.load(folder, threads=settings.threads, public_key=settings.public_key)
        reference = Reference.load(folder / REFERENCE)
        self.drift = Drift(reference, settings.drift_documents) if reference is not None else None
        _check_answers(folder, self.classifier)
        self.requests = 0
        self._idle = asyncio.Event()

        def after_call(texts: list[str], found: list[Answer], seconds: float) -> None:
            if self.drift is not None:
                self.drift.add(found)
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
    def held(self) -> Iterator["Model"]:
        """Keep the model open while the block runs, whatever takes its place meanwhile."""
        self.requests += 1
        self._idle.clear()
        try:
            yield self
        finally:
            self.requests -= 1
            if not self.requests:
                self._idle.set()

    async def retire(self) -> None:
        """Wait for the requests that hold it, then end its threads."""
        while self.requests:
            await self._idle.wait()
        await asyncio.to_thread(self.batcher.close)


def _check_answers(folder: Path, classifier: Classifier) -> None:
    try:
        found = [answer for call in calls(classifier, WARM_UP) for answer in call.answers()]
    except FloatingPointError as error:
        raise DataError(f"{folder}: gives {error}; export the run again.") from error
    scores = np.stack([answer.scores for answer in found])
    if not np.isfinite(scores).all() or (scores < 0).any() or (scores > 1).any():
        raise DataError(f"{folder}: gives scores that are not between 0 and 1; export the run again.")


class Deployment:
    """A name, the place of its bundle, and the model that answers now.

    Attributes:
        refused: whether the last bundle that lay there could not be used, so that an older one answers.
    """

    def __init__(self, name: str, place: Path, model: Model, seen: tuple[object, ...]):
        self.name, self.place, self.model, self.seen = name, place, model, seen
        self.refused = False
        self.lock = asyncio.Lock()


class Deployments:
    """All deployments of a service; used from its event loop alone, once it runs."""

    def __init__(self, settings: ServeSettings, observe: Observe, reloaded: Callable[[str, bool], None]):
        """Load all of them.

        Raises:
            DataError: bundles that cannot be used; all are listed.
            InputMissing: the same, where all that is wrong is that one is not there.
        """
        self._settings, self._observe, self._reloaded = settings, observe, reloaded
        self._retiring: set[asyncio.Task[None]] = set()
        self.by_name: dict[str, Deployment] = {}
        problems: dict[str, TagsmithError] = {}
        for name, folder in settings.deployments.items():
            place = Path(folder)
            seen = _look(place)
            try:
                self.by_name[name] = Deployment(name, place, Model(name, place.resolve(), settings, observe), seen)
            except TagsmithError as error:
                problems[name] = error
        if problems:
            for deployment in self.by_name.values():
                deployment.model.batcher.close()
            if len(problems) == 1:
                raise next(iter(problems.values()))
            lines = [f"{name}: {error}" for name, error in problems.items()]
            raise DataError(listing("These deployments cannot be served:", lines))

    @property
    def default(self) -> Deployment:
        """`production`, or the only one, or the first."""
        return self.by_name.get("production") or next(iter(self.by_name.values()))

    async def reload(self, name: str) -> bool:
        """Load the bundle that lies at the place now, and let it answer from now on if it is good.

        Requests that the old one has taken are answered by it.
        """
        deployment = self.by_name[name]
        async with deployment.lock:
            deployment.seen = _look(deployment.place)
            try:
                model = await asyncio.to_thread(Model, name, deployment.place.resolve(), self._settings, self._observe)
            except Exception as error:
                deployment.refused = True
                self._reloaded(name, False)
                # A bug as well as a broken bundle: the old one goes on in both cases.
                told = str(error) if isinstance(error, TagsmithError) else type(error).__name__
                version = deployment.model.version
                log.error("%s: the new bundle is refused, version %s goes on: %s", name, version, told)
                return False
            old, deployment.model, deployment.refused = deployment.model, model, False
            task = asyncio.create_task(old.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        self._reloaded(name, True)
        if model.version == old.version:
            log.info("%s: version %s lies there still, and was loaded again", name, model.version)
        else:
            log.info("%s: version %s answers from now on, before it %s", name, model.version, old.version)
        if model.classifier.schema != old.classifier.schema:
            log.warning("%s: its classes are not those of the version before", name)
        return True

    async def reload_all(self) -> None:
        """What SIGHUP asks for."""
        for name in self.by_name:
            await self.reload(name)

    async def watch(self, seconds: float) -> None:
        """Reload what has changed, for ever: a link that points elsewhere, or another manifest in its place."""
        while True:
            await asyncio.sleep(seconds)
            for name, deployment in self.by_name.items():
                if _look(deployment.place) != deployment.seen:
                    await self.reload(name)

    async def close(self) -> None:
        """Answer what waits and end all threads."""
        await asyncio.gather(*self._retiring, *(d.model.retire() for d in self.by_name.values()))


def _look(place: Path) -> tuple[object, ...]:
    """What differs when another bundle lies at the place."""
    folder = place.resolve()
    try:
        stat = (folder / MANIFEST).stat()
    except OSError:
        return (str(folder), None)
    return (str(folder), stat.st_mtime_ns, stat.st_ino, stat.st_size)
