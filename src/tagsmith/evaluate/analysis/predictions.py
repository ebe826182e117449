"""The lines of `predictions.jsonl`, one per document, as arrays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.errors import DataError
from tagsmith.core.files import read_json_lines
from tagsmith.core.schema import Schema, indicators_of_names


@dataclass(frozen=True)
class Predictions:
    """The lines of a `predictions.jsonl`.

    Attributes:
        rows: the lines as they are.
        truth, predicted: int8 [documents, classes].
        scores: float32 [documents, classes].
    """

    rows: list[dict[str, Any]]
    truth: NDArray[np.int8]
    predicted: NDArray[np.int8]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def texts(self) -> list[str]:
        return [row["text"] for row in self.rows]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """bool [documents], whether the predicted classes are not exactly those of the document."""
        different: NDArray[np.bool_] = (self.truth != self.predicted).any(axis=1)
        return different


EXPECTED, REMEDY = "a line a document", "evaluate the run again"


def read_predictions(path: Path, schema: Schema) -> Predictions:
    """Read the predictions of an evaluation.

    Raises:
        DataError: the file is missing or damaged.
    """
    return as_predictions(list(read_json_lines(path, REMEDY)), schema, path)


def as_predictions(rows: list[dict[str, Any]], schema: Schema, path: Path) -> Predictions:
    """Lines of a `predictions.jsonl`, read from `path`, as arrays with the classes in the schema's order.

    Raises:
        DataError: a line is not a prediction.
    """
    try:
        truth, predicted = (
            indicators_of_names([row[name] for row in rows], schema.classes) for name in ("labels", "predicted")
        )
        scores = np.asarray([[row["scores"][name] for name in schema.classes] for row in rows], dtype=np.float32)
        if not all(isinstance(row["id"], str) and isinstance(row["text"], str) for row in rows):
            raise TypeError("an id or a text that is none")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: expected {EXPECTED}, found {error!r}; {REMEDY}.") from error
    return Predictions(rows, truth, predicted, scores.reshape(len(rows), len(schema.classes)))
