"""What a student learns from: the training documents and the pool, with the scores of its teachers."""

import logging
import time

import datasets
from accelerate import Accelerator

from tagsmith.config.settings import TrainRun
from tagsmith.core.errors import DataError, counted
from tagsmith.core.run import RunFolder
from tagsmith.model.loaded_model import LoadedModel
from tagsmith.train.pool import load_pool
from tagsmith.train.teacher import score_by_teachers
from tagsmith.train.training_job import TaggedSplit

log = logging.getLogger("tagsmith")


def with_teacher(
    settings: TrainRun,
    run: RunFolder,
    model: LoadedModel,
    part: datasets.Dataset,
    train: TaggedSplit,
    accelerator: Accelerator,
) -> TaggedSplit:
    """The training documents, then those of the pool, all scored by the teachers.

    Args:
        part: the training documents; `train`: the same, encoded.

    Raises:
        InputMissing, SettingsError, DataError: see `teacher.score_by_teachers`.
    """
    recorded = run.read_record().get("made_from", {}).get("teachers")
    if not isinstance(recorded, list):
        raise DataError(f"{run.settings}: expected the SHA-256 of the teachers; restore it, or train from scratch.")
    started, encoded, every = time.monotonic(), train.encoded, part.select_columns(["id", "text"])
    if (pool := load_pool(run)) is not None:
        every = datasets.concatenate_datasets([every, pool])
        encoded = model.encode_cached(settings.cache, "train and pool", every["text"])
    teacher = score_by_teachers(settings, recorded, every["text"], model.schema, accelerator)
    documents = counted(len(every), "document")
    log.info(f"{documents} scored by {counted(len(recorded), 'teacher')} in {time.monotonic() - started:.1f} s")
    return TaggedSplit(encoded, train.labels, every["id"], teacher)
