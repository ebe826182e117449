"""Golden answers: inputs with expected answers, to check that a bundle answers on this machine as at export.

golden.jsonl has one input per line: `text`; `scores` by class; `labels`, `to_person`, `set` and `out_of_scope` as in
`Prediction`; and under `quantized` the same for the quantized graph, if there is one.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagsmith.core.errors import DataError, counted, listing
from tagsmith.core.files import read_json_lines, write_lines
from tagsmith.core.schema import Schema
from tagsmith.decision.rule import DecisionRule, Decisions

EXPECTED = "texts with their scores and decisions"

Floats = NDArray[np.float32]
Decide = Callable[[list[str], int], tuple[Floats, Decisions]]
"""From texts, and the limit on tokens in one call, to scores [texts, classes] and decisions."""
BATCH_TOKENS = {False: 2048, True: 1}
"""Limit on tokens in one call, by whether the graph is quantized: it rounds all values of a batch by the largest of
them, so that a score depends on the other texts in its batch (of 200 documents of banking77 one by 0.24, while 2 labels
differed). A text alone in its batch has one answer."""

TOLERANCE = {False: 1e-3, True: 0.03}
"""Largest difference of a score or a distance, by whether the graph is quantized.

Other processors add in another order, which changes scores by about 1e-6. 8-bit integers are rounded from these sums,
and one value that is rounded differently changes a score by about 1e-3.
"""
BF16_TOLERANCE = 0.05
"""The same for bf16, which has 8 significant bits: logits of MiniLM moved by up to 0.06, which is at most 0.015 of a
score."""
SHORT = 200
"""Maximum characters of an input that is checked at each loading."""
CLASSES = 10
"""Maximum number of class names among the inputs."""

WRITINGS = (
    "?",
    "a",
    "\u00bfD\u00f3nde est\u00e1 mi pedido n\u00ba 42? \u2014 \u00a1Gracias!",
    "\u041f\u043e\u0447\u0435\u043c\u0443 \u043f\u043b\u0430\u0442\u0435\u0436 "
    "\u043d\u0435 \u043f\u0440\u043e\u0448\u0451\u043b?",
    "\u8bf7\u95ee\u6211\u7684\u8ba2\u5355\u5728\u54ea\u91cc",
    "\u0623\u064a\u0646 \u0637\u0644\u0628\u064a\u061f  \U0001f937 <b>&amp;</b>\t\n0xFF",
)
"""Minimal texts, accents, three scripts, markup: inputs on which tokenizers differ."""


def inputs(schema: Schema, max_tokens: int, documents: Sequence[str] | None) -> list[str]:
    """About 16 texts: several scripts, one longer than any window, and documents or class names.

    Args:
        max_tokens: length of a window.
        documents: the shortest of these are used; None: class names, so that the bundle holds no documents.
    """
    if documents is not None:
        own = sorted({text for text in documents if text.strip()}, key=lambda text: (len(text), text))[:CLASSES]
    else:
        places = np.unique(np.linspace(0, len(schema.classes) - 1, CLASSES).round().astype(int))
        names = [schema.classes[i].replace("_", " ") for i in places]
        own = [*names, *(f"{one} and {other}" for one, other in pairwise(names))][:CLASSES]
    long = " ".join(f"{name} {i}" for i, name in zip(range(max_tokens), list(own) * max_tokens, strict=False))
    return list(dict.fromkeys([*own, *WRITINGS, long]))


def write(path: Path, texts: list[str], schema: Schema, model: Decide, quantized: Decide | None = None) -> None:
    """Write `golden.jsonl` with the answers of the graphs of a bundle."""
    answers = _answers(*model(texts, BATCH_TOKENS[False]), schema)
    others = _answers(*quantized(texts, BATCH_TOKENS[True]), schema) if quantized else None
    write_lines(
        path,
        ({"text": text} | answers[i] | ({"quantized": others[i]} if others else {}) for i, text in enumerate(texts)),
    )


def check(
    path: Path,
    schema: Schema,
    rule: DecisionRule,
    decide: Decide,
    quantized: bool = False,
    thorough: bool = True,
    tolerance: float | None = None,
) -> int:
    """Compare the answers of a loaded bundle with the golden ones; returns the number of inputs.

    Args:
        thorough: whether to check all inputs, or only the short ones.
        tolerance: largest difference of a score or a distance; None: `TOLERANCE`.

    Raises:
        DataError: an answer differs (all are listed), or the file cannot be read.
    """
    problems: list[str] = []
    try:
        lines = list(read_json_lines(path, "export the run again"))
        lines = [line for line in lines if thorough or len(line["text"]) <= SHORT]
        if not lines:
            raise ValueError("no line")
        expected = [line["quantized"] if quantized else line for line in lines]
        scores = np.array([[one["scores"][name] for name in schema.classes] for one in expected], dtype=np.float32)
        distances = [one["out_of_scope"] for one in expected]
        found, decisions = decide([line["text"] for line in lines], BATCH_TOKENS[quantized])
        # Decisions are compared on the expected scores, since the found ones may cross a threshold.
        again = _answers(scores, rule.decide(scores), schema)
        for i, (one, other) in enumerate(zip(expected, again, strict=True)):
            if rule.scope is not None and distances[i] is not None:
                other["to_person"] |= distances[i] > rule.scope.limit
            problems += [
                f"line {i + 1}: expected {name} {one[name]}, but the rule in decision.json yields {other[name]}"
                for name in ("labels", "to_person", "set")
                if one[name] != other[name]
            ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: expected {EXPECTED}, found {error!r}; export the run again.") from error
    tolerance = TOLERANCE[quantized] if tolerance is None else tolerance
    apart = np.abs(found - scores).max(axis=1)
    problems += [
        f"line {i + 1}: a score differs by {apart[i]:.2g} (allowed: {tolerance:g})"
        for i in np.flatnonzero(~(apart <= tolerance))
    ]
    if decisions.distances is not None:
        problems += [
            f"line {i + 1}: expected the distance {distance} to training documents, found {measured:.4f}"
            for i, (distance, measured) in enumerate(zip(distances, decisions.distances, strict=True))
            if distance is None or not abs(distance - measured) <= tolerance
        ]
    if problems:
        raise DataError(listing(f"{path}: the answers of the bundle differ from those at export:", problems))
    return len(lines)


def describe(count: int, quantized: bool) -> str:
    """The result of the check, as a phrase."""
    return f"{counted(count, 'answer')} as expected, within {TOLERANCE[quantized]:g}"


def _answers(scores: Floats, decisions: Decisions, schema: Schema) -> list[dict[str, Any]]:
    """One answer per row, ready for JSON."""
    sets, distances = decisions.sets, decisions.distances
    found: list[dict[str, Any]] = []
    for i, row in enumerate(scores):
        answer: Mapping[str, Any] = {
            # The shortest decimals that are the same number in single precision.
            "scores": {name: float(str(score)) for name, score in zip(schema.classes, row, strict=True)},
            "labels": schema.names(np.flatnonzero(decisions.predicted[i])),
            "to_person": bool(decisions.to_person[i]),
            "set": None if sets is None else schema.names(np.flatnonzero(sets[i])),
            "out_of_scope": None if distances is None else round(float(distances[i]), 6),
        }
        found.append(dict(answer))
    return found
