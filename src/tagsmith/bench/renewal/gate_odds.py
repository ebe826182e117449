"""`scripts/bench_refresh.py measure=gate`: how often the gate lets a worse version through or holds a better one back.

Versions are regressions on the vectors of the frozen encoder, trained on different documents, some of them with wrong
tags. A large hidden set says which of two versions is better in truth; test sets are drawn from it with replacement, so
that the hidden set is the population.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tagsmith.bench.renewal.arrivals import Arrival, read_arrivals
from tagsmith.config.settings import BenchRefreshRun
from tagsmith.core.progress import meter
from tagsmith.core.schema import Schema, indicators_of_names
from tagsmith.decision.bootstrap import OVERALL, contributions, figures
from tagsmith.decision.metrics import probabilities
from tagsmith.decision.significance import LEVEL
from tagsmith.evaluate.comparison.margin import Gain, Margin, margin_of
from tagsmith.evaluate.comparison.paired import Decided, compare_answers, losses
from tagsmith.model.loaded_model import load_pretrained
from tagsmith.model.probe import fit_head, probe_c
from tagsmith.model.processes import start_accelerator
from tagsmith.model.score import score
from tagsmith.refresh.gate import checks

log = logging.getLogger("tagsmith")

TEST_SIZES = (200, 1000, 3000)

FIXED = 0.005
"""The margin on point estimates that others use."""

CHALLENGERS = {"more documents": (1.3, 0.0), "as many": (1.0, 0.0), "fewer": (0.8, 0.0), "5% wrong": (1.0, 0.05),
               "15% wrong": (1.0, 0.15)}  # fmt: skip
"""Documents as a multiple of those of the version in production, and the share of them with a wrong tag."""

RESAMPLES = 1000

GATES = ("not_worse", "better", "fixed")

COLUMNS = (
    "test documents",
    "gate",
    "margin, points",
    "worse, let through",
    "worse by more than the margin, let through",
    "better, held back",
)

Floats = NDArray[np.floating]


@dataclass
class Odds:
    """What a gate did with test sets of one size.

    Attributes:
        worse, far_worse, better: pairs of versions and test sets in which the challenger is worse in truth, worse by
            more than the margin, better.
        let_through, let_through_far, held_back: of these, those that the gate decided wrongly.
    """

    documents: int
    gate: str
    margin: float
    worse: int = 0
    far_worse: int = 0
    better: int = 0
    let_through: int = 0
    let_through_far: int = 0
    held_back: int = 0

    def count(self, truth: float, promoted: bool) -> None:
        self.worse += truth < 0
        self.far_worse += truth < -self.margin
        self.better += truth > 0
        self.let_through += truth < 0 and promoted
        self.let_through_far += truth < -self.margin and promoted
        self.held_back += truth > 0 and not promoted


@dataclass
class Trained:
    """A version: its scores of the hidden documents [documents, classes], its decisions, its figure in truth."""

    scores: Floats
    predicted: NDArray[np.int8]
    truth: float = field(default=0.0)


def gate_odds(settings: BenchRefreshRun) -> list[Odds]:
    """Judge pairs of versions on `draws` test sets of each size."""
    arrivals = read_arrivals(settings.data, settings.task, settings.hidden, settings.seed)
    schema = arrivals.schema
    truth = indicators_of_names([one.labels for one in arrivals.hidden], schema.classes)
    vectors = _vectors(settings, schema, [*arrivals.documents, *arrivals.hidden])
    known, hidden = vectors[: len(arrivals.documents)], vectors[len(arrivals.documents) :]
    tags = indicators_of_names([one.labels for one in arrivals.documents], schema.classes)
    random = np.random.default_rng(settings.seed)
    margins = {size: _margin(settings, size).value for size in TEST_SIZES}
    found = {
        (size, gate): Odds(size, gate, FIXED if gate == "fixed" else margins[size])
        for size in TEST_SIZES
        for gate in GATES
    }
    pairs = settings.pairs * len(CHALLENGERS)
    with meter("judging", pairs * len(TEST_SIZES) * settings.draws, "decisions") as bar:
        for _ in range(settings.pairs):
            champion = _train(settings, known, tags, hidden, truth, random, 1.0, 0.0, schema)
            for name, (multiple, wrong) in CHALLENGERS.items():
                challenger = _train(settings, known, tags, hidden, truth, random, multiple, wrong, schema)
                log.info(f"{name}: {challenger.truth:.4f} in truth, in production {champion.truth:.4f}")
                for size, gate, promoted in _judged(settings, champion, challenger, truth, schema, random):
                    found[size, gate].count(challenger.truth - champion.truth, promoted)
                    bar.advance(gate == "fixed")
    return list(found.values())


def _margin(settings: BenchRefreshRun, size: int) -> Margin:
    # The value depends on the number of documents alone.
    return margin_of(settings.margin, settings.by, np.eye(size, 2, dtype=np.int8))


def _vectors(settings: BenchRefreshRun, schema: Schema, documents: Sequence[Arrival]) -> Floats:
    """Vectors of the frozen encoder, float32 [documents, hidden]."""
    model = load_pretrained(settings.model, settings.data, schema, settings.evaluate.threshold)
    encoded = model.encode_cached(settings.cache, "documents", [one.text for one in documents])
    accelerator = start_accelerator(settings.train.cpu)
    model.classifier.to(accelerator.device).eval()
    return score(model.classifier.features, encoded, settings.evaluate.batch_tokens, accelerator, "embedding documents")


def _train(
    settings: BenchRefreshRun,
    known: Floats,
    tags: NDArray[np.int8],
    hidden: Floats,
    truth: NDArray[np.int8],
    random: np.random.Generator,
    multiple: float,
    wrong: float,
    schema: Schema,
) -> Trained:
    """A regression on randomly drawn documents, some with the tags of other documents."""
    drawn = random.choice(len(known), min(len(known), round(multiple * settings.first)), replace=False)
    given = tags[drawn].copy()
    mistaken = np.flatnonzero(random.random(len(drawn)) < wrong)
    given[mistaken] = given[random.permutation(mistaken)]
    weights, bias = fit_head(known[drawn], given, schema.multi_label, probe_c(schema.multi_label))
    scores = probabilities((hidden @ weights.T + bias).astype(np.float32), schema.multi_label)
    if schema.multi_label:
        predicted = (scores >= settings.evaluate.threshold).astype(np.int8)
    else:
        predicted = np.eye(scores.shape[1], dtype=np.int8)[scores.argmax(axis=1)]
    figure = figures(contributions(truth, predicted).sum(axis=0))[OVERALL.index(settings.by.value)]
    return Trained(scores, predicted, float(figure))


def _judged(
    settings: BenchRefreshRun,
    champion: Trained,
    challenger: Trained,
    truth: NDArray[np.int8],
    schema: Schema,
    random: np.random.Generator,
) -> Iterator[tuple[int, str, bool]]:
    """For each test set its size, a gate, and whether it promotes."""
    for size in TEST_SIZES:
        for _ in range(settings.draws):
            at = random.integers(0, len(truth), size)
            margin = margin_of(settings.margin, settings.by, truth[at])
            decided = [
                Decided(one.predicted[at], losses(one.scores[at], truth[at], schema.multi_label))
                for one in (champion, challenger)
            ]
            compared = compare_answers(truth[at], decided[0], decided[1], RESAMPLES, int(random.integers(2**31)))
            gain = Gain.of(compared, settings.by)
            p_values = checks.corrected(compared, truth[at].sum(axis=0), settings.bounds.min_class_documents)
            fallen = (p_values < LEVEL) & (compared.classes.difference[:, checks.F1] < 0)
            yield size, "not_worse", checks.not_worse(gain, margin).passed and not fallen.any()
            yield size, "better", gain.better
            yield size, "fixed", gain.value > -FIXED


def odds_table(found: Sequence[Odds]) -> str:
    """The odds as a table."""
    table = Table(box=None, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name)
    for one in found:
        counts = ((one.let_through, one.worse), (one.let_through_far, one.far_worse), (one.held_back, one.better))
        shares = [f"{wrong} of {of} ({wrong / of:.1%})" if of else "-" for wrong, of in counts]
        table.add_row(f"{one.documents:,}", one.gate, f"{100 * one.margin:.1f}", *shares)
    console = Console(width=140)
    with console.capture() as shown:
        console.print(table)
    return shown.get().rstrip("\n")
