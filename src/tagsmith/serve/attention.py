"""Which bounds the documents of a deployment have passed, for people and for timers that ask `/deployments`."""

from typing import Any

from tagsmith.classify.bundle.reference import Reference
from tagsmith.classify.drift import MIN_DOCUMENTS
from tagsmith.classify.production import Report
from tagsmith.config.settings.serve import ServeBounds


def attention(report: Report, reference: Reference | None, bounds: ServeBounds) -> list[dict[str, Any]]:
    """The bounds that are passed, each with its `figure`, `value`, `bound` and a `sentence`; empty: none is."""
    found = [
        _passed(f"drift.{name}", index, bounds.drift, f"The {name} drift is {index:.2f}, above {bounds.drift:g}.")
        for name, index in report.drift.items()
        if index > bounds.drift
    ]
    tested = reference.tested if reference is not None else None
    if tested is None or report.expected is None or report.documents < MIN_DOCUMENTS:
        return found
    for name, value, before, more, about in (
        (
            "out_of_scope",
            report.out_of_scope,
            tested.out_of_scope,
            bounds.out_of_scope,
            "unlike all training documents",
        ),
        ("to_person", report.to_person, tested.to_person, bounds.to_person, "left for a person to decide"),
    ):
        if value > before + more:
            sentence = f"{value:.1%} of the documents are {about}, at the test {before:.1%}."
            found.append(_passed(name, value, before + more, sentence))
    accuracy = report.expected.accuracy
    lowest = tested.accuracy - bounds.accuracy
    if accuracy.high < lowest:
        between = f"from {accuracy.low:.1%} to {accuracy.high:.1%}"
        sentence = (
            f"The expected accuracy is {accuracy.value:.1%} ({between}), at the test it was {tested.accuracy:.1%}."
        )
        found.append(_passed("accuracy", accuracy.value, lowest, sentence))
    return found


def _passed(figure: str, value: float, bound: float, sentence: str) -> dict[str, Any]:
    return {"figure": figure, "value": round(value, 6), "bound": round(bound, 6), "sentence": sentence}
