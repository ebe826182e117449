"""The learning curve put to the test: what it expects of half as many documents again, and what they then bring."""

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
"""Classes of a draw that grow alone."""


@dataclass(frozen=True)
class Backtest:
    """What curves of so many training documents expected, and what was found.

    Attributes:
        figure: macro F1, or that of each class; by half as many documents again of all classes, or of this one alone.
        cases: gains that were looked at.
        held: share of them inside their intervals.
        below: share of them below.
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
    """Draw documents, look at their curve, add others; results size by size.

    Raises:
        SettingsError: there is no test split, or fewer training documents than a size and its growth, or than a curve
            needs.
        InputMissing, DataError: see `data.load` and `loaded_model.load_pretrained`.
    """
    tagged = data.load(settings.data, settings.task, settings.seed)
    if "test" not in tagged.splits:
        raise SettingsError("data.test_share=0: there is no test split to judge by; draw one, or name one.")
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
            raise SettingsError(f"sizes: of {size:,} documents no class has the {LEAST} that a curve needs; name more.")
        yield from (summed_up(size, figure, some) for figure, some in cases.items())


def _cases(
    of: Vectors, tagged: data.TaggedData, size: int, settings: BenchCurveRun, seed: int
) -> Iterator[tuple[str, dict[str, float], float]]:
    """The figure, what was expected (gain, low, high) and what was found."""
    multi_label, classes = tagged.schema.multi_label, tagged.schema.classes
    random = np.random.default_rng([seed, size])
    order = random.permutation(len(of.train))
    rule = DecisionRule.plain(tagged.schema, 0.5)
    known, rest = np.sort(order[:size]), order[size:]

    def predicted(rows: NDArray[np.int64]) -> NDArray[np.int8]:
        return predict_with_rule(rule, probe_logits(of.train[rows], of.truth[rows], of.test, multi_label))

    def judged(answers: NDArray[np.int8]) -> NDArray[np.float64]:
        return figures(contributions(of.test_truth, answers).sum(axis=0))

    folds = draw_folds([of.texts[i] for i in known], [None] * size, of.truth[known], 4, seed)
    whole = predicted(known)
    now = judged(whole)
    drawn = predictions_by_share(folds, lambda inside: predicted(known[inside]), whole, AnalysisSettings.curve_draws)
    trained = of.truth[known].sum(axis=0, dtype=int).tolist()
    resamples = AnalysisSettings.resamples // 2
    curve = learning_curve(drawn, of.test_truth, (size, size), trained, trained, classes, resamples, seed)
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
        own = rest[of.truth[rest][:, label] == 1]
        more = random.permutation(own)[: round((GROWTH - 1) * trained[label])]
        if len(more) < round((GROWTH - 1) * trained[label]):
            continue  # There are not so many more.
        gained = judged(predicted(np.concatenate([known, more]))) - now
        yield "F1 of a class that grows alone", curve["classes"][name], gained[place[name]]


def summed_up(size: int, figure: str, cases: list[tuple[dict[str, float], float]]) -> Backtest:
    """Of cases, each what was expected (gain, low, high) and what was found."""
    expected, low, high = (np.asarray([one[key] for one, _ in cases]) for key in ("gain", "low", "high"))
    found = np.asarray([gain for _, gain in cases])
    rounded = (
        round(float(values.mean()), 4)
        for values in ((low <= found) & (found <= high), found < low, expected, found, high - low)
    )
    return Backtest(size, figure, len(cases), *rounded)


def curve_table(results: list[Backtest]) -> Table:
    """A row a size and figure."""
    table = Table(title="gains by half as many documents again", title_justify="left", title_style="bold")
    for name in ("documents", "figure", "cases", "in the interval", "below it", "expected", "found", "width"):
        table.add_column(name, justify="left" if name == "figure" else "right", no_wrap=True)
    for one in results:
        shares, gains = (one.held, one.below), (one.expected, one.found, one.width)
        told = [*(f"{share:.1%}" for share in shares), *(f"{gain:.4f}" for gain in gains)]
        table.add_row(f"{one.documents:,}", one.figure, f"{one.cases:,}", *told)
    return table
