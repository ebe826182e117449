"""What a version costs to serve: seconds, measured side by side, and bytes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tagsmith.classify.classifier import Classifier

SINGLES, BATCH = 10, 64
"""Short documents that are asked for one by one, and documents of all lengths that are asked for together."""

ROUNDS, LEAST_ROUNDS, ENOUGH_SECONDS = 7, 3, 20.0
"""Rounds of measurements; fewer, but at least three, where they take long."""

TRIES = 3
"""Measurements before a version is called slow: a machine that does something else is not a slow version."""


@dataclass(frozen=True)
class Seconds:
    """Medians: of a short document by itself, and of a batch."""

    single: float
    batch: float


def side_by_side(
    classifiers: Sequence[Classifier],
    texts: Sequence[str],
    most_ratio: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Seconds]:
    """The time of each classifier for the same documents, measured in turn, so that a busy machine slows all of them.

    Args:
        texts: at least one.
        most_ratio: where the second takes more than so many times the first, the measurement is repeated.
    """
    by_length = sorted(texts, key=len)
    singles = by_length[:SINGLES]
    batch = by_length[:: max(1, len(by_length) // BATCH)][:BATCH]
    for classifier in classifiers:  # The first call of a shape allocates memory.
        classifier.decide(singles[:1])
        classifier.decide(batch)
    taken: list[tuple[list[float], list[float]]] = [([], []) for _ in classifiers]
    for _ in range(TRIES):
        _measure(classifiers, singles, batch, taken, clock)
        found = [Seconds(median(single), median(together)) for single, together in taken]
        if most_ratio is None or slower(found) <= most_ratio:
            break
    return found


def slower(seconds: Sequence[Seconds]) -> float:
    """How many times the first's time the second takes: of a document and of a batch, the larger."""
    first, second = seconds
    return max(second.single / first.single, second.batch / first.batch)


def _measure(
    classifiers: Sequence[Classifier],
    singles: Sequence[str],
    batch: Sequence[str],
    taken: list[tuple[list[float], list[float]]],
    clock: Callable[[], float],
) -> None:
    started = clock()
    for number in range(ROUNDS):
        if number >= LEAST_ROUNDS and clock() - started > ENOUGH_SECONDS:
            return
        turns = [*zip(classifiers, taken, strict=True)]
        if number % 2:
            turns.reverse()
        for texts, place in (*(([text], 0) for text in singles), (batch, 1)):
            for classifier, times in turns:
                before = clock()
                classifier.decide(texts)
                times[place].append(clock() - before)


def bytes_of(folder: Path) -> int:
    """The size of a bundle: of all its files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
