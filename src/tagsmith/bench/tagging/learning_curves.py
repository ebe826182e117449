"""Backtest of the learning curve: the gain that it predicts for 50 % more documents, and the gain found."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from tagsmith import data
from tagsmith.bench.tagging.simulation import Vectors, embed
from tagsmith.config.settings import AnalysisSettings, BenchCurveRun
from tagsmith.core.errors import SettingsError
from tagsmith.data.split import draw_folds
from tagsmith.decision.bootstrap import OVERALL, contributions, figures
from tagsmith.decision.rule import DecisionRule
from tagsmith.evaluate.analysis.baselines import predict_with_rule, probe_logits
from tagsmith.evaluate.analysis.learning_curve import GROWTH, LEAST, learning_curve, predictions_by_share

MOST_CLASSES = 10
"""The number of classes per draw that get more documents one at a time."""


@dataclass(frozen=True)
class Backtest:
    """Predicted and actual gains for one number of training documents.

    Attributes:
        figure: macro F1, F1 of a class, or F1 of a class with more documents of that class alone.
        cases: number of gains.
        held: share of the gains inside their intervals.
        below: share of the gains below their intervals.
        expected, found: means over the cases.
        width: of the intervals, mean over the cases.
    """

    documents: int
    figure: str
    cases: int
    held: float
    below: float
    expected: float
    found: float
    width: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def backtest(settings: BenchCurveRun) -> Iterator[Backtest]:
    """Draw documents, compute their curve, add more documents; yields the results of each size.

    Raises:
        SettingsError: there is no test split, or there are too few training documents for a size and its growth, or for
            a curve.
        InputMissing, DataError: see `data.load` and `loaded_model.load_pretrained`.
    """
    tagged = data.load(settings.data, settings.task, settings.seed)
    if "test" not in tagged.splits:
        raise SettingsError(
            "data.test_share=0: there is no test split to evaluate on; set data.test_share or a test file."
        )
    most = int(len(tagged.splits["train"]) / GROWTH)
    if too_large := [size for size in settings.sizes if size > most]:
        raise SettingsError(f"sizes: expected at most {most:,} (two thirds of the documents), found {too_large}.")
    vectors = embed(tagged, settings)
    for size in settings.sizes:
        cases: dict[str, list[tuple[dict[str, float], float]]] = {}
        for draw in range(settings.draws):
            for figure, expected, found in _cases(vectors, tagged, size, settings, settings.seed + draw):
                cases.setdefault(figure, []).append((expected, found))
        if not cases:
            raise SettingsError(
                f"sizes: with {size:,} documents, no class has the {LEAST} that a curve needs; choose larger sizes."
            )
        yield from (summarise(size, figure, some) for figure, some in cases.items())


def _cases(
    vectors: Vectors, tagged: data.TaggedData, size: int, settings: BenchCurveRun, seed: int
) -> Iterator[tuple[str, dict[str, float], float]]:
    """The figure, the prediction (gain, low, high) and the gain found."""
    multi_label, classes = tagged.schema.multi_label, tagged.schema.classes
    random = np.random.default_rng([seed, size])
    order = random.permutation(len(vectors.train))
    rule = DecisionRule.plain(tagged.schema, 0.5)
    known, rest = np.sort(order[:size]), order[size:]

    def predicted(rows: NDArray[np.int64]) -> NDArray[np.int8]:
        return predict_with_rule(
            rule, probe_logits(vectors.train[rows], vectors.truth[rows], vectors.test, multi_label)
        )

    def judged(answers: NDArray[np.int8]) -> NDArray[np.float64]:
        return figures(contributions(vectors.test_truth, answers).sum(axis=0))

    folds = draw_folds([vectors.texts[i] for i in known], [None] * size, vectors.truth[known], 4, seed)
    whole = predicted(known)
    now = judged(whole)
    drawn = predictions_by_share(folds, lambda inside: predicted(known[inside]), whole, AnalysisSettings.curve_draws)
    trained = vectors.truth[known].sum(axis=0, dtype=int).tolist()
    resamples = AnalysisSettings.resamples // 2
    curve = learning_curve(drawn, vectors.test_truth, (size, size), trained, trained, classes, resamples, seed)
    place = {name: len(OVERALL) + 3 * i + 2 for i, name in enumerate(classes)}
    macro = OVERALL.index("macro_f1")
    for _ in range(settings.repetitions):
        more = random.permutation(rest)[: round((GROWTH - 1) * size)]
        gained = judged(predicted(np.concatenate([known, more]))) - now
        if curve["gain"]:
            yield "macro F1", curve["gain"] | {"gain": curve["gain"]["macro_f1"]}, gained[macro]
        for name, expected in curve["classes"].items():
            yield "F1 of a class", expected, gained[place[name]]
    for name in random.permutation(list(curve["classes"]))[:MOST_CLASSES]:
        label = classes.index(name)
        own = rest[vectors.truth[rest][:, label] == 1]
        more = random.permutation(own)[: round((GROWTH - 1) * trained[label])]
        if len(more) < round((GROWTH - 1) * trained[label]):
            continue  # The class has not enough other documents.
        gained = judged(predicted(np.concatenate([known, more]))) - now
        yield "F1 of a class that grows alone", curve["classes"][name], gained[place[name]]


def summarise(size: int, figure: str, cases: list[tuple[dict[str, float], float]]) -> Backtest:
    """The backtest of cases, each a prediction (gain, low, high) and the gain found."""
    expected, low, high = (np.asarray([one[key] for one, _ in cases]) for key in ("gain", "low", "high"))
    found = np.asarray([gain for _, gain in cases])
    rounded = (
        round(float(values.mean()), 4)
        for values in ((low <= found) & (found <= high), found < low, expected, found, high - low)
    )
    return Backtest(size, figure, len(cases), *rounded)


def curve_table(results: list[Backtest]) -> Table:
    """One row per size and figure."""
    table = Table(title="gains with 50% more documents", title_justify="left", title_style="bold")
    for name in ("documents", "figure", "cases", "in the interval", "below it", "expected", "found", "width"):
        table.add_column(name, justify="left" if name == "figure" else "right", no_wrap=True)
    for one in results:
        shares, gains = (one.held, one.below), (one.expected, one.found, one.width)
        cells = [*(f"{share:.1%}" for share in shares), *(f"{gain:.4f}" for gain in gains)]
        table.add_row(f"{one.documents:,}", one.figure, f"{one.cases:,}", *cells)
    return table
