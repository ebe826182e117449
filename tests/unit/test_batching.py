import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from tagsmith.serve.answers import Answer, Call
from tagsmith.serve.batching import Batcher, QueueFull

NOTHING = np.zeros(1, dtype=np.float32)


class Encoder:
    """A fake model that answers with the text itself once `go_on` is set.

    Args:
        together: number of documents in one call.
    """

    def __init__(self, together: int = 100) -> None:
        self.together = together
        self.batches: list[list[str]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def calls(self, texts: list[str]) -> list[Call]:
        if "foreign" in texts:
            raise ValueError("foreign")
        longest_first = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        parts = [longest_first[i : i + self.together] for i in range(0, len(texts), self.together)]
        return [Call(part, lambda part=part: self([texts[i] for i in part])) for part in map(sorted, parts)]

    def __call__(self, texts: list[str]) -> list[Answer]:
        self.batches.append(texts)
        self.begun.set()
        assert self.go_on.wait(10)
        if "poison" in texts:
            raise ValueError("poison")
        return [Answer(NOTHING, NOTHING, (text,), 1.0, False, len(text), 0) for text in texts]


def labels_of(answers: Sequence[Answer]) -> list[str]:
    return [answer.chosen[0] for answer in answers]


async def until_begun(encoder: Encoder) -> None:
    assert await asyncio.to_thread(encoder.begun.wait, 10)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def batcher(encoder: Encoder) -> Batcher:
    return Batcher("test", encoder.calls, len, budget=10, max_waiting=8)


async def busy(encoder: Encoder, batcher: Batcher) -> "asyncio.Task[list[Answer]]":
    first = asyncio.create_task(batcher.classify(["first"]))
    await until_begun(encoder)
    return first


def test_requests_during_a_call_share_the_next_batch_up_to_the_budget(encoder: Encoder, batcher: Batcher) -> None:
    async def run() -> None:
        first = await busy(encoder, batcher)
        others = [asyncio.create_task(batcher.classify(texts)) for texts in (["aaaa", "bbbb"], ["cc"], ["ddd"])]
        await asyncio.sleep(0)
        assert batcher.waiting == 4
        encoder.go_on.set()
        assert labels_of(await first) == ["first"]
        assert [labels_of(found) for found in await asyncio.gather(*others)] == [["aaaa", "bbbb"], ["cc"], ["ddd"]]

    asyncio.run(run())
    # One text of each request in turn: 4 + 2 + 3; the next exceeds the budget of 10.
    assert encoder.batches == [["first"], ["aaaa", "cc", "ddd"], ["bbbb"]]
    batcher.close()


def test_a_request_with_many_documents_does_not_delay_one_with_one(encoder: Encoder, batcher: Batcher) -> None:
    async def run() -> None:
        first = await busy(encoder, batcher)
        many = asyncio.create_task(batcher.classify(["aaaa"] * 7))
        await asyncio.sleep(0)
        one = asyncio.create_task(batcher.classify(["b"]))
        await asyncio.sleep(0)
        assert batcher.waiting == 8
        encoder.go_on.set()
        assert labels_of(await one) == ["b"]
        assert labels_of(await many) == ["aaaa"] * 7
        await first

    asyncio.run(run())
    assert encoder.batches[:2] == [["first"], ["aaaa", "b", "aaaa"]]
    assert batcher.waiting == 0
    batcher.close()


def test_one_text_may_exceed_the_budget_alone(encoder: Encoder, batcher: Batcher) -> None:
    encoder.go_on.set()
    assert labels_of(asyncio.run(batcher.classify(["a" * 50, "b"]))) == ["a" * 50, "b"]
    assert encoder.batches == [["a" * 50], ["b"]]
    assert asyncio.run(batcher.classify([])) == []
    batcher.close()


def test_a_full_queue_refuses_with_a_waiting_time(encoder: Encoder, batcher: Batcher) -> None:
    async def run() -> None:
        first = await busy(encoder, batcher)
        waiting = asyncio.create_task(batcher.classify(["a"] * 7))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull) as refused:
            await batcher.classify(["b", "c"])
        assert refused.value.seconds >= 1
        batcher._seconds_a_document = 2.0
        assert batcher.seconds == 14.0  # 7 documents.
        last = asyncio.create_task(batcher.classify(["b"]))  # There is room for one more.
        await asyncio.sleep(0)
        encoder.go_on.set()
        assert len(await waiting) == 7
        assert labels_of(await last) == ["b"]
        await first

    asyncio.run(run())
    batcher.close()


def test_a_cancelled_request_costs_no_compute(encoder: Encoder, batcher: Batcher) -> None:
    async def run() -> None:
        first = await busy(encoder, batcher)
        gone = asyncio.create_task(batcher.classify(["gone", "too"]))
        stays = asyncio.create_task(batcher.classify(["stays"]))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert batcher.waiting == 1
        encoder.go_on.set()
        assert labels_of(await stays) == ["stays"]
        await first

    asyncio.run(run())
    assert encoder.batches == [["first"], ["stays"]]
    assert batcher.abandoned == 2
    batcher.close()


@pytest.mark.parametrize("wrong", ["poison", "foreign"])  # For the encoder, for the tokenizer.
def test_an_error_in_one_request_does_not_affect_its_batch(encoder: Encoder, batcher: Batcher, wrong: str) -> None:
    async def run() -> None:
        first = await busy(encoder, batcher)
        good, bad = asyncio.create_task(batcher.classify(["g"])), asyncio.create_task(batcher.classify([wrong]))
        await asyncio.sleep(0)
        encoder.go_on.set()
        assert labels_of(await good) == ["g"]
        with pytest.raises(ValueError, match=wrong):
            await bad
        await first

    asyncio.run(run())
    batcher.close()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_calls_run_concurrently_and_each_is_answered_when_it_ends(threads: int) -> None:
    together = threading.Barrier(threads)
    texts = [f"{'a' * n}" for n in range(1, 1 + threads)]

    def meet(text: str) -> list[Answer]:
        together.wait(10)  # Blocks until all threads are in a call.
        return [Answer(NOTHING, NOTHING, (text,), 1.0, False, 0, 0)]

    def calls(given: list[str]) -> list[Call]:
        return [Call([i], lambda text=text: meet(text)) for i, text in enumerate(given)]

    batcher = Batcher("test", calls, len, budget=100, max_waiting=8, threads=threads)
    assert labels_of(asyncio.run(batcher.classify(texts))) == texts
    batcher.close()


def test_a_call_is_answered_while_others_of_its_batch_wait() -> None:
    encoder = Encoder(together=1)
    batcher = Batcher("test", encoder.calls, len, budget=100, max_waiting=8)

    async def run() -> None:
        first = await busy(encoder, batcher)
        short, long = asyncio.create_task(batcher.classify(["s"])), asyncio.create_task(batcher.classify(["long"]))
        await asyncio.sleep(0)
        gate, encoder.go_on = encoder.go_on, threading.Event()
        encoder.begun.clear()
        gate.set()
        assert labels_of(await first) == ["first"]
        await until_begun(encoder)  # The longest is first.
        gate, encoder.go_on = encoder.go_on, threading.Event()
        encoder.begun.clear()
        gate.set()
        assert labels_of(await long) == ["long"]
        await until_begun(encoder)
        assert not short.done()
        encoder.go_on.set()
        assert labels_of(await short) == ["s"]

    asyncio.run(run())
    assert encoder.batches == [["first"], ["long"], ["s"]]
    batcher.close()


def test_a_request_cancelled_after_batching_costs_no_compute() -> None:
    encoder = Encoder(together=1)
    batcher = Batcher("test", encoder.calls, len, budget=100, max_waiting=8)

    async def run() -> None:
        gone = asyncio.create_task(batcher.classify(["gone", "too", "g"]))
        await until_begun(encoder)
        assert batcher.waiting == 0
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        encoder.go_on.set()
        assert labels_of(await batcher.classify(["stays"])) == ["stays"]

    asyncio.run(run())
    assert encoder.batches == [["gone"], ["stays"]]
    assert batcher.abandoned == 2
    batcher.close()


@pytest.mark.parametrize("threads", [1, 4])
def test_many_requests_get_their_own_answers(threads: int) -> None:
    encoder = Encoder(together=3)
    encoder.go_on.set()
    batcher = Batcher("test", encoder.calls, len, budget=40, max_waiting=10_000, threads=threads)
    asked = [[f"{n}.{i}{'x' * ((n * i) % 17)}" for i in range(n % 5 + 1)] for n in range(300)]

    async def run() -> None:
        found = await asyncio.gather(*(batcher.classify(texts) for texts in asked))
        assert [labels_of(answers) for answers in found] == asked

    asyncio.run(run())
    assert sorted(text for batch in encoder.batches for text in batch) == sorted(
        text for texts in asked for text in texts
    )
    assert batcher.waiting == 0
    batcher.close()


def test_waiting_requests_are_answered_before_closing(encoder: Encoder, batcher: Batcher) -> None:
    async def run() -> None:
        first = await busy(encoder, batcher)
        waiting = asyncio.create_task(batcher.classify(["a", "b", "c"]))
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        encoder.go_on.set()
        assert labels_of(await waiting) == ["a", "b", "c"]
        await closing
        await first
        with pytest.raises(RuntimeError, match="replaced"):
            await batcher.classify(["late"])

    asyncio.run(run())
