"""Logits of documents that the model has not seen: those of a validation split, or of training documents by folds."""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from tagsmith.config.settings import HeldOutFrom, TrainRun, TrainSettings
from tagsmith.core.errors import DataError, Interrupted
from tagsmith.core.files import json_text, write_json, write_lines, written_beside
from tagsmith.core.progress import meter
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.decision.scope import nearest_cosine, unit_rows
from tagsmith.model.pretrained_vectors import out_of_fold
from tagsmith.model.probe import draw_documents
from tagsmith.model.processes import from_main
from tagsmith.model.score import Encoded, logits_and_vectors
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.train.fit import fit_fold
from tagsmith.train.loop import TaggedSplit

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class HeldOut:
    """What a model says of documents that it has not seen.

    Attributes:
        source: what they are.
        ids: of the documents.
        truth: int8 [documents, classes].
        logits: float32 [documents, classes].
        distances: float32 [documents], to the nearest document that the model was trained on, see `scope`.
    """

    source: HeldOutFrom
    ids: Sequence[str]
    truth: NDArray[np.int8]
    logits: Floats
    distances: Floats


def references_of(vectors: Floats) -> Floats:
    """Vectors [documents, hidden] as a bundle keeps them: rows of length 1, in half precision."""
    return unit_rows(vectors).astype(np.float16).astype(np.float32)


def by_folds(
    model: TextClassifier, train: TaggedSplit, folds: Ints, schema: Schema, settings: TrainRun, most: int,
    run: RunFolder, accelerator: Accelerator,
) -> HeldOut:  # fmt: skip
    """Each training document by a model that was trained, as the run was, on the other folds.

    The model is left as it was. Each fold's result is kept in `folds/` of the run, so that an interrupted command goes
    on where it was.

    Args:
        model: as before training.
        folds: int64 [documents], the fold in which each document is held out.
        settings: those of the run, with amounts.
        most: documents of the other folds that distances are measured to.

    Raises:
        Interrupted: SIGTERM or SIGINT has come.
    """
    numbers = range(int(folds.max()) + 1)
    truth = train.truth(schema)
    logits, distances = np.empty(truth.shape, np.float32), np.empty(len(truth), np.float32)
    kept = _Kept(run, settings, folds, most, accelerator)
    before = {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}
    missing = [fold for fold in numbers if not kept.holds(fold)]
    with meter(
        "folds", len(numbers), "folds", show=accelerator.is_main_process, done=len(numbers) - len(missing)
    ) as bar:
        for fold in missing:
            started = time.monotonic()
            try:
                trained, encoded = fit_fold(model, train, folds, fold, schema, settings, run, accelerator)
            except Interrupted:
                raise Interrupted("finished folds are kept; the same command goes on.") from None
            found = _score_fold(trained, encoded, train, folds, fold, settings, most, accelerator)
            kept.keep(fold, *found)
            model.load_state_dict(before)
            bar.advance(1, f"fold {fold + 1} is done")
            seconds = (time.monotonic() - started) * (missing[-1] - fold)
            log.info(
                f"fold {fold + 1} of {len(numbers)} is done" + (f"; about {seconds:,.0f} s left" if seconds else "")
            )
    for fold in numbers:
        logits[folds == fold], distances[folds == fold] = kept.read(fold)
    return HeldOut(HeldOutFrom.out_of_fold, train.ids, truth, logits, distances)


def _score_fold(
    trained: TextClassifier, encoded: Encoded, train: TaggedSplit, folds: Ints, fold: int, settings: TrainRun,
    most: int, accelerator: Accelerator,
) -> tuple[Floats, Floats]:  # fmt: skip
    inside, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
    drawn = inside[draw_documents(train.part(inside).labels, most, settings.seed)]
    batch_tokens, name = settings.evaluate.batch_tokens, f"scoring fold {fold + 1}"
    logits, vectors = logits_and_vectors(trained, encoded, batch_tokens, accelerator, name, held_out)
    _, others = logits_and_vectors(trained, encoded, batch_tokens, accelerator, name, drawn)
    accelerator.free_memory()
    return logits, 1 - nearest_cosine(vectors, references_of(others))


def by_regressions(
    vectors: Floats, train: TaggedSplit, folds: Ints, schema: Schema, settings: TrainSettings, seed: int, most: int
) -> HeldOut:
    """As `by_folds` for the recipe probe, whose encoder does not change: from the vectors [documents, hidden]."""
    truth, distances = train.truth(schema), np.empty(len(train.labels), np.float32)
    logits = out_of_fold(vectors, truth, folds, schema.multi_label, settings.probe_c)
    for fold in np.unique(folds):
        inside = np.flatnonzero(folds != fold)
        drawn = inside[draw_documents(train.part(inside).labels, most, seed)]
        distances[folds == fold] = 1 - nearest_cosine(vectors[folds == fold], references_of(vectors[drawn]))
    return HeldOut(HeldOutFrom.out_of_fold, train.ids, truth, logits, distances)


def write_out_of_fold(held: HeldOut, schema: Schema, path: Path) -> None:
    """A line a training document: id, labels, logits [classes], distance."""
    lines = (
        {
            "id": name,
            "labels": schema.names(np.flatnonzero(held.truth[i])),
            "logits": [round(float(value), 5) for value in held.logits[i]],
            "distance": round(float(held.distances[i]), 6),
        }
        for i, name in enumerate(held.ids)
    )
    write_lines(path, lines)


class _Kept:
    """The results of folds, in a folder of the run; those of other folds or another recipe are not used."""

    def __init__(self, run: RunFolder, settings: TrainRun, folds: Ints, most: int, accelerator: Accelerator):
        self.folder, self.accelerator, self.sizes = run.folds, accelerator, np.bincount(folds)
        about = {
            "run": run.read_record()["started"],
            "recipe": settings.train.recipe.value,
            "frozen_layers": settings.train.frozen_layers,
            "documents": most,
            "folds": folds.tolist(),
        }
        if accelerator.is_main_process:
            path = self.folder / "about.json"
            if not path.is_file() or path.read_bytes() != json_text(about).encode():
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir()
                write_json(path, about)
        accelerator.wait_for_everyone()

    def _path(self, fold: int) -> Path:
        return self.folder / f"{fold}.npz"

    def holds(self, fold: int) -> bool:
        found = self._read(fold)
        there = found is not None and len(found[1]) == self.sizes[fold]
        return bool(from_main(there, self.accelerator))

    def keep(self, fold: int, logits: Floats, distances: Floats) -> None:
        if self.accelerator.is_main_process:
            with written_beside(self._path(fold)) as beside, beside.open("wb") as file:
                np.savez(file, logits=logits, distances=distances)
        self.accelerator.wait_for_everyone()

    def read(self, fold: int) -> tuple[Floats, Floats]:
        """Raises: DataError where it is no longer what `keep` wrote."""
        if (found := self._read(fold)) is None:
            raise DataError(f"{self._path(fold)}: cannot be read; the same command makes it anew.")
        return found

    def _read(self, fold: int) -> tuple[Floats, Floats] | None:
        try:
            with np.load(self._path(fold)) as content:
                return content["logits"], content["distances"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
