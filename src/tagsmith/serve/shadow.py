"""A shadow of a deployment: a bundle that gets the same documents, after they are answered and when nobody waits.

Its answers are compared with those that were sent, and never returned. Documents wait for it in a bounded queue; what
does not fit is dropped. One thread classifies them one by one, on one core, where the queues of all deployments have
been empty and their encoders idle for `QUIET_SECONDS`. A request that comes then shares the cores with one document of
the shadow, and finds the caches of the processor full of another model; pauses make that rare.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tagsmith.config.settings import ServeSettings
from tagsmith.core.errors import TagsmithError
from tagsmith.serve.answers import Answer, calls
from tagsmith.serve.loaded import Bundle, fingerprint_of
from tagsmith.serve.store import place_of

log = logging.getLogger("tagsmith.serve")

QUIET_SECONDS = 0.02
"""For so long nobody has waited before a shadow classifies a document."""

PAUSE_SECONDS = 0.005
"""Time between two looks whether anybody waits."""

REST = 40
"""A pause takes at least so many times as long as the document before it, so that at most 1 in 40 requests meets one:
fewer than the 1 in 20 that the 95th percentile leaves out."""


class Agreement:
    """How the answers of a shadow compare with those that were sent.

    Args:
        version: of the bundle whose answers were sent; with another one, the comparison begins anew.
    """

    def __init__(self, version: str, classes: Sequence[str], shadow_classes: Sequence[str]):
        self.version = version
        shared = [name for name in classes if name in shadow_classes]
        self._own, self._others = ([names.index(name) for name in shared] for names in (classes, shadow_classes))
        self.documents = self.equal = 0
        self._difference = 0.0
        self.sent, self.shadow, self.both = Counter[str](), Counter[str](), Counter[str]()

    def add(self, sent: Answer, other: Answer) -> None:
        """Add the two answers about a document."""
        self.documents += 1
        self.equal += set(sent.chosen) == set(other.chosen)
        if self._own:
            self._difference += float(np.abs(sent.scores[self._own] - other.scores[self._others]).mean())
        self.sent.update(sent.chosen)
        self.shadow.update(other.chosen)
        self.both.update(set(sent.chosen) & set(other.chosen))

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: numbers of documents, and how many of them have each class in one, the other and both."""
        count = self.documents
        return {
            "documents": count,
            "equal": round(self.equal / count, 6) if count else None,
            "mean_score_difference": round(self._difference / count, 6) if count and self._own else None,
            "classes": {
                name: {"sent": self.sent[name], "shadow": self.shadow[name], "both": self.both[name]}
                for name in sorted(self.sent | self.shadow)
            },
        }


class Shadow:
    """The shadow of a deployment; see the module.

    Attributes:
        loaded: its bundle; None: its store has no version yet.
        refused: whether the bundle now in its folder cannot be used.
        dropped: documents that did not fit in the queue.
        failed: documents that it could not classify.
    """

    def __init__(self, name: str, folder: Path, settings: ServeSettings, quiet: Callable[[], bool]):
        """Load the bundle and start the thread.

        Raises:
            TagsmithError: the bundle cannot be used.
        """
        self._name, self.folder, self._settings, self._quiet = name, folder, settings, quiet
        self.refused = False
        self.dropped = self.failed = 0
        self.fingerprint = fingerprint_of(folder)
        self.loaded = self._load()
        self._agreement: Agreement | None = None
        self._waiting: deque[tuple[str, Sequence[str], str, Answer]] = deque()
        self._next = 0.0
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"shadow of {name}", daemon=True)
        self._thread.start()

    def _load(self) -> Bundle | None:
        place = place_of(self.folder)
        return Bundle(place, self._settings, threads=1) if place is not None else None

    def offer(self, version: str, classes: Sequence[str], texts: Sequence[str], answers: Sequence[Answer]) -> None:
        """Add answered documents to the queue; those that do not fit are dropped. Does not block."""
        if self.loaded is None:
            return
        with self._changed:
            for text, answer in zip(texts, answers, strict=True):
                if len(self._waiting) >= self._settings.shadow_documents:
                    self.dropped += 1
                else:
                    self._waiting.append((version, classes, text, answer))
            self._changed.notify()

    def reload(self) -> None:
        """Use the bundle that is now in the folder, if it is valid; the comparison begins anew. Blocks."""
        self.fingerprint = fingerprint_of(self.folder)
        try:
            found = self._load()
        except Exception as error:
            self.refused = True
            reason = str(error) if isinstance(error, TagsmithError) else type(error).__name__
            log.error("shadow of %s: new bundle refused: %s", self._name, reason)
            return
        with self._changed:
            self.loaded, self._agreement, self.refused = found, None, False
            self._waiting.clear()
        log.info("shadow of %s: version %s is now in use", self._name, found.version if found is not None else "none")

    def close(self) -> None:
        """End the thread; what waits is dropped. Blocks."""
        self._stop.set()
        with self._changed:
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._stop.is_set()):
                    self._changed.wait()
            while not (self._stop.is_set() or (time.perf_counter() >= self._next and self._quiet())):
                self._stop.wait(PAUSE_SECONDS)
            if self._stop.is_set():
                return
            with self._changed:
                if not self._waiting or self.loaded is None:  # The bundle has been replaced meanwhile.
                    continue
                version, classes, text, answer = self._waiting.popleft()
                bundle = self.loaded
            started = time.perf_counter()
            self._compare(bundle, version, classes, text, answer)
            if self._settings.shadow_seconds:
                ended = time.perf_counter()
                self._next = max(started + self._settings.shadow_seconds, ended + REST * (ended - started))

    def _compare(self, bundle: Bundle, version: str, classes: Sequence[str], text: str, answer: Answer) -> None:
        try:
            (other,) = (found for call in calls(bundle.classifier, [text]) for found in call.answers())
            bundle.production.add([other])
        except Exception as error:  # Whatever is wrong with a candidate, the service goes on.
            self.failed += 1
            if self.failed == 1:
                log.error("shadow of %s: cannot classify a document: %s", self._name, type(error).__name__)
            return
        with self._changed:
            if bundle is not self.loaded:
                return
            if self._agreement is None or self._agreement.version != version:
                self._agreement = Agreement(version, classes, bundle.classifier.classes)
            self._agreement.add(answer, other)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        with self._changed:
            bundle, agreement, waiting = self.loaded, self._agreement, len(self._waiting)
            compared = agreement.as_dict() if agreement is not None else None
        return {
            "version": bundle and bundle.version,
            "store_version": bundle and bundle.store_version,
            "run": bundle and bundle.run,
            "newer_refused": self.refused,
            "compared": compared,
            "waiting": waiting,
            "dropped": self.dropped,
            "failed": self.failed,
            "seen": bundle.production.report().as_dict() if bundle is not None else None,
        }
