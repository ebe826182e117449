"""The parts of `decision.json` that are figures; README.md names every field."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.decision.bootstrap import OVERALL
from tagsmith.evaluate.comparison.margin import ASSUMED_SHARE, ASSUMED_SPREAD, Margin
from tagsmith.evaluate.comparison.paired import Compared
from tagsmith.refresh.gate.answers import Flags, Indicators
from tagsmith.refresh.gate.cost import Seconds, slower
from tagsmith.refresh.gate.shared import Match, Side, figures_of

Json = dict[str, Any]

FROZEN = "frozen"
"""The name of the slice of the first test documents."""


def number(value: float | None) -> float | None:
    """JSON has no NaN."""
    return float(value) if value is not None and isfinite(value) else None


def among(ids: Sequence[str], chosen: set[str]) -> Flags:
    """bool [documents], which of them are chosen."""
    return np.fromiter((name in chosen for name in ids), np.bool_, len(ids))


def group(
    truth: Indicators,
    multi_label: bool,
    sides: tuple[Side | None, Side],
    mask: Flags | None = None,
    compared: Compared | None = None,
) -> Json | None:
    """The figures of both versions on some documents; None where there is no such document.

    Args:
        sides: the champion, None where there is none to compare with, and the challenger.
        compared: the two on these documents, where their differences are to be reported.
    """
    documents = len(truth) if mask is None else int(mask.sum())
    if not documents:
        return None
    first, second = (None if one is None else figures_of(one, truth, multi_label, mask) for one in sides)
    return {
        "documents": documents,
        "champion": first,
        "challenger": second,
        "differences": None if compared is None else _differences(compared),
    }


def _differences(compared: Compared) -> Json:
    found = {}
    for i, name in enumerate(OVERALL[:4]):
        one = compared.overall[i]
        found[name] = {
            "difference": number(one["difference"]),
            "interval": [number(one["low"]), number(one["high"])],
            "p_value": number(one["chance"]),
        }
    return found


def groups(
    ids: Sequence[str],
    truth: Indicators,
    multi_label: bool,
    sides: tuple[Side | None, Side],
    slices: Mapping[str, set[str]],
    on_frozen: Compared | None = None,
) -> Json:
    """`frozen` and `slices`: the figures on the documents of each slice, in the order of their names."""
    found = {name: among(ids, slices[name]) for name in sorted(slices)}
    return {
        "frozen": group(truth, multi_label, sides, found[FROZEN], on_frozen) if FROZEN in found else None,
        "slices": {
            name: part
            for name, mask in found.items()
            if name != FROZEN and (part := group(truth, multi_label, sides, mask))
        },
    }


def margin_json(margin: Margin, found: float | None) -> Json:
    """The margin; `found`: the share of the documents that only one of the two has right."""
    return {
        "value": margin.value,
        "given": margin.given,
        "documents": margin.documents,
        "passes": margin.passes,
        "assumed": ASSUMED_SPREAD if margin.nats else ASSUMED_SHARE,
        "found": found,
        "sentence": margin.sentence,
    }


def shared_json(both: Match, compared: Compared, p_values: NDArray[np.float64]) -> Json:
    """Each shared class: test documents, F1 of both, the difference and its corrected p-value."""
    f1 = compared.classes
    return {
        name: {
            "documents": int(both.truth[:, i].sum()),
            "champion": number(f1.first[i, 2]),
            "challenger": number(f1.second[i, 2]),
            "difference": number(f1.difference[i, 2]),
            "p_value": number(p_values[i]),
        }
        for i, name in enumerate(both.classes.names)
    }


def cost_json(seconds: Sequence[Seconds], sizes: Sequence[int]) -> Json:
    """Seconds and bytes of the champion, if there are two, and of the challenger."""
    two = len(seconds) == 2
    return {
        "seconds_single": _both([one.single for one in seconds]),
        "seconds_batch": _both([one.batch for one in seconds]),
        "bytes": _both(sizes),
        "latency_ratio": slower(seconds) if two else None,
        "size_ratio": sizes[1] / sizes[0] if two else None,
    }


def _both(values: Sequence[float]) -> Json:
    return {"champion": values[0] if len(values) == 2 else None, "challenger": values[-1]}
