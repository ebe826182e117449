"""Settings of the comparison of runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tagsmith.config.settings.fields import REQUIRED, setting
from tagsmith.config.settings.recipe import BestMetric


class Retagged(Enum):
    """What to do with a document that has different tags in two runs."""

    later_run = "later_run"
    left_out = "left_out"


class FailIf(Enum):
    """When a comparison ends with a status of its own."""

    worse = "worse"
    not_better = "not_better"


@dataclass
class CompareRuns:
    """Settings of `scripts/compare.py`."""

    runs: list[str] = setting(REQUIRED, "folders of two or more runs; each is compared with the first", reads=True)
    schema_changes: str | None = setting(
        None,
        "YAML of the changes from the first run's classes to those of the others; null: the classes are the same",
        reads=True,
    )
    out: str | None = setting(
        None,
        "folder of the result; with more than two runs, one subfolder for each; null: compared/NAME_OF_FIRST in the "
        "compared run",
    )
    by: BestMetric = setting(BestMetric.macro_f1, "metric that decides which run is better")
    smallest: float = setting(
        0.01, "smallest difference that matters; 0.01 is one percentage point", unit="share, or nats", low=1e-4, high=1
    )
    fail_if: FailIf | None = setting(
        None,
        "exit with status 3 if a run is worse (the interval of the difference reaches below -margin), or not_better "
        "(not significantly); null: never",
    )
    margin: float | None = setting(
        None,
        "difference that counts as none for fail_if=worse; null: derived from the number of documents",
        unit="share, or nats",
        low=0,
    )
    retagged: Retagged = setting(
        Retagged.later_run,
        "documents with different tags in the two runs; later_run: use the tags of the later one of `runs`; "
        "left_out: ignore these documents",
    )
    resamples: int = setting(2000, "bootstrap resamples", unit="resamples", low=100, high=100_000)
    seed: int = setting(0, "seed of all random draws", low=0, high=2**31 - 1)

    def problems(self) -> Iterator[str]:
        if len(self.runs) < 2:
            yield f"runs: expected two or more, as in 'runs=[runs/first,runs/second]', found {len(self.runs)}"
        if any(not name.strip() for name in self.runs):
            yield "runs: expected names of folders, found an empty one"
