"""The checks of the gate: each a figure, its bound, whether it holds, and a sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.config.settings import BestMetric, BoundsSettings
from tagsmith.core.errors import counted
from tagsmith.core.schema import Schema
from tagsmith.decision.significance import LEVEL, holm
from tagsmith.evaluate.comparison.margin import Gain, Margin, in_words
from tagsmith.evaluate.comparison.paired import Compared
from tagsmith.evaluate.report.wording import FIGURES, chance, percent, signed_nats, signed_points
from tagsmith.refresh.gate.shared import Match
from tagsmith.refresh.gate.wear import Standing
from tagsmith.refresh.store import Version

NAMED = 5
"""Most classes that a sentence names."""

F1 = 2
"""The place of F1 among the figures of a class."""


@dataclass(frozen=True)
class Check:
    """One check of the gate.

    Attributes:
        value, bound: what was found, and the least or most that passes; None: it was not measured.
    """

    name: str
    value: float | None
    bound: float | None
    passed: bool
    sentence: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _both(gain: Gain) -> str:
    """Both figures and their difference."""
    first, second = (level(one, gain.by) for one in (gain.first, gain.second))
    change = signed(gain.second - gain.first, gain.by)
    return f"{_title(gain.by.value)} is {second}, in production {first}: {change}"


def _title(figure: str) -> str:
    name = FIGURES[figure]
    return f"{name[0].upper()}{name[1:]}"


def level(value: float, by: BestMetric) -> str:
    """A figure in words."""
    return f"{value:.4f}" if by is BestMetric.log_loss else percent(value)


def signed(value: float, by: BestMetric) -> str:
    """A difference of figures with its sign and unit."""
    return f"{signed_nats(value)} nats" if by is BestMetric.log_loss else f"{signed_points(value)} points"


def not_worse(gain: Gain, margin: Margin) -> Check:
    """Whether the lower end of the interval lies above the margin."""
    low = margin.lowest(gain)
    passed = low > -margin.value
    worst = f"at worst {in_words(max(0.0, -low), gain.by)} worse (95% interval)"
    rest = f"within the margin of {margin.amount}" if passed else f"where the margin allows {margin.amount}"
    return Check("not_worse", low, -margin.value, passed, f"{_both(gain)}, {worst}, {rest}.")


def better(gain: Gain) -> Check:
    """Whether the challenger is significantly better."""
    what = "" if gain.better else "not "
    sentence = f"{_both(gain)}, {what}significantly better (p {chance(gain.p)})."
    return Check("better", gain.low, 0.0, gain.better, sentence)


def floor(value: float, by: BestMetric, bounds: BoundsSettings) -> Check:
    """Whether a figure over all test documents and classes is high enough; for the log loss, macro F1 is asked."""
    passed = value >= bounds.floor
    against = "at least" if passed else "below"
    sentence = f"{_title(floor_figure(by))} over all classes is {percent(value)}, {against} {percent(bounds.floor)}."
    return Check("floor", value, bounds.floor, passed, sentence)


def floor_figure(by: BestMetric) -> str:
    """The figure that a floor is for."""
    return BestMetric.macro_f1.value if by is BestMetric.log_loss else by.value


def corrected(compared: Compared, support: NDArray[np.int64], least: int) -> NDArray[np.float64]:
    """Holm-corrected p-values of F1, [classes], of the classes with enough test documents; NaN for the others."""
    values = compared.classes.chance[:, F1]
    found = np.full(len(values), np.nan)
    tested = np.flatnonzero((support >= least) & np.isfinite(values))
    found[tested] = holm([float(values[i]) for i in tested])
    return found


def no_class_worse(match: Match, compared: Compared, p_values: NDArray[np.float64], least: int) -> Check:
    """Whether no class with enough test documents has become significantly worse."""
    moved = compared.classes.difference[:, F1]
    worse = [i for i in np.argsort(moved) if p_values[i] < LEVEL and moved[i] < 0]
    tested = int(np.isfinite(p_values).sum())
    among = f"{counted(tested, 'class')} with {least} test documents or more"
    if not tested:
        sentence = f"No class has {least} test documents, so none was judged by itself."
    elif worse:
        shown = [
            f"{match.classes.names[i]} from {percent(compared.classes.first[i, F1])} to "
            f"{percent(compared.classes.second[i, F1])} (p {chance(p_values[i])})"
            for i in worse[:NAMED]
        ]
        more = f" and {len(worse) - NAMED:,} more" if len(worse) > NAMED else ""
        sentence = f"F1 fell significantly, corrected for {among}: {', '.join(shown)}{more}."
    else:
        sentence = f"F1 fell significantly in none of {among}."
    return Check("classes", len(worse), 0, not worse, sentence)


def new_classes(found: Mapping[str, Mapping[str, Any]], bounds: BoundsSettings) -> Check:
    """Whether new classes are learnt well enough; those with too few test documents are named.

    Args:
        found: `documents` of the test and `f1` of each new class.
    """
    judged = {name: one["f1"] for name, one in found.items() if one["documents"] >= bounds.min_class_documents}
    low = {name: f1 for name, f1 in judged.items() if f1 < bounds.floor}
    few = [f"{name} ({one['documents']})" for name, one in found.items() if name not in judged]
    parts = []
    if low:
        shown = ", ".join(f"{name} {percent(f1)}" for name, f1 in low.items())
        parts.append(f"F1 of a new class is below {percent(bounds.floor)}: {shown}")
    elif judged:
        parts.append(f"F1 of {', '.join(judged)}, new, is at least {percent(bounds.floor)}")
    if few:
        parts.append(f"too few test documents to judge, of {bounds.min_class_documents}: {', '.join(few)}")
    sentence = "; ".join(parts)
    return Check(
        "new_classes",
        min(judged.values(), default=None),
        bounds.floor,
        not low,
        f"{sentence[:1].upper()}{sentence[1:]}.",
    )


def rise(name: str, title: str, figures: Sequence[Mapping[str, float]], most: float) -> Check:
    """Whether a share has risen by no more than so much; `figures` of the champion and of the challenger."""
    first, second = (one[name] for one in figures)
    passed = second - first <= most
    found = f"{title} is {percent(second)}, in production {percent(first)}"
    sentence = (
        f"{found}: {signed_points(second - first)} points, {_against(passed)} {in_words(most, BestMetric.accuracy)}."
    )
    return Check(name, second - first, most, passed, sentence)


def to_person(
    figures: Sequence[Mapping[str, float]], most: float, versions: Sequence[Version], promises: Sequence[bool]
) -> Check:
    """Whether the share of documents for a person has risen by no more than so much.

    A first promise of `target_precision` may raise it by more: it is what the settings ask for, and every later version
    would be held back, too.

    Args:
        figures, versions: the champion and the challenger.
        promises: whether each keeps `target_precision` by leaving documents to a person.
    """
    found = rise("to_person", "The share of documents for a person", figures, most)
    if found.passed or promises[0] or not promises[1]:
        return found
    first, second = (version.name for version in versions)
    why = f"{second} promises target_precision, which {first} could not with fewer documents, so that this is accepted."
    return replace(found, passed=True, sentence=f"{found.sentence} {why}")


def ratio(name: str, title: str, value: float, most: float) -> Check:
    """Whether a cost is no more than so many times that of production."""
    passed = value <= most
    return Check(
        name, value, most, passed, f"{title} is {value:.2f} times that in production, {_against(passed)} {most:g}."
    )


def _against(passed: bool) -> str:
    return "of at most" if passed else "more than"


def since_best(standing: Standing, margin: Margin, allowance: float) -> Check:
    """Whether many small losses, each within the margin, have not added up to a large one on the frozen documents.

    Args:
        margin: of the frozen documents.
        allowance: by how much the best version may look better than it is.
    """
    value, bound = standing.value - standing.highest, -(margin.value + allowance)
    lost = in_words(max(0.0, -value), margin.by)
    allowed = in_words(-bound, margin.by)
    sentence = (
        f"On the frozen test documents, {lost} below the best version that was in production, "
        f"{_against(value > bound)} {allowed}."
    )
    return Check("since_best", value, bound, value > bound, sentence)


def same_task(champion: Schema, challenger: Schema) -> Check:
    """Whether both versions answer in the same form, so that whoever asks understands the answer."""
    tasks = champion.task.value, challenger.task.value
    passed = tasks[0] == tasks[1]
    sentence = (
        "It shares no class with the version in production that a test document has."
        if passed
        else f"It is {tasks[1]}, the version in production {tasks[0]}."
    )
    return Check("same_task", None, None, passed, sentence)
