"""A recipe, from encoded documents to fitted weights: what is frozen, the head's start, the loop."""

import logging
import shutil
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from numpy.typing import NDArray

from tagsmith.config.settings import Recipe, TrainRun, TrainSettings
from tagsmith.core.errors import counted
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.model.attention import quicken_attention
from tagsmith.model.packed import why_padded
from tagsmith.model.pretrained_vectors import save_vectors
from tagsmith.model.probe import draw_documents, fit_head
from tagsmith.model.processes import from_main
from tagsmith.model.score import Encoded, score
from tagsmith.model.sharding import set_weights
from tagsmith.model.text_classifier import TextClassifier, freeze_embeddings
from tagsmith.tokens.windows import EncodedDocuments
from tagsmith.train import lora, soup
from tagsmith.train.dropout import quicken_dropout
from tagsmith.train.frozen import TokenStates, freeze_layers, lower_part, upper_part
from tagsmith.train.loop import TaggedSplit, fit

log = logging.getLogger("tagsmith")


def suit_device(model: TextClassifier, encoded: Encoded, accelerator: Accelerator) -> None:
    """Have the model train as this device does best: a GPU on packed windows where it can, a CPU on padded ones."""
    if accelerator.device.type == "cpu":
        quicken_dropout(model.encoder)
        if accelerator.mixed_precision == "bf16":
            quicken_attention(model.encoder)
        return
    # Windows of different lengths, where there are such.
    batch = encoded.batch(np.argsort(encoded.lengths, kind="stable")[[0, -1]])
    reason = why_padded(model.encoder, model.features, batch, accelerator)
    model.packs = reason is None
    way = f"padded: {reason}" if reason else "packed, without padding"
    log.info(f"windows go through the encoder {way}")


def fit_recipe(
    model: TextClassifier, tagged: dict[str, TaggedSplit], schema: Schema, settings: TrainRun, run: RunFolder,
    start: Path | None, accelerator: Accelerator, documents: NDArray[np.int64] | None = None,
    figures: RunFolder | None = None,
) -> tuple[TextClassifier, Encoded]:  # fmt: skip
    """Set the weights of the model to what the recipe makes of the training documents.

    Args:
        settings: their `train` section is that of `amounts.with_amounts`.
        tagged: the splits `train` and, where there is one, `validation`, encoded as `EncodedDocuments`.
        start: the checkpoint to go on from, of the first training of a soup that is not done; None: from its
            beginning.
        documents: positions of the training documents that it sees; None: all.
        figures: where figures and checkpoints go, and what a soup keeps; None: into the run.

    Returns:
        What computes logits (the model, or its upper part), and the training documents as its input.
    """
    set_seed(settings.seed, device_specific=True)  # Whatever has drawn random numbers before.
    trained, tagged = freeze(model, tagged, settings.train, settings.evaluate.batch_tokens, run, accelerator)
    recipe, everything = settings.train.recipe, tagged["train"]
    train = everything if documents is None else everything.part(documents)
    figures, size = figures or run, settings.train.soup
    first = from_main(soup.done(figures), accelerator) if size > 1 else 0
    begins = start is None or first + 1 < size  # Some training does, with the head.
    if begins and (rows := rows_to_fit(trained, settings.train)).any():
        most = len(train.labels) if recipe is Recipe.probe else settings.train.probe_documents
        drawn = draw_documents(train.labels, most, settings.seed)
        exact = recipe is Recipe.probe
        features = embed(trained, train.encoded, settings.evaluate.batch_tokens, accelerator, drawn, exact)
        # The analysis wants the same vectors: of all training documents, by the pretrained encoder.
        pretrained = trained is model and settings.train.start_from is None
        if pretrained and documents is None and len(drawn) == len(train.labels) and accelerator.is_main_process:
            save_vectors(run, "train", features)
        set_head(trained, features, train.truth(schema)[drawn], schema, settings.train, accelerator, rows)
    if recipe is Recipe.probe:
        return trained, everything.encoded
    validation = tagged.get("validation")
    if size == 1:
        _fine_tune(model, trained, train, validation, schema, settings, figures, start, accelerator)
        return trained, everything.encoded
    before = {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}
    figures.soup.mkdir(exist_ok=True)
    for number in range(first, size):
        log.info(f"training {number + 1} of {size}")
        one, place = settings, soup.place(figures, number)
        if number > 0:
            # To MLflow the steps of two trainings would be one curve: it gets that of the first.
            one = replace(settings, seed=settings.seed + number, train=replace(settings.train, mlflow=None))
            model.load_state_dict(before)
            set_seed(one.seed, device_specific=True)
            place.path.mkdir(exist_ok=True)
        goes_on_from = start if number == first else None
        _fine_tune(model, trained, train, validation, schema, one, place, goes_on_from, accelerator)
        soup.keep(figures, number, model, accelerator)
        accelerator.free_memory()
    soup.average(figures, size, model)
    log.info(f"averaged the weights of {size} trainings")
    return trained, everything.encoded


def _fine_tune(
    model: TextClassifier, trained: TextClassifier, train: TaggedSplit, validation: TaggedSplit | None, schema: Schema,
    settings: TrainRun, figures: RunFolder, start: Path | None, accelerator: Accelerator,
) -> None:  # fmt: skip
    """One training, from the head that the model has; arguments as of `fit` and `fit_recipe`."""
    started = time.monotonic()
    adapters = lora.add_adapters(trained, settings.train.lora) if settings.train.recipe is Recipe.lora else None
    fit(
        model, trained, train, validation, schema, settings.train, settings.seed, settings.evaluate.batch_tokens,
        figures, start, accelerator,
    )  # fmt: skip
    if adapters is not None:
        lora.merge(adapters)
    log.info(f"fine-tuned in {time.monotonic() - started:.1f} s")


def fit_fold(
    model: TextClassifier, train: TaggedSplit, folds: NDArray[np.int64], fold: int, schema: Schema, settings: TrainRun,
    run: RunFolder, accelerator: Accelerator,
) -> tuple[TextClassifier, Encoded]:  # fmt: skip
    """As `fit_recipe`, on all training documents but those of one fold; what is kept of it is what it returns.

    Args:
        folds: int64 [documents], the fold in which each training document is held out.
    """
    # Neither a validation nor a checkpoint of its own, nor an earlier run's weights, which know all documents.
    recipe = replace(
        settings.train, start_from=None, early_stopping_patience=None, tensorboard=False, mlflow=None,
        validate_every=None, checkpoint_every=None, checkpoint_minutes=None,
    )  # fmt: skip
    scratch = RunFolder(run.comparison)
    scratch.path.mkdir(exist_ok=True)
    if accelerator.is_main_process:
        scratch.metrics.unlink(missing_ok=True)
        shutil.rmtree(scratch.soup, ignore_errors=True)
    return fit_recipe(
        model, {"train": train}, schema, replace(settings, train=recipe), run, None, accelerator,
        np.flatnonzero(folds != fold), scratch,
    )  # fmt: skip


def freeze(
    model: TextClassifier, tagged: dict[str, TaggedSplit], settings: TrainSettings, batch_tokens: int,
    run: RunFolder, accelerator: Accelerator,
) -> tuple[TextClassifier, dict[str, TaggedSplit]]:  # fmt: skip
    """Freeze what the settings say and nothing else; returns what is left to train, and the splits as its input."""
    model.requires_grad_(True)
    if settings.recipe is Recipe.probe or not settings.frozen_layers:
        if settings.freeze_embeddings:
            freeze_embeddings(model)
        return model, tagged
    freeze_layers(model, settings.frozen_layers)
    lower = lower_part(model, settings.frozen_layers)
    inputs: dict[str, TaggedSplit] = {}
    for name, split in tagged.items():
        states = TokenStates(cast(EncodedDocuments, split.encoded), lower, accelerator)
        states.keep(run.frozen_states / f"{name}.f16", settings.frozen_states_gib, batch_tokens)
        inputs[name] = replace(split, encoded=states)
    return upper_part(model, settings.frozen_layers), inputs


def embed(
    model: TextClassifier, encoded: Encoded, batch_tokens: int, accelerator: Accelerator, documents: NDArray[np.int64],
    exact: bool,
) -> NDArray[np.float32]:  # fmt: skip
    """The encoder's vectors of these documents, float32 [documents, hidden].

    Args:
        exact: in fp32, as evaluation has them, for a head that stays what the regression makes it; else in the
            precision of training, which goes on from that head.
    """
    started = time.monotonic()
    with nullcontext() if exact else accelerator.autocast():
        features = score(
            model.eval().features, encoded, batch_tokens, accelerator, "embedding", documents, model.packs and not exact
        )
    log.info(f"{counted(len(features), 'document')} embedded in {time.monotonic() - started:.1f} s")
    return features


def rows_to_fit(model: TextClassifier, settings: TrainSettings) -> NDArray[np.bool_]:
    """Which rows of the head a regression has to give, bool [classes]: all, but for those of an earlier run."""
    if settings.start_from is None:
        return np.ones(model.head.out_features, dtype=np.bool_)
    return (model.head.weight.detach() == 0).all(dim=1).cpu().numpy()


def set_head(
    model: TextClassifier, features: NDArray[np.float32], truth: NDArray[np.int8], schema: Schema,
    settings: TrainSettings, accelerator: Accelerator, rows: NDArray[np.bool_] | None = None,
) -> None:  # fmt: skip
    """Set the head to the regression from vectors [documents, hidden] to classes, int8 [documents, classes].

    Args:
        rows: bool [classes], which rows are set; None: all. The others are those of an earlier run, and the new ones
            are made as long as they are on average: fine-tuned rows are of other sizes.
    """
    started = time.monotonic()
    c = cast(float, settings.probe_c)
    head = fit_head(features, truth, schema.multi_label, c) if accelerator.is_main_process else None
    weights, bias = from_main(head, accelerator)
    if rows is not None and not rows.all():
        kept = model.head.weight.detach().cpu().numpy(), model.head.bias.detach().cpu().numpy()
        length = np.linalg.norm(kept[0][~rows], axis=1).mean() / np.linalg.norm(weights[~rows], axis=1).mean()
        weights = np.where(rows[:, None], weights * length, kept[0]).astype(np.float32)
        bias = np.where(rows, bias * length, kept[1]).astype(np.float32)
    set_weights(model, {"head.weight": torch.from_numpy(weights), "head.bias": torch.from_numpy(bias)})
    log.info(f"head from a logistic regression in {time.monotonic() - started:.1f} s")
