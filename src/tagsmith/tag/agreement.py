"""How well people agree, with each other and each with themselves: Cohen's kappa and Krippendorff's alpha.

Both are 1 - observed / expected disagreement, so 1 is complete agreement and 0 that of chance. Cohen, A Coefficient of
Agreement for Nominal Scales, 1960, of two people; Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, of
any number of people of whom each has answered some of the documents. Both follow from sums over the documents, so the
bootstrap draws sums; tests compare them with scikit-learn and with the package krippendorff, which is under the GPL.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy import sparse

from tagsmith.core.schema import Schema, indicators_of_names
from tagsmith.decision.bootstrap import EDGES, bootstrap_sums, contributions
from tagsmith.decision.intervals import proportion
from tagsmith.tag.decisions import ALIKE, Kind, State

Floats = NDArray[np.float64]
Tags = tuple[str, ...]

RESAMPLES = 1000
"""Of the documents, for each interval."""

LEAST = 2
"""Documents with several answers below which nothing is computed."""


@dataclass(frozen=True)
class Rated:
    """The tags of one document, by person; at least two people.

    Attributes:
        helped: whether suggestions were shown: to all of them, to none, None: to some.
    """

    tags: Mapping[str, Tags]
    helped: bool | None


def between_people(states: Iterable[State]) -> list[Rated]:
    """The documents that several people have tagged independently; without those who skipped them.

    Near-copies that were tagged together with another document are left out, as they repeat one judgement.
    """
    found = []
    for state in states:
        answers = {person: one for person, one in state.people.items() if one.status is Kind.tag}
        if state.full and len(answers) > 1 and all(one.reason != ALIKE for one in answers.values()):
            shown = {one.helped for one in answers.values()}
            tags = {person: one.tags or () for person, one in answers.items()}
            found.append(Rated(tags, shown.pop() if len(shown) == 1 else None))
    return found


def with_themselves(states: Iterable[State]) -> dict[str, list[Rated]]:
    """By person, the documents that they have tagged twice."""
    found: dict[str, list[Rated]] = {}
    for state in states:
        for one in state.seconds:
            if one.tags is not None:
                found.setdefault(one.person, []).append(Rated({"first": one.first, "second": one.tags}, None))
    return found


def agreement(states: Mapping[str, State], schema: Schema, seed: int) -> dict[str, Any]:
    """The agreement in a project, ready for JSON; each figure as of `figure`."""
    rated = between_people(states.values())
    own = with_themselves(states.values())
    return {
        "between_people": figure(rated, schema, seed),
        "with_suggestions": figure([one for one in rated if one.helped is True], schema, seed),
        "without_suggestions": figure([one for one in rated if one.helped is False], schema, seed),
        "with_themselves": {person: figure(own[person], schema, seed) for person in sorted(own)},
    }


def figure(rated: Sequence[Rated], schema: Schema, seed: int) -> dict[str, Any] | None:
    """The agreement on documents; None where there are fewer than `LEAST`.

    Returns:
        method (`cohen_kappa` or `krippendorff_alpha`), people, documents, agreed (share of documents on which all
        agree), value, low, high; multi-label, these three are means over the classes. classes: name -> documents
        (somebody gave the class), value, low, high. The intervals hold in 95 of 100 cases, by a bootstrap over the
        documents. None: all answers are the same class, so that chance would agree as well.
    """
    if len(rated) < LEAST:
        return None
    people = sorted({person for one in rated for person in one.tags})
    given = [(row, tags) for row, one in enumerate(rated) for tags in one.tags.values()]
    rows = np.asarray([row for row, _ in given])
    marks = indicators_of_names([tags for _, tags in given], schema.classes)
    counts: Floats = np.stack([np.bincount(rows, column, len(rated)) for column in marks.T], axis=1)
    answers = np.bincount(rows, minlength=len(rated)).astype(np.float64)
    if len(people) == 2:
        method, of_sums = "cohen_kappa", _kappa
        one, two = (indicators_of_names([one.tags[person] for one in rated], schema.classes) for person in people)
        parts = contributions(one, two)
    else:
        method, of_sums, parts = "krippendorff_alpha", _alpha, _terms(counts, answers)
    # Position 0 is the data itself; the others are resamples.
    sums = np.concatenate([parts.sum(axis=0)[None], bootstrap_sums([parts], RESAMPLES, np.random.default_rng(seed))[0]])
    observed, expected = of_sums(sums, len(schema.classes))
    values = 1 - np.divide(observed, expected, out=np.full_like(observed, np.nan), where=expected > 1e-12)
    if schema.multi_label:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # Where no class is defined.
            values[:, 0] = np.nanmean(values[:, 1:], axis=1)
            observed[0, 0], expected[0, 0] = observed[0, 1:].sum(), expected[0, 1:].mean()
    whole = ((counts == 0) | (counts == answers[:, None])).all(axis=1)
    found = [_interval(values[:, i], observed[0, i], expected[0, i], len(rated)) for i in range(values.shape[1])]
    return {
        "method": method,
        "people": people,
        "documents": len(rated),
        "agreed": float(whole.mean()),
        **found[0],
        "classes": {
            name: {"documents": int((counts[:, i] > 0).sum()), **found[1 + i]}
            for i, name in enumerate(schema.classes)
            if counts[:, i].any()
        },
    }


def _interval(values: Floats, observed: float, expected: float, documents: int) -> dict[str, float | None]:
    """The first value, with the interval that the others give.

    No resample of complete agreement disagrees: Wilson's interval of the share of agreement takes their place.
    """
    if np.isnan(values[0]):
        return {"value": None, "low": None, "high": None}
    low, high = (float(edge) for edge in np.nanquantile(values[1:], EDGES))
    if observed <= 1e-12 and (share := proportion(documents, documents)) is not None:
        low = float(1 - (1 - share[0]) / expected)
    return {"value": float(values[0]), "low": low, "high": high}


def _kappa(sums: Floats, classes: int) -> tuple[Floats, Floats]:
    """Observed and expected disagreement in all classes, then in each, float64 [resamples, 1 + classes].

    Args:
        sums: of `contributions` of the two people, [resamples, 3 * classes + 5].
    """
    first, second, both = (sums[:, i * classes : (i + 1) * classes] for i in range(3))
    documents, same = sums[:, -5, None], sums[:, -4, None]
    observed = np.concatenate([documents - same, first + second - 2 * both], axis=1) / documents
    one, two = first / documents, second / documents
    expected = np.concatenate([1 - (one * two).sum(axis=1, keepdims=True), one * (1 - two) + two * (1 - one)], axis=1)
    return observed, expected


def _terms(counts: Floats, answers: Floats) -> sparse.csr_array:
    """What each document adds to the sums behind alpha, float64 [documents, 2 + 2 * classes].

    Its answers, its pairs of answers that differ, such pairs for each class against all others, the answers of each
    class. Sparse, as a document gets few classes.

    Args:
        counts: float64 [documents, classes], how many people gave each class.
        answers: float64 [documents], how many people answered.
    """
    weights = 1 / (answers - 1)[:, None]
    each = 2 * counts * (answers[:, None] - counts) * weights
    parts = [answers[:, None], each.sum(axis=1, keepdims=True) / 2, each, counts]
    return sparse.hstack([sparse.csr_array(part) for part in parts], format="csr")


def _alpha(sums: Floats, classes: int) -> tuple[Floats, Floats]:
    """As `_kappa`, from sums of `_terms`."""
    answers, differing, counts = sums[:, :1], sums[:, 1 : 2 + classes], sums[:, 2 + classes :]
    pairs = np.concatenate(
        [answers**2 - (counts**2).sum(axis=1, keepdims=True), 2 * counts * (answers - counts)], axis=1
    )
    return differing / answers, pairs / (answers * (answers - 1))


def agreement_tables(found: Mapping[str, Any]) -> list[Table]:
    """The agreement for the terminal: one row per figure, then one per class, the least agreement first."""
    table = Table(title="agreement", title_justify="left", title_style="bold")
    for name in ("of", "documents", "all the same", "figure", "value", "95% interval"):
        table.add_column(name, justify="right" if name == "documents" else "left")
    rows = {
        "all answers": found["between_people"],
        "suggestions shown": found["with_suggestions"],
        "suggestions hidden": found["without_suggestions"],
        **{f"{person}, tagged twice": one for person, one in found["with_themselves"].items()},
    }
    for name, one in rows.items():
        if one is not None:
            method = one["method"].replace("_", " ")
            table.add_row(name, f"{one['documents']:,}", f"{one['agreed']:.1%}", method, *_cells(one))
    tables = [table]
    if between := found["between_people"]:
        classes = Table(title="by class", title_justify="left", title_style="bold")
        for name in ("class", "documents", "value", "95% interval"):
            classes.add_column(name, justify="right" if name == "documents" else "left")
        for name, one in sorted(between["classes"].items(), key=lambda item: (item[1]["value"] or 0, item[0])):
            classes.add_row(name, f"{one['documents']:,}", *_cells(one))
        tables.append(classes)
    return tables


def _cells(one: Mapping[str, Any]) -> tuple[str, str]:
    if one["value"] is None:
        return "-", "all answers are the same"
    return f"{one['value']:.3f}", f"{one['low']:.3f} to {one['high']:.3f}"
