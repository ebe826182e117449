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

from tagsmith.config.settings import Recipe
from tagsmith.core.errors import counted
from tagsmith.core.run import RunFolder
from tagsmith.model.attention import use_fp32_attention
from tagsmith.model.packed import why_padded
from tagsmith.model.pretrained_vectors import save_vectors
from tagsmith.model.probe import draw_documents, fit_head
from tagsmith.model.processes import from_main
from tagsmith.model.score import Encoded, score
from tagsmith.model.sharding import set_weights
from tagsmith.model.text_classifier import TextClassifier, freeze_embeddings
from tagsmith.tokens.windows import EncodedDocuments
from tagsmith.train import lora, soup
from tagsmith.train.dropout import use_fast_dropout
from tagsmith.train.frozen import TokenStates, freeze_layers, lower_part, upper_part
from tagsmith.train.loop import fit
from tagsmith.train.training_job import Folds, TaggedSplit, Trainable, TrainingJob

log = logging.getLogger("tagsmith")


def configure_device(classifier: TextClassifier, encoded: Encoded, accelerator: Accelerator) -> None:
    """Choose how windows go through the encoder on this device: packed on a GPU that can do so, else padded."""
    if accelerator.device.type == "cpu":
        use_fast_dropout(classifier.encoder)
        if accelerator.mixed_precision == "bf16":
            use_fp32_attention(classifier.encoder)
        return
    # The shortest and the longest document: windows of different lengths, if there are any.
    batch = encoded.batch(np.argsort(encoded.lengths, kind="stable")[[0, -1]])
    reason = why_padded(classifier.encoder, classifier.features, batch, accelerator)
    classifier.packs = reason is None
    log.info(f"windows are padded: {reason}" if reason else "windows are packed, without padding")


def fit_recipe(
    job: TrainingJob,
    tagged: dict[str, TaggedSplit],
    start: Path | None,
    documents: NDArray[np.int64] | None = None,
    outputs: RunFolder | None = None,
) -> tuple[TextClassifier, Encoded]:
    """Fit the weights of the model to the training documents, as the recipe says.

    Args:
        tagged: the splits `train` and, if there is one, `validation`, encoded as `EncodedDocuments`.
        start: the checkpoint to resume from, of the first training of a soup that is not finished; None: start from
            the weights that the model has.
        documents: positions of the training documents to train on; None: all.
        outputs: where figures, checkpoints and the weights of a soup are written; None: into the run.

    Returns:
        What computes logits (the model's classifier, or its upper part), and the training documents as its input.
    """
    recipe, accelerator = job.recipe, job.accelerator
    set_seed(recipe.seed, device_specific=True)  # What comes before may have drawn random numbers.
    classifier, tagged = freeze(job, tagged)
    everything = tagged["train"]
    train = everything if documents is None else everything.part(documents)
    outputs = outputs or job.run
    first = from_main(soup.count_finished(outputs), accelerator) if recipe.soup > 1 else 0
    needs_head = start is None or first + 1 < recipe.soup  # Some training starts with the head.
    if needs_head and (rows := rows_to_fit(job, classifier)).any():
        is_probe = recipe.recipe is Recipe.probe
        most = len(train.labels) if is_probe else recipe.probe_documents
        drawn = draw_documents(train.labels, most, recipe.seed)
        features = embed(job, classifier, train.encoded, drawn, exact=is_probe)
        # The analysis needs the same vectors: of all training documents, by the pretrained encoder.
        is_pretrained = classifier is job.model.classifier and recipe.start_from is None
        if is_pretrained and documents is None and len(drawn) == len(train.labels) and accelerator.is_main_process:
            save_vectors(job.run, "train", features)
        set_head(job, classifier, features, train.truth(job.model.schema)[drawn], rows)
    if recipe.recipe is Recipe.probe:
        return classifier, everything.encoded
    trainable = Trainable(classifier, train, tagged.get("validation"))
    if recipe.soup == 1:
        _fine_tune(job, trainable, outputs, start)
    else:
        _fine_tune_soup(job, trainable, outputs, start, first)
    return classifier, everything.encoded


def _fine_tune(job: TrainingJob, trainable: Trainable, outputs: RunFolder, start: Path | None) -> None:
    """One training, from the head that the model has; arguments as of `fit_recipe`."""
    started, recipe = time.monotonic(), job.recipe
    adapters = lora.add_adapters(trainable.classifier, recipe.lora) if recipe.recipe is Recipe.lora else None
    fit(job, trainable, outputs, start)
    if adapters is not None:
        lora.merge(adapters)
    log.info(f"fine-tuned in {time.monotonic() - started:.1f} s")


def _fine_tune_soup(job: TrainingJob, trainable: Trainable, outputs: RunFolder, start: Path | None, first: int) -> None:
    """The trainings of a soup from number `first` on, each from the same weights; then the average of all."""
    recipe, model = job.recipe, job.model.classifier
    before = {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}
    outputs.soup.mkdir(exist_ok=True)
    for number in range(first, recipe.soup):
        log.info(f"training {number + 1} of {recipe.soup}")
        one, folder = job, soup.folder_of(outputs, number)
        if number > 0:
            # MLflow would draw the steps of two trainings as one curve: it gets those of the first.
            one = replace(job, recipe=replace(recipe, seed=recipe.seed + number, mlflow=None))
            model.load_state_dict(before)
            set_seed(one.recipe.seed, device_specific=True)
            folder.path.mkdir(exist_ok=True)
        _fine_tune(one, trainable, folder, start if number == first else None)
        soup.keep(outputs, number, model, job.accelerator)
        job.accelerator.free_memory()
    soup.average(outputs, recipe.soup, model)
    log.info(f"averaged the weights of {recipe.soup} trainings")


def fit_fold(job: TrainingJob, folds: Folds, number: int) -> tuple[TextClassifier, Encoded]:
    """As `fit_recipe`, on all training documents except those of one fold; no file of it is kept."""
    # Without validation, checkpoints, and the weights of an earlier run, which was trained on all documents.
    recipe = replace(
        job.recipe,
        start_from=None,
        early_stopping_patience=None,
        tensorboard=False,
        mlflow=None,
        validate_every=None,
        checkpoint_every=None,
        checkpoint_minutes=None,
    )
    scratch = RunFolder(job.run.comparison)
    scratch.path.mkdir(exist_ok=True)
    if job.accelerator.is_main_process:
        scratch.metrics.unlink(missing_ok=True)
        shutil.rmtree(scratch.soup, ignore_errors=True)
    return fit_recipe(replace(job, recipe=recipe), {"train": folds.train}, None, folds.inside(number), scratch)


def freeze(job: TrainingJob, tagged: dict[str, TaggedSplit]) -> tuple[TextClassifier, dict[str, TaggedSplit]]:
    """Freeze what the recipe says and nothing else; returns what is left to train, and the splits as its input."""
    recipe, model = job.recipe, job.model.classifier
    model.requires_grad_(True)
    if recipe.recipe is Recipe.probe or not recipe.frozen_layers:
        if recipe.freeze_embeddings:
            freeze_embeddings(model)
        return model, tagged
    freeze_layers(model, recipe.frozen_layers)
    lower = lower_part(model, recipe.frozen_layers)
    inputs: dict[str, TaggedSplit] = {}
    for name, split in tagged.items():
        states = TokenStates(cast(EncodedDocuments, split.encoded), lower, job.accelerator)
        states.keep(job.run.frozen_states / f"{name}.f16", recipe.frozen_states_gib, recipe.scoring_tokens)
        inputs[name] = replace(split, encoded=states)
    return upper_part(model, recipe.frozen_layers), inputs


def embed(
    job: TrainingJob, classifier: TextClassifier, encoded: Encoded, documents: NDArray[np.int64], exact: bool
) -> NDArray[np.float32]:
    """The encoder's vectors of these documents, float32 [documents, hidden].

    Args:
        exact: in fp32, as in evaluation, for a head that stays as the regression fits it; else in the precision of
            training, which continues from that head.
    """
    started, tokens, packed = time.monotonic(), job.recipe.scoring_tokens, classifier.packs and not exact
    with nullcontext() if exact else job.accelerator.autocast():
        features = score(
            classifier.eval().features, encoded, tokens, job.accelerator, "embedding", documents, packed=packed
        )
    log.info(f"{counted(len(features), 'document')} embedded in {time.monotonic() - started:.1f} s")
    return features


def rows_to_fit(job: TrainingJob, classifier: TextClassifier) -> NDArray[np.bool_]:
    """Which rows of the head a regression must fit, bool [classes]: all except those from an earlier run."""
    if job.recipe.start_from is None:
        return np.ones(classifier.head.out_features, dtype=np.bool_)
    return (classifier.head.weight.detach() == 0).all(dim=1).cpu().numpy()


def set_head(
    job: TrainingJob,
    classifier: TextClassifier,
    features: NDArray[np.float32],
    truth: NDArray[np.int8],
    rows: NDArray[np.bool_] | None = None,
) -> None:
    """Set the head to the regression from vectors [documents, hidden] to classes, int8 [documents, classes].

    Args:
        rows: bool [classes], which rows are set; None: all. The others come from an earlier run; the new ones are
            scaled to their average length, because fine-tuning changes the length of rows.
    """
    started, is_main = time.monotonic(), job.accelerator.is_main_process
    head = fit_head(features, truth, job.model.schema.multi_label, job.recipe.probe_c) if is_main else None
    weights, bias = from_main(head, job.accelerator)
    if rows is not None and not rows.all():
        kept = classifier.head.weight.detach().cpu().numpy(), classifier.head.bias.detach().cpu().numpy()
        length = np.linalg.norm(kept[0][~rows], axis=1).mean() / np.linalg.norm(weights[~rows], axis=1).mean()
        weights = np.where(rows[:, None], weights * length, kept[0]).astype(np.float32)
        bias = np.where(rows, bias * length, kept[1]).astype(np.float32)
    set_weights(classifier, {"head.weight": torch.from_numpy(weights), "head.bias": torch.from_numpy(bias)})
    log.info(f"head from a logistic regression in {time.monotonic() - started:.1f} s")
