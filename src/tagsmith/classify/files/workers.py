"""Rows to lines of output, chunk by chunk and in their order, in this process or in several."""

import json
import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

import numpy as np

from tagsmith.classify.classifier import Classifier
from tagsmith.classify.files.inputs import Row
from tagsmith.classify.prediction import Prediction
from tagsmith.core.cores import cores
from tagsmith.core.errors import TryAgainLater
from tagsmith.core.signals import leave_with_parent

AHEAD = 2
"""Chunks that wait beside those that are worked on, so that no process waits for rows."""


@dataclass(frozen=True, slots=True)
class Lines:
    """What came of a chunk: its rows as lines of JSON in UTF-8, counted."""

    content: bytes
    classified: int
    errors: int


@dataclass(frozen=True, slots=True)
class Work:
    """What a chunk goes through: a Classifier, pickled where others load it, and `batch_tokens` of `decide`."""

    classifier: Classifier | bytes
    batch_tokens: int | None


def lines(classifier: Classifier, rows: list[Row], batch_tokens: int | None) -> Lines:
    """A line a row: its key with the decision and the scores, or with what is wrong with it."""
    good = [i for i, row in enumerate(rows) if row.error is None]
    scores, decisions = classifier.decide([rows[i].text for i in good], batch_tokens)
    predictions = classifier.predictions(scores, decisions)
    found: list[dict[str, Any]] = [{**row.key, "error": row.error} for row in rows]
    names = classifier.classes
    rounded = np.round(scores.astype(np.float64), 6).tolist()
    for i, prediction, values in zip(good, predictions, rounded, strict=True):
        found[i] = {**rows[i].key, **_decided(prediction), "scores": dict(zip(names, values, strict=True))}
    # A key may hold what Parquet has and JSON has not, such as a date, or half of a surrogate pair.
    text = "".join(json.dumps(line, ensure_ascii=False, default=str) + "\n" for line in found)
    return Lines(text.encode("utf-8", "backslashreplace"), len(good), len(rows) - len(good))


def _decided(prediction: Prediction) -> dict[str, Any]:
    """What a line says of a prediction; nothing of what the bundle does not know."""
    single = prediction.label is not None
    line: dict[str, Any] = {"label": prediction.label} if single else {"labels": list(prediction.labels)}
    line["to_person"] = prediction.to_person
    if prediction.set is not None:
        line["set"] = list(prediction.set)
    if prediction.out_of_scope is not None:
        line["out_of_scope"] = round(prediction.out_of_scope, 6)
    return line


def in_processes(
    work: Work, chunks: Iterable[list[Row]], processes: int
) -> Generator[tuple[list[Row], Lines], None, None]:
    """Each chunk with its lines, in the order of the chunks; few of them are in memory.

    Raises:
        TryAgainLater: a process was killed.
    """
    if isinstance(work.classifier, Classifier):
        for chunk in chunks:
            yield chunk, lines(work.classifier, chunk, work.batch_tokens)
        return
    # Not forked: threads of onnxruntime and of the tokenizer do not live through that.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, context, _start, (work.classifier, cores_each(processes)))
    waiting: deque[tuple[list[Row], Future[Lines]]] = deque()
    try:
        for chunk in chunks:
            waiting.append((chunk, pool.submit(_lines, chunk, work.batch_tokens)))
            if len(waiting) >= processes + AHEAD:
                rows, future = waiting.popleft()
                yield rows, future.result()
        while waiting:
            rows, future = waiting.popleft()
            yield rows, future.result()
    except BrokenProcessPool as error:
        raise TryAgainLater(
            "a process was killed, most likely for want of memory; resume=true goes on, with fewer processes= where "
            "there is no more memory."
        ) from error
    finally:
        if waiting:  # Who was interrupted does not wait for chunks that nobody will write, as Python would at its end.
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
        # Waited for: an interpreter that ends before the pool may stop the thread that tells the processes so.
        pool.shutdown(cancel_futures=True)


def cores_each(processes: int) -> int:
    """Cores of this process for each of so many."""
    return max(1, cores() // processes)


_classifier: Classifier | None = None


def _start(classifier: bytes, threads: int) -> None:
    """Make a process ready."""
    global _classifier
    _classifier = pickle.loads(classifier)
    # The tokenizer takes all cores otherwise, in every process; it reads this at its first text.
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
    # Ctrl-C reaches all processes of a terminal; the first one tells the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_with_parent()


def _lines(rows: list[Row], batch_tokens: int | None) -> Lines:
    assert _classifier is not None, "_start comes first"
    return lines(_classifier, rows, batch_tokens)
