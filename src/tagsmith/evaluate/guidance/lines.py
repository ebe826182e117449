"""A line of guidance, and the order of lines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

SHOWN_NAMES = 3
"""Classes that a title names; `classes` lists all of them."""

SHOWN_EXAMPLES = 6


class Severity(Enum):
    """problem: the figures cannot be trusted; advice: something would improve them; note: good to know."""

    problem = "problem"
    advice = "advice"
    note = "note"


KINDS = (
    "contradictions",
    "trained_on",
    "absent_from_test",
    "behind_baseline",
    "near_duplicates",
    "differently_tagged",
    "collision",
    "few_documents",
    "documents_cut",
    "learning_curve",
    "wide_interval",
    "imbalance",
    "other_mix",
    "not_calibrated",
)
"""The order among lines of one severity: first what makes figures wrong, then what makes them low."""

FIRST = "contradictions"
"""The kind that comes before all others: until the tags are decided, neither the model nor its figures can be right."""


@dataclass(frozen=True)
class Facts:
    """What guidance needs to know about a run besides its figures.

    Attributes:
        run: its folder, as the user gave it.
        recipe: `train.recipe`; None: not recorded.
        rule: the fields of its `windows.WindowRule`.
        classes: in the order of the schema.
        multi_label: whether a document may have any number of classes.
    """

    run: str
    recipe: str | None
    rule: Mapping[str, Any]
    classes: Sequence[str]
    multi_label: bool


@dataclass(frozen=True)
class Line:
    """One finding, and what to do about it.

    Attributes:
        kind: one of `KINDS`.
        classes: the classes concerned, the most affected first.
        figure: numbers, and `by_class` with the numbers of each class.
        examples: documents, with id, text, labels, split, and predicted if they were evaluated.
        size: how much it matters among lines of its kind; not saved.
    """

    kind: str
    severity: Severity
    title: str
    reason: str
    remedy: str
    classes: Sequence[str] = ()
    figure: Mapping[str, Any] = field(default_factory=dict)
    examples: Sequence[Mapping[str, Any]] = ()
    size: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        content = asdict(self) | {"severity": self.severity.value, "classes": list(self.classes)}
        del content["size"]
        return content


def in_order(lines: Iterable[Line]) -> list[Line]:
    """Lines by importance, the most important first; deterministic."""
    severities = list(Severity)
    return sorted(
        lines,
        key=lambda line: (
            line.kind != FIRST,
            severities.index(line.severity),
            KINDS.index(line.kind),
            -line.size,
            line.title,
        ),
    )


def named(names: Sequence[str], most: int = SHOWN_NAMES) -> str:
    """Names for a sentence: `a, b, c and 4 more`."""
    if len(names) <= most + 1:
        return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def verb(names: Sequence[str], one: str, several: str) -> str:
    """The word that agrees with the number of names: `has` or `have`."""
    return one if len(names) == 1 else several


def example(row: Mapping[str, Any], split: str) -> dict[str, Any]:
    """A line of `predictions.jsonl` as an example."""
    return {name: row[name] for name in ("id", "text", "labels", "predicted")} | {"split": split}
