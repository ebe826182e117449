"""Requests in flight, gathered into calls of the encoder for the threads that make them (dynamic batching).

While the encoder works, requests gather. A thread that has nothing left to do takes a document of each in turn, the
first first, up to a budget of tokens, so that one of many documents does not keep the others waiting; it tokenises them
together and cuts them, sorted by length, into calls, which all threads make. Each call's documents are answered when it
ends, and what their clients ask next gathers while the others run. Nobody waits for company: a request that finds a
thread idle goes at once.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tagsmith.serve.answers import Answer, Call
from tagsmith.serve.traces import FACTS

log = logging.getLogger("tagsmith.serve")


class QueueFull(Exception):
    """More documents wait than may; try again in `seconds`."""

    def __init__(self, seconds: float):
        super().__init__(f"the queue is full; try again in {seconds:.0f} s")
        self.seconds = seconds


@dataclass(eq=False)
class _Asked:
    """The documents of one request; `future` is done when all are answered, and cancelled when nobody waits.

    Attributes:
        begun: documents that have left the queue.
        queue_seconds: until the first of them went into the encoder.
        encoder_seconds: of all calls in which they were.
        batch_documents: of the largest of these.
    """

    texts: Sequence[str]
    future: "asyncio.Future[list[Answer]]"
    answers: dict[int, Answer]
    begun: int = 0
    asked: float = field(default_factory=time.perf_counter)
    queue_seconds: float | None = None
    encoder_seconds: float = 0.0
    batch_documents: int = 0

    def note(self, started: float, seconds: float, documents: int) -> None:
        """Some of it was in a call of so many documents."""
        if self.queue_seconds is None:
            self.queue_seconds = started - self.asked
        self.encoder_seconds += seconds
        self.batch_documents = max(self.batch_documents, documents)

    def facts(self) -> dict[str, str | int | float]:
        """For the trace of the request."""
        return {
            "tagsmith.documents": len(self.texts),
            "tagsmith.queue_seconds": self.queue_seconds or 0.0,
            "tagsmith.encoder_seconds": self.encoder_seconds,
            "tagsmith.batch_documents": self.batch_documents,
        }


Documents = list[tuple[_Asked, int]]

_Ready = tuple[Documents, Callable[[], list[Answer]]]
"""Some documents, and what answers them."""


class Batcher:
    """A bounded queue of documents and the threads that answer them.

    Args:
        name: of the threads.
        calls: called in a thread with some texts; what runs the encoder on them.
        cost: about how many tokens of a text go through the encoder.
        budget: tokens that leave the queue together; one document may exceed it alone.
        most_waiting: documents; beyond it `ask` refuses.
        threads: that make calls.
        after_call: called in a thread with the texts and answers of each call, and its seconds.
    """

    def __init__(
        self,
        name: str,
        calls: Callable[[list[str]], list[Call]],
        cost: Callable[[str], int],
        budget: int,
        most_waiting: int,
        threads: int = 1,
        after_call: Callable[[list[str], list[Answer], float], None] = lambda texts, answers, seconds: None,
    ):
        self._calls, self._cost, self._after_call = calls, cost, after_call
        self._budget, self._most_waiting = budget, most_waiting
        self._waiting: deque[_Asked] = deque()
        self._documents = 0
        self._ready: deque[_Ready] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._seconds_a_document = 0.01
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
        """About how long what is in the queue takes, and no less than one."""
        return max(1.0, self._documents * self._seconds_a_document)

    async def ask(self, texts: Sequence[str]) -> list[Answer]:
        """Answers in the order of the texts. To cancel this takes back what has not begun.

        Raises:
            QueueFull: so many documents wait that these would be too many.
        """
        if not texts:
            return []
        loop = asyncio.get_running_loop()
        asked = _Asked(texts, loop.create_future(), {})
        with self._changed:
            if self._closed:
                raise RuntimeError("this model has been replaced")
            if self._documents + len(texts) > self._most_waiting:
                raise QueueFull(self.seconds)
            self._waiting.append(asked)
            self._documents += len(texts)
            self._changed.notify()
        try:
            found = await asked.future
        except asyncio.CancelledError:
            with self._changed:
                if asked in self._waiting:
                    self._waiting.remove(asked)
                    self._documents -= len(texts) - asked.begun
                    self.abandoned += len(texts) - asked.begun
            raise
        if (facts := FACTS.get()) is not None:
            facts |= asked.facts()
        return found

    def close(self) -> None:
        """Answer what waits, then end the threads. Blocks."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (ready := self._next()) is not None:
            self._work(*ready)

    def _next(self) -> _Ready | None:
        """What to do next; None: the queue is closed and empty."""
        while True:
            with self._changed:
                while not (self._ready or self._waiting or self._closed):
                    self._changed.wait()
                if self._ready:
                    return self._ready.popleft()
                if not self._waiting:
                    return None
                batch = self._gather()
            # Without the lock: who asks meanwhile needs it.
            ready = self._cut(batch)
            with self._changed:
                self._ready += ready
                self._changed.notify_all()

    def _gather(self) -> Documents:
        """Documents that leave the queue, in turns; the lock is held."""
        batch: Documents = []
        total = 0
        while self._waiting:
            asked = self._waiting[0]
            cost = self._cost(asked.texts[asked.begun])
            if batch and total + cost > self._budget:
                break
            batch.append((asked, asked.begun))
            asked.begun += 1
            self._documents -= 1
            total += cost
            self._waiting.popleft()
            if asked.begun < len(asked.texts):
                self._waiting.append(asked)
        return batch

    def _cut(self, batch: Documents) -> list[_Ready]:
        """The documents as calls; those of a request that cannot be are answered with the error."""
        try:
            calls = self._calls([asked.texts[i] for asked, i in batch])
        except Exception as error:
            requests = _by_request(batch)
            if len(requests) > 1:
                return [ready for own in requests for ready in self._cut(own)]
            self._deliver(batch, error)
            return []
        return [([batch[i] for i in call.documents], call.answers) for call in calls]

    def _work(self, batch: Documents, answers: Callable[[], list[Answer]]) -> None:
        requests = _by_request(batch)
        if all(asked.future.done() for asked, _ in batch):
            with self._changed:
                self.abandoned += sum(asked.future.cancelled() for asked, _ in batch)
            return
        started = time.perf_counter()
        try:
            answered = answers()
        except Exception as error:
            if len(requests) == 1:
                self._deliver(batch, error)
            else:  # What is wrong with one request must not fail those that it travelled with.
                for own in requests:
                    for ready in self._cut(own):
                        self._work(*ready)
            return
        seconds = time.perf_counter() - started
        with self._changed:
            each = seconds / len(batch) / len(self._threads)
            self._seconds_a_document += 0.1 * (each - self._seconds_a_document)
            for (request, _), *_ in requests:
                request.note(started, seconds, len(batch))
        self._deliver(batch, answered)
        try:
            self._after_call([asked.texts[i] for asked, i in batch], answered, seconds)
        except Exception as error:  # Figures are no reason to stop answering.
            log.error("figures of a call failed: %s", type(error).__name__)

    def _deliver(self, batch: Documents, result: list[Answer] | Exception) -> None:
        loop = batch[0][0].future.get_loop()
        try:
            loop.call_soon_threadsafe(_resolve, batch, result)
        except RuntimeError:  # The loop is closed: the service has left, and nobody waits.
            log.warning("%d answers came after the service had left", len(batch))


def _by_request(batch: Documents) -> list[Documents]:
    """The documents of each request."""
    found: dict[_Asked, Documents] = {}
    for asked, i in batch:
        found.setdefault(asked, []).append((asked, i))
    return list(found.values())


def _resolve(batch: Documents, result: list[Answer] | Exception) -> None:
    for n, (asked, i) in enumerate(batch):
        if asked.future.done():
            continue
        if isinstance(result, Exception):
            asked.future.set_exception(result)
            continue
        asked.answers[i] = result[n]
        if len(asked.answers) == len(asked.texts):
            asked.future.set_result([asked.answers[n] for n in range(len(asked.texts))])
