"""Training that starts from an earlier run: its encoder, and the head's rows of the classes that still exist."""

import logging
from math import log as ln
from pathlib import Path
from typing import Any

import datasets
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tagsmith.core.errors import DataError, InputMissing, SettingsError, counted
from tagsmith.core.files import digest, read_json
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema, normal_name
from tagsmith.core.schema_changes import SchemaChanges
from tagsmith.data.check import same_text
from tagsmith.data.dataset_folders import load_documents
from tagsmith.model.loaded_model import LoadedModel
from tagsmith.model.sharding import set_weights
from tagsmith.tokens.encoding_spec import RESTORE_MODEL, EncodingSpec

log = logging.getLogger("tagsmith")


def refuse_known_documents(splits: datasets.DatasetDict, setting: str, earlier: RunFolder) -> None:
    """Check that no held-out document was a training document of the earlier run, which `setting` names.

    A bundle does not have its training documents: that of a run whose test documents are others is not noticed.

    Raises:
        SettingsError: some were.
        InputMissing, DataError: that run has no documents.
    """
    if not earlier.holds_run:
        log.warning(f"{setting}={earlier.path}: a bundle; whether it was trained on documents held out here is unknown")
        return
    trained_on = {same_text(text) for text in load_documents(earlier.data)["train"]["text"][:]}
    held_out = [text for name, part in splits.items() if name != "train" for text in part["text"][:]]
    if known := sum(same_text(text) in trained_on for text in held_out):
        raise SettingsError(
            f"{setting}={earlier.path}: {known:,} of {counted(len(held_out), 'held-out document')} were "
            "training documents there, which would make every figure too good; "
            f"data.split_from={earlier.path} holds out the same documents as that run."
        )


def made_from(changes: SchemaChanges | None, earlier: str | None) -> dict[str, Any]:
    """What a run reads from outside again when it is resumed, for its record: settings only name the place.

    Args:
        changes: how the classes have changed since the earlier run.
        earlier: `train.start_from`.

    Raises:
        InputMissing: the earlier run has no trained weights.
    """
    weights = None if earlier is None else _digest_of_weights(RunFolder(Path(earlier)))
    return {"schema_changes": changes.as_dict() if changes else None, "start_from_sha256": weights}


def _digest_of_weights(earlier: RunFolder) -> str:
    earlier.require()
    if not earlier.weights.is_file():
        raise InputMissing(
            f"train.start_from={earlier.path}: found no trained weights; expected a run whose training is finished."
        )
    return digest(earlier.weights)


def start_from_earlier(model: LoadedModel, run: RunFolder, earlier: RunFolder) -> None:
    """Set the model's weights to those of an earlier run; rows of the head for classes that are new are zero.

    Args:
        run: the run that the model is trained in. Its record says how the earlier classes have changed, if any were
            renamed, merged or split, and which weights the run started with.

    Raises:
        InputMissing, DataError: the earlier run has no trained weights, or they or the record are damaged.
        SettingsError: it has another encoder or task, none of the classes, or its weights have changed.
    """
    schema, pooling = model.schema, model.encoding.pooling
    place = f"train.start_from={earlier.path}"
    digest_now, recorded = _digest_of_weights(earlier), run.read_record().get("made_from")
    if not isinstance(recorded, dict) or not isinstance(began_with := recorded.get("start_from_sha256"), str):
        raise DataError(
            f"{run.settings}: expected the SHA-256 of the weights that the run started with, found {recorded!r}; "
            "restore it from a copy, or train from scratch with overwrite=true if an older version of Tagsmith made it."
        )
    if began_with != digest_now:
        raise SettingsError(
            f"{place}: expected the weights that run={run.path} started with (SHA-256 {began_with[:12]}), found "
            f"others ({digest_now[:12]}); restore them, or train from scratch with overwrite=true."
        )
    old = Schema.load(earlier.schema)
    if old.task is not schema.task:
        raise SettingsError(f"{place}: expected {schema.task.value}, found {old.task.value}.")
    if (found := EncodingSpec.load(earlier.model / "reading.json").pooling) is not pooling:
        raise SettingsError(f"{place}: expected model.pooling={pooling.value}, found {found.value}.")
    kinds = [_model_type(each.model / "config.json") for each in (run, earlier)]
    if kinds[0] != kinds[1]:
        raise SettingsError(f"{place}: expected an encoder of type {kinds[0]}, found {kinds[1]}.")
    if digest(earlier.model / "tokenizer.json") != digest(run.model / "tokenizer.json"):
        raise SettingsError(f"{place}: expected a run with the same tokenizer; set model= to the encoder of that run.")
    changes = recorded.get("schema_changes")
    known = SchemaChanges.of(changes, str(run.settings)) if changes else SchemaChanges()
    sources = rows_of(schema.classes, tuple(map(normal_name, old.classes)), known)
    if not any(sources):
        raise SettingsError(
            f"{place}: it has none of these classes; data.schema_changes= names how classes have changed."
        )
    try:
        weights = load_file(earlier.weights)
        head = head_rows(weights["head.weight"], weights["head.bias"], sources)
        set_weights(model.classifier, {**weights, "head.weight": head[0], "head.bias": head[1]}, strict=True)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{earlier.weights}: cannot be read: {error}; restore it, or train that run again.") from error
    except (RuntimeError, KeyError) as error:
        raise SettingsError(f"{place}: expected a run with the same encoder: {error}") from error
    fresh = [name for name, rows in zip(schema.classes, sources, strict=True) if not rows]
    new = f"; new classes: {', '.join(fresh)}" if fresh else ""
    log.info(f"starting from {earlier.path} (weights {digest_now[:12]}){new}")


def _model_type(path: Path) -> str:
    """The architecture: weights of one may fit another by name and shape."""
    return read_json(path, lambda content: str(content["model_type"]), "the encoder's configuration", RESTORE_MODEL)


def rows_of(classes: tuple[str, ...], old: tuple[str, ...], changes: SchemaChanges) -> list[list[tuple[int, int]]]:
    """The earlier rows that make up each class's row: one list of (row, number of classes that share it) per class."""
    return [[(i, len(parts)) for i, parts in enumerate(map(changes.after, old)) if name in parts] for name in classes]


def head_rows(weights: Tensor, bias: Tensor, sources: list[list[tuple[int, int]]]) -> tuple[Tensor, Tensor]:
    """Weights [classes, hidden] and bias [classes] of a head, from the rows of an earlier one; zero for new classes.

    If n classes that are merged have the same logit z for a document, their odds add up to n e^z: the merged row is
    their mean, and the logarithm of n is added to its bias. A class that is split divides its odds evenly.
    """
    made = torch.zeros(len(sources), weights.shape[1]), torch.zeros(len(sources))
    for i, rows in enumerate(sources):
        if rows:
            made[0][i] = weights[[row for row, _ in rows]].mean(dim=0)
            made[1][i] = torch.stack([bias[row] - ln(shared) for row, shared in rows]).mean() + ln(len(rows))
    return made
