"""The comparison in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from tagsmith.config.settings import BestMetric, CompareRuns, FailIf
from tagsmith.core.errors import counted
from tagsmith.decision.bootstrap import OVERALL
from tagsmith.decision.significance import LEVEL
from tagsmith.decision.thresholds import rounded_up
from tagsmith.evaluate.comparison.margin import Gain, Margin, in_words, margin_of
from tagsmith.evaluate.comparison.paired import POWER, Compared, certain, documents_needed
from tagsmith.evaluate.comparison.pairs import Pair
from tagsmith.evaluate.report.wording import chance, points

NAMED = 8
"""Most classes that a sentence names."""


class Outcome(Enum):
    """What a comparison says about the second run.

    better, worse: the difference is significant; equal: the whole interval is closer to 0 than what matters;
    undecided: there are too few documents to tell.
    """

    better = "better"
    worse = "worse"
    equal = "equal"
    undecided = "undecided"


@dataclass(frozen=True)
class Verdict:
    """Which run is better by one figure, and the comparison in sentences.

    Attributes:
        outcome: of the second run.
        better: 0 the first run, 1 the second; None: the difference is not significant.
        needed: documents with which the smallest relevant difference would be detected; None: these documents decide,
            or the runs never differ, so it cannot be estimated.
        gains, losses: classes whose F1 rose or fell significantly.
        margin: the difference that counts as none.
        not_worse: whether the second run is not worse by the margin or more: the lower end of the interval lies above.
        fails: why the condition of `fail_if` holds; None: it does not, or there is none.
    """

    outcome: Outcome
    better: int | None
    needed: int | None
    gains: list[str]
    losses: list[str]
    sentences: list[str]
    margin: Margin
    not_worse: bool
    fails: str | None


def verdict(pair: Pair, found: Compared, names: Sequence[str], settings: CompareRuns) -> Verdict:
    """The verdict of a comparison; `names` of the two runs."""
    by, smallest = settings.by, settings.smallest
    one = found.overall[OVERALL.index(by.value)]
    lower_is_better = by is BestMetric.log_loss
    better = None
    if certain(one["chance"], one["low"], one["high"]):
        better = int((one["difference"] > 0) != lower_is_better)
    documents = len(pair.ids)
    # The whole interval is closer to 0 than what matters: more documents would not change what to do.
    irrelevant = better is None and max(abs(one["low"]), abs(one["high"])) < smallest
    decided = better is not None or irrelevant
    needed = documents_needed(one["error"], documents, smallest) if one["error"] > 0 and not decided else None
    title = "exact match" if by is BestMetric.accuracy and pair.multi_label else by.value.replace("_f1", " F1")
    title = title.replace("_", " ")
    sentences = [_first(one, names, title, better, by, found.alike == documents)]
    if better is not None and abs(one["difference"]) < smallest:
        sentences.append(f"That is less than the smallest relevant difference, {in_words(smallest, by)}.")
    if irrelevant and found.alike < documents:
        sentences.append(f"Any difference is below the smallest relevant one, {in_words(smallest, by)}.")
    if needed is not None:
        sentences.append(_what_it_takes(needed, documents, in_words(smallest, by)))
    sentences.append(_sides(pair, found, names))
    gains, losses = (_beyond_chance(pair, found, sign) for sign in (1, -1))
    sentences += _classes(found, gains, losses)
    outcome = Outcome.equal if irrelevant else Outcome.undecided
    if better is not None:
        outcome = Outcome.better if better == 1 else Outcome.worse
    margin = margin_of(settings.margin, by, pair.truth)
    gain = Gain.of(found, by)
    lowest = margin.lowest(gain)
    not_worse = lowest > -margin.value
    fails = None
    if settings.fail_if is FailIf.worse and not not_worse:
        fails = (
            f"fail_if=worse: {names[1]} may be worse than {names[0]} by {in_words(-lowest, by)} of {title} "
            f"(95% interval); the margin is {margin.amount}."
        )
    if settings.fail_if is FailIf.not_better and not gain.better:
        fails = f"fail_if=not_better: {names[1]} is not significantly better than {names[0]} in {title}."
    spoken = [sentence for sentence in sentences if sentence]
    return Verdict(outcome, better, needed, gains, losses, spoken, margin, not_worse, fails)


def _first(
    one: dict[str, float], names: Sequence[str], title: str, better: int | None, by: BestMetric, alike: bool
) -> str:
    nats = by is BestMetric.log_loss
    if better is None:
        if one["difference"] == 0 and alike:
            return f"{names[1]} and {names[0]} predict the same for every document: no difference in {title}."
        bounds = _bounds(one["low"], one["high"], nats)
        amount = in_words(abs(one["difference"]), by)
        size = f"{names[1]} has {amount} {'more' if one['difference'] > 0 else 'less'}"
        if float(amount.split()[0]) == 0:
            size = "both have the same"
        return f"No significant difference in {title}: {size} (95% interval {bounds}; p {chance(one['chance'])})."
    sign = 1 if better == 1 else -1
    low, high = sorted((sign * one["low"], sign * one["high"]))
    if nats:
        low, high = -high, -low
    bounds = _bounds(low, high, nats)
    what = f"{in_words(abs(one['difference']), by)} {'of less ' if nats else 'of '}{title}"
    certainty = f"95% interval {bounds}; p {chance(one['chance'])}"
    return f"{names[better]} is better than {names[1 - better]} by {what} ({certainty})."


def _bounds(low: float, high: float, nats: bool) -> str:
    return f"{low:.4f} to {high:.4f}" if nats else f"{points(low)} to {points(high)}"


def _what_it_takes(needed: int, documents: int, amount: str) -> str:
    often = f"in {POWER:.0%} of cases"
    if needed <= documents:
        return f"With these {counted(documents, 'document')}, a difference of {amount} would be detected {often}."
    more = rounded_up(needed - documents)
    return f"To detect a difference of {amount} {often}, {more:,} more test documents like these would be needed."


def _sides(pair: Pair, found: Compared, names: Sequence[str]) -> str:
    documents = len(pair.ids)
    if found.alike == documents:
        return ""
    other = documents - found.alike - found.only_first - found.only_second
    rest = f", {other:,} are wrong in a different way" if other else ""
    return (
        f"Of {counted(documents, 'document')}, {found.only_second:,} went from wrong to right and {found.only_first:,} "
        f"from right to wrong with {names[1]} (McNemar's exact test: p {chance(found.mcnemar)}){rest}."
    )


def _beyond_chance(pair: Pair, found: Compared, sign: int) -> list[str]:
    moved = sign * found.classes.difference[:, 2]
    ids = [i for i in range(len(moved)) if found.corrected[i] < LEVEL and moved[i] > 0]
    return [pair.classes[i] for i in sorted(ids, key=lambda i: -moved[i])]


def _classes(found: Compared, gains: list[str], losses: list[str]) -> list[str]:
    tested = int((found.corrected == found.corrected).sum())
    if tested < 2 or not (found.classes.difference[:, 2] != 0).any():
        return []
    if not (gains or losses):
        return [f"F1 does not differ significantly in any class, corrected for {tested:,} classes."]
    changes = [f"{word} in {_named(classes)}" for word, classes in (("rose", gains), ("fell", losses)) if classes]
    return [f"F1 {' and '.join(changes)} significantly, corrected for {tested:,} classes."]


def _named(classes: list[str]) -> str:
    more = f" and {len(classes) - NAMED:,} more" if len(classes) > NAMED else ""
    return ", ".join(classes[:NAMED]) + more
