"""The training documents of a run: their tags, and their vectors by the encoder before training."""

from collections.abc import Sequence
from dataclasses import dataclass

import datasets
import numpy as np
from numpy.typing import NDArray

from tagsmith.core.schema import Schema, indicators
from tagsmith.model.pretrained_vectors import PretrainedEncoder, folds_of


@dataclass(frozen=True)
class TrainingDocuments:
    """Training documents, in the order of the run.

    Attributes:
        vectors: float32 [documents, hidden].
        truth: int8 [documents, classes], 1 where a document is tagged with a class.
        folds: int64 [documents].
    """

    ids: Sequence[str]
    texts: Sequence[str]
    schema: Schema
    vectors: NDArray[np.float32]
    truth: NDArray[np.int8]
    folds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.truth)

    @classmethod
    def load(
        cls, part: datasets.Dataset, encoder: PretrainedEncoder, schema: Schema, folds: int, seed: int
    ) -> "TrainingDocuments":
        """Compute the vectors of a split, and draw `folds` folds of it."""
        return cls(
            ids=part["id"][:],
            texts=part["text"][:],
            schema=schema,
            vectors=encoder.vectors_of_split("train", part),
            truth=indicators(part["labels"][:], len(schema.classes)),
            folds=folds_of(part, schema, folds, seed),
        )
