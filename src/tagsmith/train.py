"""From settings to a run: documents, head, loop, evaluation."""

import json
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import datasets
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import InitProcessGroupKwargs, set_seed
from filelock import FileLock, Timeout
from tokenizers import Tokenizer

from tagsmith import data
from tagsmith.checkpoint import newest
from tagsmith.errors import SettingsError, TryAgainLater
from tagsmith.evaluate import default_split, encode_split, evaluate_split, score
from tagsmith.files import replace_folder, whole_file, write_json
from tagsmith.loop import TaggedSplit, fit
from tagsmith.metrics import indicators
from tagsmith.model import (
    Reading,
    TextClassifier,
    load_pretrained,
    load_weights,
    save_architecture,
    save_weights,
)
from tagsmith.probe import draw_documents, fit_head
from tagsmith.processes import from_main, on_main
from tagsmith.run import RunFolder, fresh_path, record, refuse_or_allow, require_same
from tagsmith.schema import Schema
from tagsmith.settings import CacheSettings, Precision, Recipe, TrainRun, as_dict

log = logging.getLogger("tagsmith")


def train(settings: TrainRun) -> tuple[RunFolder, dict[str, Any]]:
    """Train a classifier and evaluate it; every process of a launch calls this.

    Returns:
        The run, and its evaluation (on the main process; elsewhere empty).

    Raises:
        SettingsError: the run folder is taken, or a setting does not fit the data or the encoder.
        InputMissing, DataError: see `data.load` and `model.load_pretrained`.
        TryAgainLater: another process trains in this folder.
    """
    accelerator = _accelerator(settings)
    if not accelerator.is_main_process:
        log.setLevel(logging.ERROR)
    set_seed(settings.seed, device_specific=True)
    run = RunFolder(Path(from_main(str(settings.run or fresh_path(settings.name)), accelerator)))
    if not run.path.name:
        raise SettingsError(f"run={settings.run}: expected the name of a folder of its own.")
    lock = FileLock(run.path.with_name(f".{run.path.name}.lock"), timeout=0)
    try:
        tagged = on_main(accelerator, lambda: _claim(settings, run, lock))
        schema, fresh = from_main((tagged.schema, True) if tagged else (None, False), accelerator)
        schema = schema or Schema.load(run.schema)

        def pretrained() -> tuple[TextClassifier, Tokenizer, Reading]:
            return load_pretrained(settings.model, settings.data, len(schema.classes), settings.evaluate.threshold)

        # The main process first: one download of an encoder from the hub, not one a process.
        model, tokenizer, reading = on_main(accelerator, pretrained) or pretrained()
        if fresh:
            on_main(
                accelerator, lambda: _create(settings, run, cast(data.TaggedData, tagged), model, tokenizer, reading)
            )
        notes, tagged = tagged.notes if tagged else [], None  # The documents now stand in the run, not in memory.
        accelerator.wait_for_everyone()
        with _log_file(run.log, accelerator):
            for note in notes:
                log.warning(note)
            return run, _train(settings, run, schema, model, tokenizer, reading, accelerator)
    finally:
        lock.release()


def _accelerator(settings: TrainRun) -> Accelerator:
    """The processes and devices of this launch."""
    wanted = settings.train.mixed_precision
    # The others wait while the main process reads the data and fits the regression, however long that takes.
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=12))
    precision = "no" if wanted is Precision.fp32 else wanted.value
    accelerator = Accelerator(mixed_precision=precision, cpu=settings.train.cpu, kwargs_handlers=[patience])
    if wanted is Precision.fp16 and accelerator.device.type == "cpu":
        raise SettingsError("train.mixed_precision=fp16: needs a GPU; a CPU knows fp32 and bf16.")
    return accelerator


def _claim(settings: TrainRun, run: RunFolder, lock: FileLock) -> data.TaggedData | None:
    """Take the run folder and load the documents for it; None: it holds a run to go on with."""
    try:
        run.path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise TryAgainLater(f"run={run.path}: another process trains here (it holds {lock.lock_file}).") from None
    except OSError as error:
        raise SettingsError(f"run={run.path}: cannot be written: {error.strerror}.") from error
    if refuse_or_allow(run, settings.resume, settings.overwrite):
        require_same(run, _settings_of_run(settings))
        return None
    tagged = data.load(settings.data, settings.task, settings.seed)
    if settings.train.early_stopping_patience is not None and "validation" not in tagged.splits:
        raise SettingsError(
            "train.early_stopping_patience: there is no validation split to judge by; "
            "set data.validation_share=0.1, or name one."
        )
    return tagged


def _settings_of_run(settings: TrainRun) -> dict[str, Any]:
    """The settings that make the run what it is, by dotted name: not those of the place and the machine."""
    about_the_machine = {
        "run", "name", "resume", "overwrite", "train.cpu", "train.micro_batch_tokens", "train.log_every",
        "train.keep_checkpoints", "train.tensorboard", "evaluate.batch_tokens", "cache.folder", "cache.max_gib",
    }  # fmt: skip
    return {name: value for name, value in as_dict(settings).items() if name not in about_the_machine}


def _create(
    settings: TrainRun, run: RunFolder, tagged: data.TaggedData, model: TextClassifier, tokenizer: Tokenizer,
    reading: Reading,
) -> None:  # fmt: skip
    """Write all of the run that stands before training, whole or not at all."""

    processes = PartialState().num_processes

    def write(folder: Path) -> None:
        inside = RunFolder(folder)
        tagged.splits.save_to_disk(inside.data)
        tagged.schema.save(inside.schema)
        save_architecture(inside.model, model, tokenizer, reading)
        if tagged.rejected:
            with whole_file(inside.rejected) as file:
                for problem in tagged.rejected:
                    file.write(json.dumps(problem.as_dict(), ensure_ascii=False) + "\n")
        write_json(inside.settings, record(_settings_of_run(settings), processes))

    replace_folder(run.path, write)


def _train(
    settings: TrainRun, run: RunFolder, schema: Schema, model: TextClassifier, tokenizer: Tokenizer,
    reading: Reading, accelerator: Accelerator,
) -> dict[str, Any]:  # fmt: skip
    """Fit the model of a run, save its weights, evaluate it."""
    splits = datasets.load_from_disk(str(run.data))
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in splits.items())
    log.info(f"run {run.path}: {schema.task.value}, {len(schema.classes)} classes, documents: {sizes}")
    scoring_tokens = settings.evaluate.batch_tokens
    if not run.weights.is_file():
        model.to(accelerator.device)
        train_split = _tagged_split(splits["train"], "train", tokenizer, reading, schema, settings.cache, accelerator)
        if newest(run.checkpoints) is None:
            _start_head(
                model, _for_head(train_split, settings), schema, settings.train.probe_c, scoring_tokens, accelerator
            )
        if settings.train.recipe is Recipe.finetune:
            validation = None
            if "validation" in splits:
                validation = _tagged_split(
                    splits["validation"], "validation", tokenizer, reading, schema, settings.cache, accelerator
                )
            started = time.monotonic()
            fit(model, train_split, validation, schema, settings.train, settings.seed, scoring_tokens, run, accelerator)
            log.info(f"fine-tuned in {time.monotonic() - started:.1f} s")
        if accelerator.is_main_process:
            if run.best.is_file():
                run.best.replace(run.weights)
            else:
                save_weights(run.weights, model.state_dict())
            shutil.rmtree(run.checkpoints, ignore_errors=True)
        accelerator.wait_for_everyone()
    load_weights(run.weights, model)
    return evaluate_split(
        run, default_split(splits), model, tokenizer, reading, schema, scoring_tokens, reading.threshold,
        settings.cache, accelerator,
    )  # fmt: skip


def _tagged_split(
    part: datasets.Dataset, name: str, tokenizer: Tokenizer, reading: Reading, schema: Schema, cache: CacheSettings,
    accelerator: Accelerator,
) -> TaggedSplit:  # fmt: skip
    return TaggedSplit(encode_split(part, name, tokenizer, reading, schema, cache, accelerator), part["labels"][:])


def _for_head(split: TaggedSplit, settings: TrainRun) -> TaggedSplit:
    """The documents that the regression is fitted on: all of them where it is the whole of training."""
    most = settings.train.probe_documents
    if settings.train.recipe is Recipe.probe or len(split.labels) <= most:
        return split
    drawn = draw_documents(split.labels, most, settings.seed)
    return TaggedSplit(split.encoded.take(drawn), [split.labels[i] for i in drawn])


def _start_head(
    model: TextClassifier, split: TaggedSplit, schema: Schema, c: float, batch_tokens: int, accelerator: Accelerator
) -> None:
    """Set the head to the logistic regression on the frozen encoder's vectors of the training documents."""
    started = time.monotonic()
    features = score(model.eval().features, split.encoded, batch_tokens, accelerator, "embedding")
    embedded = time.monotonic()
    head = None
    if accelerator.is_main_process:
        truth = indicators(split.labels, len(schema.classes), schema.multi_label)
        head = fit_head(features, truth, schema.multi_label, c)
        fitting = time.monotonic() - embedded
        log.info(
            f"probe: {len(features):,} documents embedded in {embedded - started:.1f} s, fitted in {fitting:.1f} s"
        )
    weights, bias = from_main(head, accelerator)
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(weights))
        model.head.bias.copy_(torch.from_numpy(bias))


@contextmanager
def _log_file(path: Path, accelerator: Accelerator) -> Iterator[None]:
    """While it is open, the main process writes its log into the run as well."""
    if not accelerator.is_main_process:
        yield
        return
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
