"""Whether a document belongs to any of the classes: the distance of its vector to the nearest training document.

Sun et al., Out-of-Distribution Detection with Deep Nearest Neighbors, arXiv 2204.06507. It needs neither classes nor a
covariance, so it suits multi-label documents and small data; README.md compares it with other measures.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.errors import DataError

Floats = NDArray[np.float32]


def unit_rows(vectors: Floats) -> Floats:
    """The vectors scaled to length 1, float32 [documents, hidden]."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


@dataclass(frozen=True)
class Scope:
    """Training documents to measure distances to, and the limit of distance.

    Attributes:
        references: float32 [documents, hidden], rows of length 1.
        limit: distance beyond which a document is out of scope.
    """

    references: Floats
    limit: float

    def distances(self, vectors: Floats) -> Floats:
        """1 - cosine to the nearest reference, from 0 to 2, float32 [documents]; vectors [documents, hidden]."""
        return np.asarray(1 - nearest_cosine(vectors, self.references), dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write the references, in half precision."""
        with path.open("wb") as file:
            np.save(file, self.references.astype(np.float16))

    @classmethod
    def load(cls, path: Path, limit: float) -> "Scope":
        """Raises: DataError if `save` did not write the file."""
        try:
            references = np.load(path, allow_pickle=False)
            problem = None if references.ndim == 2 and len(references) and references.dtype == np.float16 else "others"
        except (OSError, ValueError, EOFError) as error:
            problem = repr(error)
        if problem:
            raise DataError(f"{path}: expected half-precision vectors of training documents, found {problem}.")
        return cls(references.astype(np.float32), limit)


def nearest_cosine(vectors: Floats, references: Floats, block: int = 1024) -> Floats:
    """The cosine to the nearest of `references` (of length 1), float32 [documents]."""
    found = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), block):
        found[start : start + block] = (unit_rows(vectors[start : start + block]) @ references.T).max(axis=1)
    return found
