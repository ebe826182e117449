"""Vectors of a run's documents by its encoder before training, and out-of-fold regressions on them.

A fine-tuned encoder knows the tags of its training documents; the pretrained one does not. Statements about training
documents (which tags look wrong, whether more documents would help) therefore come from regressions on its vectors.
"""

import logging
from dataclasses import replace
from typing import Any

import datasets
import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from tagsmith.config.settings import CacheSettings, DataSettings
from tagsmith.core.files import atomic_path
from tagsmith.core.progress import meter
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, indicators
from tagsmith.data.split import draw_folds
from tagsmith.model.loaded_model import load_pretrained
from tagsmith.model.probe import fit_head, probe_c
from tagsmith.model.recorded_settings import recorded_settings
from tagsmith.model.score import score
from tagsmith.tokens.encoding_spec import EncodingSpec

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]


class PretrainedEncoder:
    """The encoder that a run started from, with the run's window rule."""

    def __init__(self, run: RunFolder, batch_tokens: int, cache: CacheSettings, accelerator: Accelerator):
        """Load the encoder.

        Raises:
            InputMissing: it is no longer where the run loaded it from.
            DataError: `settings.json` of the run is damaged.
        """
        settings = recorded_settings(run).model
        recorded = EncodingSpec.load(run.model / "reading.json")
        fresh = load_pretrained(settings, DataSettings(), Schema.load(run.schema), recorded.threshold)
        self._model = replace(fresh, encoding=replace(fresh.encoding, rule=recorded.rule))
        self._model.classifier.to(accelerator.device).eval()
        self._run, self._batch_tokens, self._cache, self._accelerator = run, batch_tokens, cache, accelerator

    def vectors(self, what: str, texts: Any) -> Floats:
        """Vectors of documents, named `what` in logs: float32 [documents, hidden], each with mean 0 and variance 1."""
        encoded = self._model.encode_cached(self._cache, what, texts)
        return score(
            self._model.classifier.features, encoded, self._batch_tokens, self._accelerator, f"embedding {what}"
        )

    def vectors_of_split(self, name: str, part: datasets.Dataset) -> Floats:
        """As `vectors`, of a split of the run, which keeps them for later commands: rounded to half precision."""
        path = self._run.vectors / f"{name}.npy"
        if path.is_file():
            try:
                kept = np.load(path)
                if len(kept) == len(part):
                    return np.asarray(kept, dtype=np.float32)
            except (OSError, ValueError):
                log.warning(f"{path}: cannot be read; computing it again.")
        found = self.vectors(name, part["text"])
        save_vectors(self._run, name, found)
        return found.astype(np.float16).astype(np.float32)


def save_vectors(run: RunFolder, name: str, vectors: Floats) -> None:
    """Save the pretrained encoder's vectors of a split in the run, in half precision, for `vectors_of_split`."""
    run.vectors.mkdir(exist_ok=True)
    with atomic_path(run.vectors / f"{name}.npy") as beside, beside.open("wb") as file:
        np.save(file, vectors.astype(np.float16))


def folds_of(part: datasets.Dataset, schema: Schema, folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each document of a split, int64 [documents]; see `data.split.draw_folds`."""
    truth = indicators(part["labels"][:], len(schema.classes))
    groups = part["group"][:] if "group" in part.column_names else [None] * len(part)
    return draw_folds(part["text"], groups, truth, folds, seed)


def out_of_fold(
    vectors: Floats, truth: NDArray[np.int8], folds: NDArray[np.int64], multi_label: bool, c: float | None = None
) -> Floats:
    """Logits float32 [documents, classes], each of a regression on the documents of all folds but its own.

    Args:
        vectors: float32 [documents, hidden], of a `PretrainedEncoder`.
        truth: int8 [documents, classes].
        folds: int64 [documents].
        c: inverse regularisation, see `probe.fit_head`; None: as of `probe.probe_c`.
    """
    logits = np.empty(truth.shape, dtype=np.float32)
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise ValueError("expected at least two folds")
    with meter("regressions", len(numbers), "folds") as progress:
        for fold in numbers:
            inside, held_out = folds != fold, folds == fold
            weights, bias = fit_head(vectors[inside], truth[inside], multi_label, c or probe_c(multi_label))
            logits[held_out] = vectors[held_out] @ weights.T + bias
            progress.advance(1)
    return logits
