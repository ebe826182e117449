"""From settings to a run: documents, head, loop, evaluation."""

import errno
import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import InitProcessGroupKwargs, set_seed
from filelock import FileLock, Timeout
from tokenizers import Tokenizer

from tagsmith import data
from tagsmith.checkpoint import newest_usable
from tagsmith.dataset_folders import load_documents
from tagsmith.errors import Interrupted, SettingsError, TryAgainLater, counted, listing
from tagsmith.evaluate import Encoded, default_split, encode_split, evaluate_split, score
from tagsmith.files import remove_leftovers, replace_folder, whole_file, write_json
from tagsmith.frozen import TokenStates, freeze_layers, lower_part, upper_part
from tagsmith.loop import TaggedSplit, fit
from tagsmith.metrics import indicators
from tagsmith.model import (
    Reading,
    TextClassifier,
    freeze_embeddings,
    load_pretrained,
    load_weights,
    save_architecture,
    save_weights,
)
from tagsmith.probe import draw_documents, fit_head
from tagsmith.processes import forget_accelerator, from_main, on_main, refuse_sharding
from tagsmith.run import RunFolder, fresh_path, record, refuse_or_allow, require_same
from tagsmith.schema import Schema
from tagsmith.settings import Precision, Recipe, TrainRun, TrainSettings, as_dict
from tagsmith.windows import EncodedDocuments

log = logging.getLogger("tagsmith")


def train(settings: TrainRun) -> tuple[RunFolder, dict[str, Any]]:
    """Train a classifier and evaluate it; every process of a launch calls this.

    Returns:
        The run, and its evaluation (on the main process; elsewhere empty).

    Raises:
        SettingsError: the run folder is taken, or a setting does not fit the data or the encoder.
        InputMissing, DataError: see `data.load` and `model.load_pretrained`.
        TryAgainLater: another process trains in this folder, or the disk is full.
        Interrupted: SIGTERM (where the caller has had it obeyed) or SIGINT has come. Elsewhere than on the main
            process it is SystemExit, with the same status.
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
    except KeyboardInterrupt:
        if not accelerator.is_main_process:
            raise SystemExit(Interrupted.exit_status) from None
        raise Interrupted(f"the same command with run={run.path} resume=true goes on.") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TryAgainLater(f"run={run.path}: {error.strerror}; make room, then go on with resume=true.") from error
    finally:
        lock.release()


def _accelerator(settings: TrainRun) -> Accelerator:
    """The processes and devices of this launch."""
    wanted = settings.train.mixed_precision
    forget_accelerator()
    # The others wait while the main process reads the data and fits the regression, however long that takes.
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=12))
    precision = "no" if wanted is Precision.fp32 else wanted.value
    accelerator = Accelerator(mixed_precision=precision, cpu=settings.train.cpu, kwargs_handlers=[patience])
    refuse_sharding(accelerator)
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
    goes_on = refuse_or_allow(run, settings.resume, settings.overwrite)
    remove_leftovers(run.path)
    if goes_on:
        require_same(run, _settings_of_run(settings))
        return None
    tagged = data.load(settings.data, settings.task, settings.seed)
    if settings.train.early_stopping_patience is not None and "validation" not in tagged.splits:
        raise SettingsError(
            "train.early_stopping_patience: there is no validation split to judge by; "
            "set data.validation_share=0.1, or name one."
        )
    if settings.objective is not None and "validation" not in tagged.splits:
        raise SettingsError(
            "objective: there is no validation split to judge by, and test documents choose no settings; "
            "set data.validation_share=0.1, or name one."
        )
    return tagged


def _settings_of_run(settings: TrainRun) -> dict[str, Any]:
    """The settings that make the run what it is, by dotted name: not those of the place and the machine."""
    about_the_machine = {
        "run", "name", "resume", "overwrite", "objective", "train.cpu", "train.micro_batch_tokens", "train.log_every",
        "train.checkpoint_every", "train.checkpoint_minutes", "train.keep_checkpoints", "train.tensorboard",
        "train.frozen_states_gib", "evaluate.batch_tokens", "cache.folder", "cache.max_gib",
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
    splits = load_documents(run.data, schema)
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in splits.items())
    log.info(f"run {run.path}: {schema.task.value}, {counted(len(schema.classes), 'class')}, documents: {sizes}")
    scoring_tokens = settings.evaluate.batch_tokens
    if not run.weights.is_file():
        model.to(accelerator.device)
        names = ["train"]
        if settings.train.recipe is Recipe.finetune and "validation" in splits:
            names.append("validation")
        encoded = {
            name: encode_split(splits[name], name, tokenizer, reading, schema, settings.cache, accelerator)
            for name in names
        }
        trained, inputs = _freeze(model, encoded, settings.train, scoring_tokens, run, accelerator)
        tagged = {name: TaggedSplit(inputs[name], splits[name]["labels"][:]) for name in names}
        start = _newest_checkpoint(run, accelerator)
        if start is None:
            _start_head(trained, tagged["train"], schema, settings, accelerator)
        if settings.train.recipe is Recipe.finetune:
            started = time.monotonic()
            fit(
                model, trained, tagged["train"], tagged.get("validation"), schema, settings.train, settings.seed,
                scoring_tokens, run, start, accelerator,
            )  # fmt: skip
            log.info(f"fine-tuned in {time.monotonic() - started:.1f} s")
        on_main(accelerator, lambda: save_weights(run.weights, model.state_dict()))
    if accelerator.is_main_process:
        shutil.rmtree(run.checkpoints, ignore_errors=True)
        shutil.rmtree(run.frozen_states, ignore_errors=True)
    load_weights(run.weights, model)

    def evaluated(split: str) -> dict[str, Any]:
        return evaluate_split(
            run, split, model, tokenizer, reading, schema, scoring_tokens, reading.threshold, settings.cache,
            accelerator,
        )  # fmt: skip

    if settings.objective is not None:
        figures = evaluated("validation")
        on_main(accelerator, lambda: write_json(run.validation, figures))
    return evaluated(default_split(splits))


def _freeze(
    model: TextClassifier, encoded: dict[str, EncodedDocuments], settings: TrainSettings, batch_tokens: int,
    run: RunFolder, accelerator: Accelerator,
) -> tuple[TextClassifier, Mapping[str, Encoded]]:  # fmt: skip
    """Freeze what the settings say; returns what is left to train, and each split as its input."""
    if settings.recipe is Recipe.probe or not settings.frozen_layers:
        if settings.freeze_embeddings:
            freeze_embeddings(model)
        return model, encoded
    freeze_layers(model, settings.frozen_layers)
    lower = lower_part(model, settings.frozen_layers)
    states = {name: TokenStates(documents, lower, accelerator) for name, documents in encoded.items()}
    for name, split in states.items():
        split.keep(run.frozen_states / f"{name}.f16", settings.frozen_states_gib, batch_tokens)
    return upper_part(model, settings.frozen_layers), states


def _newest_checkpoint(run: RunFolder, accelerator: Accelerator) -> Path | None:
    """The checkpoint to go on from, the same on every process; None: training starts from the head."""

    def found() -> Path | None:
        path, problems = newest_usable(run.checkpoints)
        if problems:
            anew = f"goes on from {path}" if path else "none is left: training starts anew, from the head"
            log.warning(listing("Checkpoints that cannot be used:", [*problems, anew]))
        return path

    return cast(Path | None, from_main(on_main(accelerator, found), accelerator))


def _start_head(
    model: TextClassifier, split: TaggedSplit, schema: Schema, settings: TrainRun, accelerator: Accelerator
) -> None:
    """Set the head to the logistic regression on the frozen encoder's vectors of the training documents.

    Where fine-tuning follows, `train.probe_documents` of them are enough.
    """
    started = time.monotonic()
    most = len(split.labels) if settings.train.recipe is Recipe.probe else settings.train.probe_documents
    drawn = draw_documents(split.labels, most, settings.seed)
    batch_tokens = settings.evaluate.batch_tokens
    features = score(model.eval().features, split.encoded, batch_tokens, accelerator, "embedding", drawn)
    embedded = time.monotonic()
    head = None
    if accelerator.is_main_process:
        labels = [split.labels[i] for i in drawn]
        truth = indicators(labels, len(schema.classes), schema.multi_label)
        head = fit_head(features, truth, schema.multi_label, settings.train.probe_c)
        fitting = time.monotonic() - embedded
        log.info(
            f"probe: {counted(len(features), 'document')} embedded in {embedded - started:.1f} s, "
            f"fitted in {fitting:.1f} s"
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
