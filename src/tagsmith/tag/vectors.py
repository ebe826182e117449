"""Vectors of the documents of a project by the encoder, computed by a process of its own and kept in the project."""

import json
import logging
import multiprocessing
import os
import threading
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

FILE = "vectors.npz"

CHUNK = 1000
"""Documents after whose computation the file is written, so that a command that is stopped resumes there."""


def encoder_key(settings: TagRun) -> str:
    """What the vectors depend on besides the documents."""
    return json.dumps(as_dict(settings.model), sort_keys=True)


def kept_vectors(folder: Path, settings: TagRun) -> NDArray[np.float16]:
    """float16 [documents, hidden], of the first documents of the project; none where the encoder was another one."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as kept:
            if str(kept["encoder"]) == encoder_key(settings):
                return np.asarray(kept["vectors"], dtype=np.float16)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError):
        log.warning(f"{folder / FILE}: cannot be read; computing it again.")
    return np.zeros((0, 0), dtype=np.float16)


def compute_vectors(settings: TagRun) -> None:
    """Compute the vectors of the documents that have none yet, and write them.

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
        if not (documents := store.documents(len(kept), CHUNK)):
            return
        accelerator = start_accelerator(settings.cpu)
        schema = Schema(("a class", "another class"), Task.single_label)  # The vectors do not depend on it.
        model = load_pretrained(settings.model, DataSettings(), schema, 0.5)
        model.classifier.to(accelerator.device).eval()
        while documents:
            encoded = model.encode([one.text for one in documents])
            what = "embedding the documents"
            found = score(model.classifier.features, encoded, settings.batch_tokens, accelerator, what)
            rows = found.astype(np.float16)
            kept = np.concatenate([kept, rows]) if len(kept) else rows
            with atomic_path(folder / FILE) as beside, beside.open("wb") as file:
                np.savez(file, vectors=kept, encoder=np.array(encoder_key(settings)))
            documents = store.documents(len(kept), CHUNK)
    finally:
        store.close()


def _in_background(settings: TagRun) -> None:
    os.nice(10)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        compute_vectors(settings)
    except TagsmithError as error:
        log.warning(f"no suggestions: {error}")
        raise SystemExit(error.exit_status) from None


def vectors_of(settings: TagRun, documents: int, stop: threading.Event) -> Floats | None:
    """The vectors of all documents, float32 [documents, hidden]; None where they cannot be computed, or at `stop`."""
    folder = Path(settings.project)
    if len(kept_vectors(folder, settings)) < documents:
        process: Any = multiprocessing.get_context("spawn").Process(
            target=_in_background, args=(settings,), daemon=True
        )
        process.start()
        while process.is_alive():
            process.join(0.2)
            if stop.is_set():
                process.terminate()
                process.join()
                return None
        if process.exitcode:
            return None
    return kept_vectors(folder, settings)[:documents].astype(np.float32)
