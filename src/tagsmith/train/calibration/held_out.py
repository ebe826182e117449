"""Logits of documents that the model was not trained on: a validation split, or training documents by folds."""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from tagsmith.config.settings import HeldOutFrom
from tagsmith.core.errors import DataError, Interrupted
from tagsmith.core.files import atomic_path, json_text, write_json, write_lines
from tagsmith.core.progress import meter
from tagsmith.core.schema import Schema
from tagsmith.decision.scope import nearest_cosine, unit_rows
from tagsmith.model.pretrained_vectors import out_of_fold
from tagsmith.model.probe import draw_documents
from tagsmith.model.processes import from_main
from tagsmith.model.score import Encoded, logits_and_vectors
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.train.fit import fit_fold
from tagsmith.train.training_job import Folds, TrainingJob

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class HeldOut:
    """The output of a model for documents that it was not trained on.

    Attributes:
        source: where the documents come from.
        ids: of the documents.
        truth: int8 [documents, classes].
        logits: float32 [documents, classes].
        distances: float32 [documents], to the nearest training document of the model, see `scope`.
    """

    source: HeldOutFrom
    ids: Sequence[str]
    truth: NDArray[np.int8]
    logits: Floats
    distances: Floats


def references_of(vectors: Floats) -> Floats:
    """Vectors [documents, hidden] as a bundle keeps them: rows of length 1, in half precision."""
    return unit_rows(vectors).astype(np.float16).astype(np.float32)


def by_folds(job: TrainingJob, folds: Folds, most: int) -> HeldOut:
    """Each training document by a model that was trained, with the run's recipe, on the other folds.

    The model's weights stay as they were. The result of each fold is kept in `folds/` of the run, so that an
    interrupted command can be resumed.

    Args:
        job: with the model as it is before training.
        most: documents of the other folds that distances are measured to.

    Raises:
        Interrupted: SIGTERM or SIGINT was received.
    """
    model, accelerator = job.model.classifier, job.accelerator
    truth = folds.train.truth(job.model.schema)
    logits, distances = np.empty(truth.shape, np.float32), np.empty(len(truth), np.float32)
    results = _FoldResults(job, folds, most)
    before = {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}
    missing = [fold for fold in range(len(folds)) if not results.is_kept(fold)]
    show, done = accelerator.is_main_process, len(folds) - len(missing)
    with meter("folds", len(folds), "folds", show=show, done=done) as bar:
        for fold in missing:
            started = time.monotonic()
            try:
                trained, encoded = fit_fold(job, folds, fold)
            except Interrupted:
                raise Interrupted("finished folds are kept; run the same command again to resume.") from None
            results.keep(fold, *_score_fold(job, trained, encoded, folds, fold, most))
            model.load_state_dict(before)
            bar.advance(1, f"fold {fold + 1} is done")
            seconds = (time.monotonic() - started) * (missing[-1] - fold)
            left = f"; about {seconds:,.0f} s left" if seconds else ""
            log.info(f"fold {fold + 1} of {len(folds)} is done{left}")
    for fold in range(len(folds)):
        held_out = folds.held_out(fold)
        logits[held_out], distances[held_out] = results.read(fold)
    return HeldOut(HeldOutFrom.out_of_fold, folds.train.ids, truth, logits, distances)


def _score_fold(
    job: TrainingJob, trained: TextClassifier, encoded: Encoded, folds: Folds, fold: int, most: int
) -> tuple[Floats, Floats]:
    """Logits and distances of the documents that a fold holds out."""
    drawn = draw_references(folds, fold, most, job.recipe.seed)
    accelerator, tokens, what = job.accelerator, job.recipe.scoring_tokens, f"scoring fold {fold + 1}"
    logits, vectors = logits_and_vectors(trained, encoded, tokens, accelerator, what, folds.held_out(fold))
    _, others = logits_and_vectors(trained, encoded, tokens, accelerator, what, drawn)
    accelerator.free_memory()
    return logits, 1 - nearest_cosine(vectors, references_of(others))


def draw_references(folds: Folds, fold: int, most: int, seed: int) -> Ints:
    """Positions of `most` documents that a fold trains on, to measure the distance of others to."""
    inside = folds.inside(fold)
    return inside[draw_documents(folds.train.part(inside).labels, most, seed)]


def by_regressions(job: TrainingJob, vectors: Floats, folds: Folds, most: int) -> HeldOut:
    """As `by_folds` for the recipe probe, whose encoder does not change: from the vectors [documents, hidden]."""
    schema, train = job.model.schema, folds.train
    truth, distances = train.truth(schema), np.empty(len(train.labels), np.float32)
    logits = out_of_fold(vectors, truth, folds.fold, schema.multi_label, job.recipe.probe_c)
    for fold in np.unique(folds.fold).tolist():
        held_out, drawn = folds.held_out(fold), draw_references(folds, fold, most, job.recipe.seed)
        distances[held_out] = 1 - nearest_cosine(vectors[held_out], references_of(vectors[drawn]))
    return HeldOut(HeldOutFrom.out_of_fold, train.ids, truth, logits, distances)


def write_out_of_fold(held: HeldOut, schema: Schema, path: Path) -> None:
    """Write one line per training document: id, labels, logits [classes], distance."""
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


class _FoldResults:
    """The results of finished folds, in a folder of the run; those of other folds or another recipe are removed."""

    def __init__(self, job: TrainingJob, folds: Folds, most: int):
        self.folder, self.accelerator, self.sizes = job.run.folds, job.accelerator, np.bincount(folds.fold)
        about = {
            "run": job.run.read_record()["started"],
            "recipe": job.recipe.recipe.value,
            "frozen_layers": job.recipe.frozen_layers,
            "documents": most,
            "folds": folds.fold.tolist(),
        }
        if self.accelerator.is_main_process:
            path = self.folder / "about.json"
            if not path.is_file() or path.read_bytes() != json_text(about).encode():
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir()
                write_json(path, about)
        self.accelerator.wait_for_everyone()

    def _path(self, fold: int) -> Path:
        return self.folder / f"{fold}.npz"

    def is_kept(self, fold: int) -> bool:
        found = self._read(fold)
        complete = found is not None and len(found[1]) == self.sizes[fold]
        return bool(from_main(complete, self.accelerator))

    def keep(self, fold: int, logits: Floats, distances: Floats) -> None:
        if self.accelerator.is_main_process:
            with atomic_path(self._path(fold)) as beside, beside.open("wb") as file:
                np.savez(file, logits=logits, distances=distances)
        self.accelerator.wait_for_everyone()

    def read(self, fold: int) -> tuple[Floats, Floats]:
        """What `keep` wrote. Raises: DataError if the file is damaged."""
        if (found := self._read(fold)) is None:
            raise DataError(f"{self._path(fold)}: cannot be read; run the same command again to repeat the fold.")
        return found

    def _read(self, fold: int) -> tuple[Floats, Floats] | None:
        try:
            with np.load(self._path(fold)) as content:
                return content["logits"], content["distances"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
