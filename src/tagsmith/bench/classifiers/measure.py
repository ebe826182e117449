"""Measure one contender, alone in its interpreter: only what it needs is imported."""

import time
from dataclasses import dataclass

from tagsmith.bench import own_process
from tagsmith.bench.classifiers.contenders import CONTENDERS, Task


@dataclass(frozen=True)
class Figures:
    """The time and memory that a contender took.

    Attributes:
        first_answer: seconds from before its imports to its first answer.
        singles: seconds of each call with one short text.
        seconds, processor_seconds: of one call with all documents; the latter over all threads.
        peak_memory: most resident memory of the process, MiB, imports included.
        classes: the most likely class of each document.
    """

    first_answer: float
    singles: list[float]
    seconds: float
    processor_seconds: float
    peak_memory: float
    classes: list[int]


def measure(name: str, task: Task, texts: list[str], short: list[str], calls: int) -> Figures:
    """Load the contender and classify once, then short texts one by one, then all documents in one call."""
    classify = CONTENDERS[name](task)
    classify(short[:1])
    first_answer = time.perf_counter() - own_process.started
    singles = []
    for i in range(calls):
        begun = time.perf_counter()
        classify([short[i % len(short)]])
        singles.append(time.perf_counter() - begun)
    begun, used = time.perf_counter(), time.process_time()
    classes = classify(texts)
    seconds, processor_seconds = time.perf_counter() - begun, time.process_time() - used
    return Figures(first_answer, singles, seconds, processor_seconds, own_process.peak_memory(), classes)
