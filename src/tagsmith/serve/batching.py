"""Dynamic batching: requests in flight are combined into calls of the encoder.

Requests queue up while the encoder works. A thread that becomes idle takes one document of each request in turn, the
oldest first, up to a budget of tokens, so that a request with many documents does not block the others. It tokenises
these documents together and divides them, sorted by length, into calls, which all threads share. The documents of a
call are answered when it ends, while the next requests of their clients queue up. No request waits for a batch to fill:
an idle thread takes it immediately.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tagsmith.serve.answers import Answer, Call
from tagsmith.serve.traces import SPAN_ATTRIBUTES

log = logging.getLogger("tagsmith.serve")


class QueueFull(Exception):
    """The queue has no room for these documents; try again in `seconds`."""

    def __init__(self, seconds: float):
        super().__init__(f"the queue is full; try again in {seconds:.0f} s")
        self.seconds = seconds


@dataclass(eq=False)
class _Request:
    """The documents of one request; `future` is done when all are answered, and cancelled if the client disconnects.

    Attributes:
        taken: documents that have left the queue.
        submitted: time of submission, as of `time.perf_counter`.
        queue_seconds: time until the first of them entered the encoder.
        encoder_seconds: total time of the calls that included any of them.
        batch_documents: size of the largest of these calls.
    """

    texts: Sequence[str]
    future: "asyncio.Future[list[Answer]]"
    answers: dict[int, Answer]
    taken: int = 0
    submitted: float = field(default_factory=time.perf_counter)
    queue_seconds: float | None = None
    encoder_seconds: float = 0.0
    batch_documents: int = 0

    def record_call(self, started: float, seconds: float, documents: int) -> None:
        """Record a call that included documents of this request."""
        if self.queue_seconds is None:
            self.queue_seconds = started - self.submitted
        self.encoder_seconds += seconds
        self.batch_documents = max(self.batch_documents, documents)

    def span_attributes(self) -> dict[str, str | int | float]:
        """Attributes for the trace of the request."""
        return {
            "tagsmith.documents": len(self.texts),
            "tagsmith.queue_seconds": self.queue_seconds or 0.0,
            "tagsmith.encoder_seconds": self.encoder_seconds,
            "tagsmith.batch_documents": self.batch_documents,
        }


Documents = list[tuple[_Request, int]]
"""Requests, and positions of documents in them."""

_Ready = tuple[Documents, Callable[[], list[Answer]]]
"""The documents of a call, and the function that makes it."""


class Batcher:
    """A bounded queue of documents and the threads that answer them.

    Args:
        name: name of the threads.
        calls: divides texts into calls of the encoder; called in a thread.
        cost: estimates how many tokens of a text go through the encoder.
        budget: tokens that leave the queue together; a single document may exceed it.
        max_waiting: limit on the documents in the queue; beyond it `classify` raises.
        threads: number of threads that make calls.
        after_call: called in a thread with the texts, the answers and the seconds of each call.
    """

    def __init__(
        self,
        name: str,
        calls: Callable[[list[str]], list[Call]],
        cost: Callable[[str], int],
        budget: int,
        max_waiting: int,
        threads: int = 1,
        after_call: Callable[[list[str], list[Answer], float], None] = lambda texts, answers, seconds: None,
    ):
        self._calls, self._cost, self._after_call = calls, cost, after_call
        self._budget, self._max_waiting = budget, max_waiting
        self._waiting: deque[_Request] = deque()
        self._documents = 0
        self._ready: deque[_Ready] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._seconds_a_document = 0.01
        self._working = 0
        self._ended = 0.0
        self.abandoned = 0
        self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Documents in the queue."""
        return self._documents

    @property
    def seconds(self) -> float:
        """An estimate of the time that the queue takes, at least one second."""
        return max(1.0, self._documents * self._seconds_a_document)

    def quiet(self, seconds: float) -> bool:
        """Whether no document has waited, nor been in the encoder, for so long."""
        with self._changed:
            busy = self._working or self._documents or self._ready
            return not busy and time.perf_counter() - self._ended >= seconds

    async def classify(self, texts: Sequence[str]) -> list[Answer]:
        """Answers in the order of the texts. Cancelling removes documents from the queue that are still in it.

        Raises:
            QueueFull: the queue has no room for these documents.
        """
        if not texts:
            return []
        loop = asyncio.get_running_loop()
        request = _Request(texts, loop.create_future(), {})
        with self._changed:
            if self._closed:
                raise RuntimeError("the model has been replaced")
            if self._documents + len(texts) > self._max_waiting:
                raise QueueFull(self.seconds)
            self._waiting.append(request)
            self._documents += len(texts)
            self._changed.notify()
        try:
            answers = await request.future
        except asyncio.CancelledError:
            with self._changed:
                if request in self._waiting:
                    self._waiting.remove(request)
                    self._documents -= len(texts) - request.taken
                    self.abandoned += len(texts) - request.taken
            raise
        if (attributes := SPAN_ATTRIBUTES.get()) is not None:
            attributes |= request.span_attributes()
        return answers

    def close(self) -> None:
        """Answer the requests in the queue, then end the threads. Blocks."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (ready := self._next()) is not None:
            self._make_call(*ready)
            with self._changed:
                self._working -= 1
                self._ended = time.perf_counter()

    def _next(self) -> _Ready | None:
        """The next call; None: the queue is closed and empty."""
        while True:
            with self._changed:
                while not (self._ready or self._waiting or self._closed):
                    self._changed.wait()
                if not (self._ready or self._waiting):
                    return None
                self._working += 1
                if self._ready:
                    return self._ready.popleft()
                batch = self._take()
            # Without the lock, which new requests need meanwhile.
            ready = self._divide(batch)
            with self._changed:
                self._working -= 1
                self._ready += ready
                self._changed.notify_all()

    def _take(self) -> Documents:
        """Take documents from the queue, one of each request in turn; the caller holds the lock."""
        batch: Documents = []
        total = 0
        while self._waiting:
            request = self._waiting[0]
            cost = self._cost(request.texts[request.taken])
            if batch and total + cost > self._budget:
                break
            batch.append((request, request.taken))
            request.taken += 1
            self._documents -= 1
            total += cost
            self._waiting.popleft()
            if request.taken < len(request.texts):
                self._waiting.append(request)
        return batch

    def _divide(self, batch: Documents) -> list[_Ready]:
        """Divide documents into calls; if that fails for a request, it is answered with the error."""
        try:
            calls = self._calls([request.texts[i] for request, i in batch])
        except Exception as error:
            requests = _by_request(batch)
            if len(requests) > 1:
                return [ready for own in requests for ready in self._divide(own)]
            self._deliver(batch, error)
            return []
        return [([batch[i] for i in call.documents], call.answers) for call in calls]

    def _make_call(self, batch: Documents, answers: Callable[[], list[Answer]]) -> None:
        requests = _by_request(batch)
        if all(request.future.done() for request, _ in batch):
            with self._changed:
                self.abandoned += sum(request.future.cancelled() for request, _ in batch)
            return
        started = time.perf_counter()
        try:
            found = answers()
        except Exception as error:
            if len(requests) == 1:
                self._deliver(batch, error)
            else:  # An error in one request must not fail the others in its batch.
                for own in requests:
                    for ready in self._divide(own):
                        self._make_call(*ready)
            return
        seconds = time.perf_counter() - started
        with self._changed:
            each = seconds / len(batch) / len(self._threads)
            self._seconds_a_document += 0.1 * (each - self._seconds_a_document)
            for (request, _), *_ in requests:
                request.record_call(started, seconds, len(batch))
        self._deliver(batch, found)
        try:
            self._after_call([request.texts[i] for request, i in batch], found, seconds)
        except Exception as error:  # The service keeps answering without metrics.
            log.error("cannot record the metrics of a call: %s", type(error).__name__)

    def _deliver(self, batch: Documents, result: list[Answer] | Exception) -> None:
        loop = batch[0][0].future.get_loop()
        try:
            loop.call_soon_threadsafe(_resolve, batch, result)
        except RuntimeError:  # The loop is closed: the service has stopped.
            log.warning("dropped %d answers, since the service has stopped", len(batch))


def _by_request(batch: Documents) -> list[Documents]:
    """The documents of each request."""
    found: dict[_Request, Documents] = {}
    for request, i in batch:
        found.setdefault(request, []).append((request, i))
    return list(found.values())


def _resolve(batch: Documents, result: list[Answer] | Exception) -> None:
    for n, (request, i) in enumerate(batch):
        if request.future.done():
            continue
        if isinstance(result, Exception):
            request.future.set_exception(result)
            continue
        request.answers[i] = result[n]
        if len(request.answers) == len(request.texts):
            request.future.set_result([request.answers[n] for n in range(len(request.texts))])
