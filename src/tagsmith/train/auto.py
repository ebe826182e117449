"""Choosing a recipe: the probe, or fine-tuning of half or all layers, by cross-validation within a time budget."""

import logging
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from tagsmith.config.settings import BestMetric, Recipe
from tagsmith.core.errors import Interrupted, SettingsError, counted
from tagsmith.core.files import read_json, write_json
from tagsmith.core.run import RunFolder
from tagsmith.decision.metrics import decide, probabilities
from tagsmith.evaluate.evaluate_run import figures_of, objective_value, summary
from tagsmith.model.processes import from_main
from tagsmith.model.score import score
from tagsmith.model.text_classifier import TextClassifier
from tagsmith.train.fit import embed, fit_fold, set_head
from tagsmith.train.frozen import layers_of
from tagsmith.train.resolved_recipe import ResolvedRecipe
from tagsmith.train.training_job import Folds, Ints, TrainingJob

log = logging.getLogger("tagsmith")

TRAINING = 3.5
"""Time of a training step over that of a forward pass, until one is measured."""

AHEAD = 0.5
"""A recipe over which another one leads by this many standard errors is given up (measured in README.md)."""


@dataclass
class Candidate:
    """A recipe and its results.

    Attributes:
        frozen_layers: None: the probe.
        scores: on each fold, of the metric by which recipes are compared; higher is better.
        seconds: of training on a fold; an estimate before the first one.
        by_document: on each fold, how well each held-out document is decided, see `_by_document`.
        chosen: the comparison is finished, and this recipe has won.
    """

    frozen_layers: int | None
    seconds: float
    scores: list[float] = field(default_factory=list)
    by_document: list[list[float]] = field(default_factory=list)
    chosen: bool = False

    def lead(self, other: "Candidate", folds: int | None = None) -> float:
        """How far it is ahead of another one: the mean gain of a document over its standard error.

        On the folds that both were trained for, of the first `folds`; None: of all.
        """
        pairs = zip(self.by_document[:folds], other.by_document, strict=False)
        gains = np.concatenate([np.subtract(*pair) for pair in pairs])
        return float(gains.mean() / max(gains.std() / np.sqrt(len(gains)), 1e-9))

    def recipe(self, given: ResolvedRecipe) -> ResolvedRecipe:
        """The given recipe, with what makes it this candidate."""
        if self.frozen_layers is None:
            return replace(given, recipe=Recipe.probe)
        return replace(given, recipe=Recipe.finetune, frozen_layers=self.frozen_layers)


def choose_recipe(job: TrainingJob, folds: Folds) -> ResolvedRecipe:
    """The fastest recipe of those that are not behind another one on held-out folds, see `_left`.

    After each fold, a recipe that is behind gets no further one, until one is left: a race (Maron and Moore, Hoeffding
    Races, NIPS 1993). Recipes that cannot be compared and trained within `train.time_budget` are left out. The model's
    weights stay as they were. `choice.json` in the run keeps all results, so that an interrupted comparison is resumed,
    and a finished one is not repeated.
    """
    model, accelerator, given = job.model.classifier, job.accelerator, job.recipe
    candidates = _candidates(model, job.run)
    if (earlier := next((c for c in candidates.values() if c.chosen), None)) is not None:
        return earlier.recipe(given)
    if len(folds) < 2:
        log.info("auto: chose probe; all documents are of one group, which leaves no folds to compare recipes on")
        return candidates["probe"].recipe(given)
    deadline = time.monotonic() + given.time_budget
    before = {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}
    if len(candidates["probe"].scores) < len(folds):
        _score_probe(job, candidates, folds)
        _keep(job.run, candidates, accelerator)
    for fold in range(len(folds)):
        ahead = from_main(_left(candidates, fold), accelerator) if fold else [*candidates]
        racing = {name: candidates[name] for name in ahead if len(candidates[name].scores) >= fold}
        if len(racing) < 2:
            break
        for name, candidate in racing.items():
            if len(candidate.scores) > fold:
                continue  # The probe, or trained before an interruption.
            # Training on all documents takes longer than on those of all folds but one.
            needed = candidate.seconds * (1 + len(folds) / (len(folds) - 1))
            left = deadline - time.monotonic()
            if not from_main(needed <= left, accelerator):
                log.info(f"auto: no time for {name}, fold {fold + 1}: {needed:,.0f} s needed, {left:,.0f} s left")
                continue
            started = time.monotonic()
            score, by_document = _train_fold(job, candidate, folds, fold)
            candidate.scores.append(score)
            candidate.by_document.append(by_document)
            candidate.seconds = time.monotonic() - started
            model.load_state_dict(before)
            _keep(job.run, candidates, accelerator)
    model.load_state_dict(before)
    _log_results(candidates, given.best_metric)
    name = from_main(next(iter(_left(candidates)), "probe"), accelerator)
    log.info(f"auto: chose {name}")
    best = candidates[name]
    best.chosen = True
    _keep(job.run, candidates, accelerator)
    return best.recipe(given)


def _score_probe(job: TrainingJob, candidates: dict[str, Candidate], folds: Folds) -> None:
    """Score the probe on all folds, in one pass over the documents; estimate the others' seconds from it."""
    started, model = time.monotonic(), job.model.classifier
    truth = folds.train.truth(job.model.schema)
    features = embed(job, model, folds.train.encoded, np.arange(len(truth)), exact=True)
    forward = time.monotonic() - started
    probe = candidates["probe"]
    probe.scores, probe.by_document = [], []
    for fold in range(len(folds)):
        inside, held_out = folds.inside(fold), folds.held_out(fold)
        set_head(job, model, features[inside], truth[inside])
        weights, bias = (parameter.detach().cpu().numpy() for parameter in (model.head.weight, model.head.bias))
        score, by_document = _judge(job, features[held_out] @ weights.T + bias, folds, held_out)
        probe.scores.append(score)
        probe.by_document.append(by_document)
    for name, candidate in candidates.items():
        if candidate is not probe:
            layers = 0.5 if name == "partial" else 1.0
            epochs = job.recipe.epochs * job.recipe.soup
            candidate.seconds = forward * TRAINING * epochs * layers * (1 - 1 / len(folds))


def _train_fold(job: TrainingJob, candidate: Candidate, folds: Folds, fold: int) -> tuple[float, list[float]]:
    """Train on all folds but one, and return what `_judge` says of that one."""
    job = replace(job, recipe=candidate.recipe(job.recipe))
    try:
        trained, encoded = fit_fold(job, folds, fold)
    except Interrupted:
        raise Interrupted("while comparing recipes") from None
    tokens, held_out = job.recipe.scoring_tokens, folds.held_out(fold)
    logits = score(trained.eval(), encoded, tokens, job.accelerator, f"scoring fold {fold + 1}", held_out)
    job.accelerator.free_memory()
    return _judge(job, logits, folds, held_out)


def _judge(job: TrainingJob, logits: NDArray[np.float32], folds: Folds, held_out: Ints) -> tuple[float, list[float]]:
    """The metric by which recipes are compared, on these documents, and how well each of them is decided."""
    part, schema, threshold = folds.train.part(held_out), job.model.schema, job.model.encoding.threshold
    score = objective_value(summary(figures_of(logits, part.labels, schema, threshold)), job.recipe.best_metric)
    scores, truth = probabilities(logits, schema.multi_label), part.truth(schema)
    by_loss = job.recipe.best_metric is BestMetric.log_loss
    values = _by_document(scores, truth, by_loss, schema.multi_label, threshold)
    return score, values.round(3).tolist()


def _by_document(
    scores: NDArray[np.float32], truth: NDArray[np.int8], by_loss: bool, multi_label: bool, threshold: float
) -> NDArray[np.float64]:
    """How well each document is decided, float64 [documents]; higher is better.

    The F1 of its classes, which is 1 where it has and gets none, and for a single label whether it is right;
    `by_loss`: the logarithm of its likelihood.
    """
    if by_loss:
        likely = np.where(truth == 1, scores, 1 - scores if multi_label else 1.0)
        logs: NDArray[np.float64] = np.log(np.maximum(likely, 1e-7)).sum(axis=1, dtype=np.float64)
        return logs
    predicted = decide(scores, multi_label, threshold)
    both, either = (predicted & truth).sum(axis=1), predicted.sum(axis=1) + truth.sum(axis=1)
    shares: NDArray[np.float64] = np.where(either > 0, 2 * both / np.maximum(either, 1), 1.0)
    return shares


def chosen_recipe(run: RunFolder, given: ResolvedRecipe) -> ResolvedRecipe:
    """The recipe that a finished comparison has chosen: the probe, if there was nothing to compare.

    Raises:
        DataError: `choice.json` is damaged.
    """
    found = _stored_candidates(run).values() if run.choice.is_file() else []
    best = next((candidate for candidate in found if candidate.chosen), Candidate(None, 0.0))
    return best.recipe(given)


def _left(candidates: dict[str, Candidate], folds: int | None = None) -> list[str]:
    """The names of the recipes over which none leads by `AHEAD` standard errors, fastest first.

    Args:
        folds: only the results of the first ones count; None: all.
    """
    known = {name: one for name, one in candidates.items() if one.scores}
    return [name for name, one in known.items() if all(other.lead(one, folds) < AHEAD for other in known.values())]


def _log_results(candidates: dict[str, Candidate], metric: BestMetric) -> None:
    probe = candidates["probe"]
    for name, candidate in candidates.items():
        if candidate is probe or not candidate.scores:
            continue
        of_probe = probe.scores[: len(candidate.scores)]
        log.info(
            f"auto: {name}, {counted(len(of_probe), 'fold')}: {metric.value} {abs(np.mean(candidate.scores)):.4f}, "
            f"probe {abs(np.mean(of_probe)):.4f}; {candidate.lead(probe):.1f} standard errors ahead; "
            f"{candidate.seconds:,.0f} s a fold"
        )


def _candidates(model: TextClassifier, run: RunFolder) -> dict[str, Candidate]:
    """Those of an interrupted comparison with their results, else new ones."""
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
