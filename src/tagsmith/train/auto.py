"""Which recipe: the probe, or fine-tuning of half or of all layers, by cross-validation within a time budget."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from tagsmith.config.settings import Recipe, TrainRun, TrainSettings
from tagsmith.core.errors import Interrupted, SettingsError, counted
from tagsmith.core.files import read_json, write_json
from tagsmith.core.run import RunFolder
from tagsmith.core.schema import Schema
from tagsmith.evaluate.evaluate_run import figures_of, objective_value, summary
from tagsmith.model.processes import from_main
from tagsmith.model.score import score
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.train.fit import embed, fit_fold, set_head
from tagsmith.train.frozen import layers_of
from tagsmith.train.loop import TaggedSplit

log = logging.getLogger("tagsmith")

Ints = NDArray[np.int64]

TRAINING = 3.5
"""Time of a training step over that of a forward pass, until one has been measured."""


@dataclass
class Candidate:
    """One recipe and how it did.

    Attributes:
        frozen_layers: None: the probe.
        scores: on each fold, of the metric by which recipes are compared; higher is better.
        seconds: of training on a fold; before the first, what is expected.
        chosen: the comparison has ended with it.
    """

    frozen_layers: int | None
    seconds: float
    scores: list[float] = field(default_factory=list)
    chosen: bool = False

    def settings(self, given: TrainSettings) -> TrainSettings:
        """The recipe's own."""
        if self.frozen_layers is None:
            return replace(given, recipe=Recipe.probe)
        return replace(given, recipe=Recipe.finetune, frozen_layers=self.frozen_layers)


def choose(
    model: TextClassifier, train: TaggedSplit, folds: Ints, schema: Schema, settings: TrainRun, run: RunFolder,
    accelerator: Accelerator,
) -> TrainSettings:  # fmt: skip
    """The settings of the recipe that is best on held-out folds; those of the probe, if none is better.

    A recipe that would not be trained within `train.time_budget`, comparison included, is left out. The model is left
    as it was. `choice.json` in the run keeps what is found, so that an interrupted comparison goes on, and a finished
    one stays as it is.

    Args:
        folds: int64 [documents], the fold in which each training document is held out.
    """
    given, numbers = settings.train, range(int(folds.max()) + 1)
    candidates = _candidates(model, run)
    if (earlier := next((c for c in candidates.values() if c.chosen), None)) is not None:
        return earlier.settings(given)
    if len(numbers) < 2:
        log.info("auto: takes probe; all documents are of one group, so there is nothing to compare by")
        return candidates["probe"].settings(given)
    deadline = time.monotonic() + given.time_budget
    before = {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}
    if len(candidates["probe"].scores) < len(numbers):
        _score_probe(model, candidates, train, folds, schema, settings, accelerator)
        _keep(run, candidates, accelerator)
    for fold in numbers:
        for name, candidate in candidates.items():
            if len(candidate.scores) != fold:
                continue  # Known already, or there was no time for an earlier fold.
            # On all documents training takes longer than on those of all folds but one.
            needed = candidate.seconds * (1 + len(numbers) / (len(numbers) - 1))
            left = deadline - time.monotonic()
            if not from_main(needed <= left, accelerator):
                log.info(f"auto: no time for {name}, fold {fold + 1}: {needed:,.0f} s needed, {left:,.0f} s left")
                continue
            started = time.monotonic()
            score_of_fold = _train_fold(model, candidate, train, folds, fold, schema, settings, run, accelerator)
            candidate.scores.append(score_of_fold)
            candidate.seconds = time.monotonic() - started
            model.load_state_dict(before)
            _keep(run, candidates, accelerator)
    model.load_state_dict(before)
    best = candidates[from_main(_best(candidates, given), accelerator)]
    best.chosen = True
    _keep(run, candidates, accelerator)
    return best.settings(given)


def _score_probe(
    model: TextClassifier, candidates: dict[str, Candidate], train: TaggedSplit, folds: Ints, schema: Schema,
    settings: TrainRun, accelerator: Accelerator,
) -> None:  # fmt: skip
    """Score the probe on all folds, which costs one pass over the documents; expect the others' seconds from it."""
    started, numbers, truth = time.monotonic(), range(int(folds.max()) + 1), train.truth(schema)
    everything = np.arange(len(train.labels))
    features = embed(model, train.encoded, settings.evaluate.batch_tokens, accelerator, everything, exact=True)
    forward = time.monotonic() - started
    probe = candidates["probe"]
    probe.scores.clear()
    for fold in numbers:
        inside, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        set_head(model, features[inside], truth[inside], schema, settings.train, accelerator)
        weights, bias = (parameter.detach().cpu().numpy() for parameter in (model.head.weight, model.head.bias))
        probe.scores.append(_judge(features[held_out] @ weights.T + bias, train, held_out, schema, settings))
    for name, candidate in candidates.items():
        if candidate is not probe:
            layers = 0.5 if name == "partial" else 1.0
            epochs = cast(int, settings.train.epochs) * settings.train.soup
            candidate.seconds = forward * TRAINING * epochs * layers * (1 - 1 / len(numbers))


def _train_fold(
    model: TextClassifier, candidate: Candidate, train: TaggedSplit, folds: Ints, fold: int, schema: Schema,
    settings: TrainRun, run: RunFolder, accelerator: Accelerator,
) -> float:  # fmt: skip
    """Train on all folds but one, return how good it is on that one."""
    held_out = np.flatnonzero(folds == fold)
    settings = replace(settings, train=candidate.settings(settings.train))
    try:
        trained, encoded = fit_fold(model, train, folds, fold, schema, settings, run, accelerator)
    except Interrupted:
        raise Interrupted("recipes were compared") from None
    batch_tokens = settings.evaluate.batch_tokens
    logits = score(trained.eval(), encoded, batch_tokens, accelerator, f"scoring fold {fold + 1}", held_out)
    accelerator.free_memory()
    return _judge(logits, train, held_out, schema, settings)


def _judge(
    logits: NDArray[np.float32], train: TaggedSplit, held_out: Ints, schema: Schema, settings: TrainRun
) -> float:
    figures = figures_of(logits, _of(train.labels, held_out), schema, settings.evaluate.threshold)
    return objective_value(summary(figures), settings.train.best_metric)


def chosen(run: RunFolder, given: TrainSettings) -> TrainSettings:
    """The settings of the recipe that a finished comparison has chosen: the probe, where there was nothing to choose.

    Raises:
        DataError: what the comparison wrote is damaged.
    """
    found = _stored_candidates(run).values() if run.choice.is_file() else []
    best = next((candidate for candidate in found if candidate.chosen), Candidate(None, 0.0))
    return best.settings(given)


def _best(candidates: dict[str, Candidate], given: TrainSettings) -> str:
    """The name of the one that gains most over the probe, on the folds that it was trained for."""
    probe = candidates["probe"]
    best, most = "probe", 0.0
    for name, candidate in candidates.items():
        if candidate is probe or not candidate.scores:
            continue
        of_probe = probe.scores[: len(candidate.scores)]
        gain = float(np.mean(candidate.scores) - np.mean(of_probe))
        found, beside = abs(float(np.mean(candidate.scores))), abs(float(np.mean(of_probe)))
        log.info(
            f"auto: {name}, {counted(len(of_probe), 'fold')}: {given.best_metric.value} {found:.4f}, "
            f"the probe's {beside:.4f}; {candidate.seconds:,.0f} s a fold"
        )
        if gain > most:
            best, most = name, gain
    log.info(f"auto: takes {best}")
    return best


def _candidates(model: TextClassifier, run: RunFolder) -> dict[str, Candidate]:
    """Those of an interrupted comparison, with what is known of them; else new ones."""
    if run.choice.is_file():
        return _stored_candidates(run)
    candidates = {"probe": Candidate(None, 0.0)}
    try:
        if half := len(layers_of(model.encoder)) // 2:
            candidates["partial"] = Candidate(half, 0.0)
    except SettingsError as error:
        log.info(f"auto: {error}")
    return candidates | {"full": Candidate(0, 0.0)}


def _stored_candidates(run: RunFolder) -> dict[str, Candidate]:
    def parse(content: Any) -> dict[str, Candidate]:
        return {name: Candidate(**about) for name, about in content.items()}

    return read_json(run.choice, parse, "the comparison of train=auto", "restore it")


def _keep(run: RunFolder, candidates: dict[str, Candidate], accelerator: Accelerator) -> None:
    if accelerator.is_main_process:
        write_json(run.choice, {name: asdict(candidate) for name, candidate in candidates.items()})


def _of(values: Sequence[Any], documents: Ints) -> list[Any]:
    return [values[int(i)] for i in documents]
