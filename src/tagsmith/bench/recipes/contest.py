"""What a contender receives and returns, the same for all of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.bench.own_process import peak_memory
from tagsmith.config.settings import TrainRun
from tagsmith.core.schema import Schema


@dataclass(frozen=True)
class Contest:
    """One training set for one contender.

    Attributes:
        settings: settings of a Tagsmith run; other contenders take the encoder, its longest input, the number format,
            the threshold and the seed from them. `settings.run` is a temporary folder.
        train, test: files that `training_sets.prepare` wrote.
    """

    contender: str
    settings: TrainRun
    schema: Schema
    train: Path
    test: Path


@dataclass(frozen=True)
class Outcome:
    """The cost and quality of a contender.

    Attributes:
        seconds: from the files of the documents to the predictions of all test documents: reading, loading the
            encoder, tokenising, training, predicting. Imports are not counted. Tagsmith's own contenders also check
            the documents and write a run, its figures and its predictions within their seconds.
        tokens: tokens through the encoder in training, over all epochs, with special tokens and without padding; None
            where there is no encoder.
        padded: the same with padding.
        peak_memory: most resident memory of the process, in MiB, with imports, without the memory of a GPU.
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
    """The contender's library is missing or incompatible with other installed ones; the message names it."""


def outcome(
    seconds: float,
    tokens: int | None,
    padded: int | None,
    predicted: NDArray[np.int8],
    truth: NDArray[np.int8],
    schema: Schema,
) -> Outcome:
    """The outcome of predicted and true classes, both int8 [documents, classes]."""
    peak = peak_memory()
    # Imported after the peak was read, so that contenders are not charged for the memory of this import.
    from tagsmith.decision.metrics import figures

    found = figures(predicted.astype(np.float32), truth, list(schema.classes), schema.multi_label, 0.5)
    return outcome_of_figures(seconds, tokens, padded, peak, found)


def outcome_of_figures(
    seconds: float, tokens: int | None, padded: int | None, peak: float, figures: dict[str, Any]
) -> Outcome:
    """The outcome of figures as `metrics.figures` returns them."""
    micro, macro = figures["micro"]["f1"], figures["macro"]["f1"]
    return Outcome(seconds, tokens, padded, peak, figures["accuracy"], micro, macro)
