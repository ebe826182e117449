"""Expected accuracy and F1 of a file of predictions, as `scripts/classify.py` writes it, without tags."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tagsmith.classify.bundle.contents import REFERENCE, SCHEMA, Decision, check
from tagsmith.classify.bundle.reference import Reference
from tagsmith.classify.production import Production, Report
from tagsmith.core.errors import DataError, counted
from tagsmith.core.schema import Schema
from tagsmith.decision.expected import Expected, Floats
from tagsmith.rows.open import open_table
from tagsmith.rows.table import BadRow, Reading

CHUNK = 5000
"""Rows in memory."""

AS_WRITTEN = "expected a file that scripts/classify.py has written with this bundle"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of predictions; see `drift.Classified`."""

    scores: Floats
    chosen: tuple[str, ...]
    confidence: float
    to_person: bool
    foreign: bool
    out_of_scope: float | None
    tokens: None = None


@dataclass(frozen=True)
class Found:
    """What a file of predictions shows; `errors`: rows with an error in place of a prediction."""

    schema: Schema
    reference: Reference | None
    report: Report
    errors: int

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        tested, expected = self.reference.tested if self.reference is not None else None, self.report.expected
        classes = _rows(self.schema, expected) if expected is not None else []
        return {
            **self.report.as_dict(),
            "errors": self.errors,
            "test": {"accuracy": tested.accuracy, "macro_f1": tested.macro_f1} if tested is not None else None,
            "classes": {name: dict(zip(COLUMNS, values, strict=True)) for name, *values in classes},
        }


COLUMNS = ("predicted", "expected", "precision", "recall", "f1")


def expected_of_file(bundle: Path, predictions: Path) -> Found:
    """What the predictions of a bundle show, in memory that does not grow with them.

    Raises:
        InputMissing: there is no bundle, or the file cannot be opened.
        DataError: the bundle is damaged, the file is not one of predictions by this bundle, or holds none.
    """
    check(bundle)
    schema = Schema.load(bundle / SCHEMA)
    scope = Decision.load(bundle, schema).rule.scope
    reference = Reference.load(bundle / REFERENCE)
    production = Production(schema, reference, None)
    errors = 0

    def read() -> Iterator[Line]:
        nonlocal errors
        for number, record in open_table(predictions, Reading()).rows():
            if isinstance(record, BadRow):
                raise DataError(f"{predictions}:{number}: {record.what}; {AS_WRITTEN}.")
            if record.get("error"):
                errors += 1
                continue
            try:
                yield _line(record, schema, scope.limit if scope is not None else None)
            except (KeyError, ValueError, TypeError) as error:
                raise DataError(f"{predictions}:{number}: {AS_WRITTEN}, found {error!r}.") from error

    lines = read()
    while chunk := list(islice(lines, CHUNK)):
        production.add(chunk)
    report = production.report()
    if not report.documents:
        raise DataError(f"{predictions}: there are no predictions.")
    return Found(schema, reference, report, errors)


def _line(record: Mapping[str, Any], schema: Schema, limit: float | None) -> Line:
    """One line. Raises: KeyError, ValueError, TypeError, where it is not a prediction by this schema."""
    given = record.get("scores")
    if not isinstance(given, Mapping):  # A table has a column for each class.
        given = {name: record[f"scores.{name}"] for name in schema.classes}
    elif set(given) != set(schema.classes):
        raise ValueError(f"scores of {', '.join(given)}")
    scores = np.array([float(given[name]) for name in schema.classes], dtype=np.float32)
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("a score that is not between 0 and 1")
    if schema.multi_label:
        labels = record["labels"]
        chosen = tuple(json.loads(labels) if isinstance(labels, str) else labels)
    else:
        chosen = (record["label"],)
    places = [schema.label2id[name] for name in chosen]
    if schema.multi_label:
        right = 1 - scores.astype(np.float64)
        right[places] = scores[places]
        confidence = float(right.prod())
    else:
        confidence = float(scores[places[0]])
    distance = record.get("out_of_scope")
    distance = float(distance) if distance not in (None, "") else None
    foreign = distance is not None and limit is not None and distance > limit
    return Line(scores, chosen, confidence, record.get("to_person") in (True, "true"), foreign, distance)


def describe(found: Found) -> list[str]:
    """Lines for a terminal."""
    report, expected = found.report, found.report.expected
    assert expected is not None, "there are documents"
    tested = found.reference.tested if found.reference is not None else None
    left_out = f"; {counted(found.errors, 'row')} with an error left out" if found.errors else ""
    lines = [f"{counted(report.documents, 'document')}{left_out}"]
    for name, figure in (("accuracy", expected.accuracy), ("macro F1", expected.macro_f1)):
        before = getattr(tested, name.replace(" ", "_").lower()) if tested is not None else None
        at_test = f"; at the test it was {before:.4f}" if before is not None else ""
        lines.append(
            f"expected {name}: {figure.value:.4f}, 95% interval {figure.low:.4f} to {figure.high:.4f}{at_test}"
        )
    lines.append(f"left for a person: {report.to_person:.1%}; unlike all training documents: {report.out_of_scope:.1%}")
    if report.drift:
        lines.append("drift: " + ", ".join(f"{name} {index:.2f}" for name, index in report.drift.items()))
    rows = [("class", *COLUMNS)]
    for name, predicted, true, *shares in _rows(found.schema, expected):
        rows.append((name, f"{predicted:,}", f"{true:,.1f}", *(f"{share:.4f}" for share in shares)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells))
    if report.doubts:
        lines += ["These figures cannot be trusted:", *(f"- {doubt}" for doubt in report.doubts)]
    return lines


def _rows(schema: Schema, found: Expected) -> list[Any]:
    """Name, predicted, expected, precision, recall and F1 of each class."""
    columns = (
        found.predicted.astype(int),
        found.true.round(6),
        *(v.round(6) for v in (found.precision, found.recall, found.f1)),
    )
    return list(zip(schema.classes, *(column.tolist() for column in columns), strict=True))
