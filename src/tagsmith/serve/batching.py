"""Requests in flight, gathered into batches for one thread that runs the encoder (dynamic batching).

While a batch is in the encoder, requests gather; the next batch takes a document of each in turn, the first first, up
to a budget of tokens, so that one of many documents does not keep the others waiting. Nobody waits for company: a
request that finds the encoder idle goes at once.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tagsmith.serve.answers import Answer
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
        encoder_seconds: of all batches in which they were.
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

    def facts(self) -> dict[str, str | int | float]:
        """For the trace of the request."""
        return {
            "tagsmith.documents": len(self.texts),
            "tagsmith.queue_seconds": self.queue_seconds or 0.0,
            "tagsmith.encoder_seconds": self.encoder_seconds,
            "tagsmith.batch_documents": self.batch_documents,
        }


Documents = list[tuple[_Asked, int]]


class Batcher:
    """A bounded queue of documents and the one thread that answers them.

    Args:
        name: of the thread.
        answer: called in the thread with some texts.
        cost: about how many tokens of a text go through the encoder.
        budget: tokens of a batch; one document may exceed it alone.
        most_waiting: documents; beyond it `ask` refuses.
        after_batch: called in the thread with the texts and answers of each batch, and its seconds.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[list[str]], list[Answer]],
        cost: Callable[[str], int],
        budget: int,
        most_waiting: int,
        after_batch: Callable[[list[str], list[Answer], float], None] = lambda texts, answers, seconds: None,
    ):
        self._answer, self._cost, self._after_batch = answer, cost, after_batch
        self._budget, self._most_waiting = budget, most_waiting
        self._waiting: deque[_Asked] = deque()
        self._documents = 0
        self._changed = threading.Condition()
        self._closed = False
        self._seconds_a_document = 0.01
        self.abandoned = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Documents in the queue."""
        return self._documents

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
                raise QueueFull(max(1.0, self._documents * self._seconds_a_document))
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
        """Answer what waits, then end the thread. Blocks."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._gather():
            self._work(batch)

    def _gather(self) -> Documents:
        """The documents of the next batch; none: the queue is closed and empty."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return []
                self._changed.wait()
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

    def _work(self, batch: Documents) -> None:
        started = time.perf_counter()
        texts = [asked.texts[i] for asked, i in batch]
        requests = list(dict.fromkeys(asked for asked, _ in batch))
        for request in requests:
            if request.queue_seconds is None:
                request.queue_seconds = started - request.asked
        try:
            answered = self._answer(texts)
        except Exception as error:
            if len(requests) == 1:
                self._deliver(batch, error)
            else:  # What is wrong with one request must not fail those that it travelled with.
                for request in requests:
                    self._work([entry for entry in batch if entry[0] is request])
            return
        seconds = time.perf_counter() - started
        self._seconds_a_document += 0.1 * (seconds / len(batch) - self._seconds_a_document)
        for request in requests:
            request.encoder_seconds += seconds
            request.batch_documents = max(request.batch_documents, len(batch))
        self._deliver(batch, answered)
        try:
            self._after_batch(texts, answered, seconds)
        except Exception as error:  # Figures are no reason to stop answering.
            log.error("figures of a batch failed: %s", type(error).__name__)

    def _deliver(self, batch: Documents, result: list[Answer] | Exception) -> None:
        loop = batch[0][0].future.get_loop()
        try:
            loop.call_soon_threadsafe(_resolve, batch, result)
        except RuntimeError:  # The loop is closed: the service has left, and nobody waits.
            log.warning("%d answers came after the service had left", len(batch))


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
