"""Classify chunks of rows, in order, in this process or in several; the results are lines of JSON."""

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
from tagsmith.core.signals import exit_with_parent

WAITING_CHUNKS = 2
"""Chunks that are queued in addition to those in progress, so that no process waits for rows."""


@dataclass(frozen=True, slots=True)
class Lines:
    """The result of a chunk: its rows as lines of JSON in UTF-8, and counts."""

    content: bytes
    classified: int
    errors: int


@dataclass(frozen=True, slots=True)
class Work:
    """How to classify a chunk: the Classifier, pickled if other processes load it, and `batch_tokens` for `decide`."""

    classifier: Classifier | bytes
    batch_tokens: int | None


def lines(classifier: Classifier, rows: list[Row], batch_tokens: int | None) -> Lines:
    """A line for each row: its key with the prediction and the scores, or with its error."""
    good = [i for i, row in enumerate(rows) if row.error is None]
    scores, decisions = classifier.decide([rows[i].text for i in good], batch_tokens)
    predictions = classifier.predictions(scores, decisions)
    found: list[dict[str, Any]] = [{**row.key, "error": row.error} for row in rows]
    names = classifier.classes
    rounded = np.round(scores.astype(np.float64), 6).tolist()
    for i, prediction, values in zip(good, predictions, rounded, strict=True):
        found[i] = {**rows[i].key, **_fields(prediction), "scores": dict(zip(names, values, strict=True))}
    # A key from Parquet may hold values that JSON lacks, such as dates, or a lone surrogate.
    text = "".join(json.dumps(line, ensure_ascii=False, default=str) + "\n" for line in found)
    return Lines(text.encode("utf-8", "backslashreplace"), len(good), len(rows) - len(good))


def _fields(prediction: Prediction) -> dict[str, Any]:
    """The fields of a prediction, without those that the bundle does not support."""
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
    """Each chunk with its lines, in order; only a few chunks are in memory.

    Raises:
        TryAgainLater: a process was killed.
    """
    if isinstance(work.classifier, Classifier):
        for chunk in chunks:
            yield chunk, lines(work.classifier, chunk, work.batch_tokens)
        return
    # Not forked: the threads of onnxruntime and of the tokenizer do not survive a fork.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, context, _start, (work.classifier, cores_each(processes)))
    waiting: deque[tuple[list[Row], Future[Lines]]] = deque()
    try:
        for chunk in chunks:
            waiting.append((chunk, pool.submit(_lines, chunk, work.batch_tokens)))
            if len(waiting) >= processes + WAITING_CHUNKS:
                rows, future = waiting.popleft()
                yield rows, future.result()
        while waiting:
            rows, future = waiting.popleft()
            yield rows, future.result()
    except BrokenProcessPool as error:
        raise TryAgainLater(
            "a process was killed, most likely because the memory ran out; resume with resume=true, and fewer "
            "processes= if memory is short."
        ) from error
    finally:
        if waiting:  # After an interruption, do not wait for chunks that will never be written, as Python does at exit.
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
        # Wait for the pool: at interpreter exit, the thread that stops the processes may end first.
        pool.shutdown(cancel_futures=True)


def cores_each(processes: int) -> int:
    """Cores of this process for each of several worker processes."""
    return max(1, cores() // processes)


_classifier: Classifier | None = None


def _start(classifier: bytes, threads: int) -> None:
    """Initialise a worker process."""
    global _classifier
    _classifier = pickle.loads(classifier)
    # Otherwise the tokenizer of every process uses all cores. It reads this at its first text.
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
    # Ctrl-C reaches all processes of a terminal; the parent stops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent()


def _lines(rows: list[Row], batch_tokens: int | None) -> Lines:
    assert _classifier is not None, "_start runs first"
    return lines(_classifier, rows, batch_tokens)
