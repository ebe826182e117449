"""What a contender is given and what it gives back, and what is counted, for all of them alike."""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.config.settings import TrainRun
from tagsmith.core.schema import Schema


@dataclass(frozen=True)
class Contest:
    """One training set for one contender.

    Attributes:
        settings: those of a run of Tagsmith; the others take the encoder, its longest input, the number format, the
            threshold and the seed from them. `settings.run` is a folder that nobody keeps.
        train, test: files that `documents.prepare` wrote.
    """

    contender: str
    settings: TrainRun
    schema: Schema
    train: Path
    test: Path


@dataclass(frozen=True)
class Outcome:
    """What a contender took and reached.

    Attributes:
        seconds: from the files of the documents to the predictions of all test documents: reading, loading the
            encoder, tokenising, training, predicting. Imports are not counted. Tagsmith's own contenders also check
            the documents and write a run, its figures and its predictions within their seconds.
        tokens: that went through the encoder for training, in all epochs, special tokens included and padding not;
            None where there is no encoder.
        padded: the same with padding.
        peak_memory: most resident memory of the process, in MiB, imports included, memory of a GPU not.
        accuracy: share of the test documents; multi-label: the exact match.
    """

    seconds: float
    tokens: int | None
    padded: int | None
    peak_memory: float
    accuracy: float
    micro_f1: float
    macro_f1: float


class NotInstalled(Exception):
    """The contender's library is not there, or does not fit the other ones that are; says what is missing."""


def peak_memory() -> float:
    """Most resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def outcome(
    seconds: float,
    tokens: int | None,
    padded: int | None,
    predicted: NDArray[np.int8],
    truth: NDArray[np.int8],
    schema: Schema,
) -> Outcome:
    """The outcome of predicted classes against the true ones, both int8 [documents, classes]."""
    peak = peak_memory()
    # Imported after the peak was read: a contender without torch is not charged with what figures need.
    from tagsmith.decision.metrics import figures

    found = figures(predicted.astype(np.float32), truth, list(schema.classes), schema.multi_label, 0.5)
    return outcome_of_figures(seconds, tokens, padded, peak, found)


def outcome_of_figures(
    seconds: float, tokens: int | None, padded: int | None, peak: float, figures: dict[str, Any]
) -> Outcome:
    """The outcome of figures as `metrics.figures` gives them."""
    return Outcome(
        seconds, tokens, padded, peak, figures["accuracy"], figures["micro"]["f1"], figures["macro"]["f1"]
    )  # fmt: skip
