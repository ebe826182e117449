"""Vectors of the documents and classes of a project by the encoder, computed by a process of its own and kept."""

import json
import logging
import multiprocessing
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.config.settings import TagRun, as_dict
from tagsmith.core.errors import TagsmithError
from tagsmith.core.files import atomic_path
from tagsmith.tag.store import Store

log = logging.getLogger("tagsmith")

Floats = NDArray[np.float32]

FILE, CLASSES = "vectors.npz", "class_vectors.npz"

CHUNK = 1000
"""Documents after whose computation the file is written, so that a command that is stopped resumes there."""


def encoder_key(settings: TagRun) -> str:
    """What the vectors depend on besides the documents."""
    return json.dumps(as_dict(settings.model), sort_keys=True)


def _kept(path: Path, settings: TagRun) -> dict[str, Any]:
    """The arrays of a file; none where it is missing or the encoder was another one."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["encoder"]) == encoder_key(settings):
                return dict(kept)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError):
        log.warning(f"{path}: cannot be read; computing it again.")
    return {}


def _keep(path: Path, settings: TagRun, **arrays: Any) -> None:
    with atomic_path(path) as beside, beside.open("wb") as file:
        np.savez(file, encoder=np.array(encoder_key(settings)), **arrays)


def kept_vectors(folder: Path, settings: TagRun) -> NDArray[np.float16]:
    """float16 [documents, hidden], of the first documents of the project."""
    return np.asarray(_kept(folder / FILE, settings).get("vectors", np.zeros((0, 0))), dtype=np.float16)


def kept_class_vectors(folder: Path, settings: TagRun) -> dict[str, Floats]:
    """float32 [hidden] of each text that describes a class."""
    kept = _kept(folder / CLASSES, settings)
    return dict(zip(map(str, kept.get("texts", ())), kept.get("vectors", ()), strict=True))


def compute_vectors(settings: TagRun, classes: Sequence[str] = ()) -> None:
    """Compute the vectors of these texts of classes, and of the documents that have none yet, and write them.

    Raises:
        InputMissing: the encoder is not there.
    """
    from tagsmith.config.settings import DataSettings
    from tagsmith.core.schema import Schema, Task
    from tagsmith.model.loaded_model import load_pretrained
    from tagsmith.model.processes import start_accelerator
    from tagsmith.model.score import score

    folder = Path(settings.project)
    store, kept = Store(folder), kept_vectors(folder, settings)
    try:
        documents, missing = store.documents(len(kept), CHUNK), _missing(folder, settings, classes)
        if not documents and not missing:
            return
        accelerator = start_accelerator(settings.cpu)
        schema = Schema(("a class", "another class"), Task.single_label)  # The vectors do not depend on it.
        model = load_pretrained(settings.model, DataSettings(), schema, 0.5)
        model.classifier.to(accelerator.device).eval()

        def embedded(texts: list[str], what: str) -> Floats:
            return score(model.classifier.features, model.encode(texts), settings.batch_tokens, accelerator, what)

        if missing:
            known = kept_class_vectors(folder, settings)
            known |= dict(zip(missing, embedded(missing, "embedding the classes"), strict=True))
            _keep(folder / CLASSES, settings, texts=np.array([*known]), vectors=np.stack([*known.values()]))
        while documents:
            rows = embedded([one.text for one in documents], "embedding the documents").astype(np.float16)
            kept = np.concatenate([kept, rows]) if len(kept) else rows
            _keep(folder / FILE, settings, vectors=kept)
            documents = store.documents(len(kept), CHUNK)
    finally:
        store.close()


def _missing(folder: Path, settings: TagRun, classes: Sequence[str]) -> list[str]:
    known = kept_class_vectors(folder, settings)
    return [text for text in dict.fromkeys(classes) if text not in known]


def _in_background(settings: TagRun, classes: Sequence[str]) -> None:
    os.nice(10)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        compute_vectors(settings, classes)
    except TagsmithError as error:
        log.warning(f"no suggestions: {error}")
        raise SystemExit(error.exit_status) from None


class Vectors:
    """The vectors of the first `documents` documents of a project and of its classes, read again when texts are new."""

    def __init__(self, settings: TagRun, documents: int):
        self._settings, self._count = settings, documents
        self._documents: Floats | None = None
        self._classes: dict[str, Floats] = {}

    def of(self, classes: Sequence[str], stop: threading.Event) -> tuple[Floats, Floats] | None:
        """float32 [documents, hidden] and [classes, hidden], of these texts of classes.

        Returns:
            None where they cannot be computed, or at `stop`.
        """
        if self._documents is None or not self._classes.keys() >= set(classes):
            folder = Path(self._settings.project)
            complete = len(kept_vectors(folder, self._settings)) >= self._count
            complete = complete and not _missing(folder, self._settings, classes)
            if not complete and not _computed(self._settings, classes, stop):
                return None
            self._documents = kept_vectors(folder, self._settings)[: self._count].astype(np.float32)
            self._classes = kept_class_vectors(folder, self._settings)
        rows = [self._classes[text] for text in classes]
        return self._documents, np.reshape(rows, (len(rows), self._documents.shape[1])).astype(np.float32)


def _computed(settings: TagRun, classes: Sequence[str], stop: threading.Event) -> bool:
    """Compute what is missing, in a process; returns whether that worked."""
    process: Any = multiprocessing.get_context("spawn").Process(
        target=_in_background, args=(settings, classes), daemon=True
    )
    process.start()
    while process.is_alive():
        process.join(0.2)
        if stop.is_set():
            process.terminate()
            process.join()
            return False
    return not process.exitcode
