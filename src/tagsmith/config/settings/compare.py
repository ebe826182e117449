"""Settings of the comparison of runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tagsmith.config.settings.fields import REQUIRED, setting
from tagsmith.config.settings.recipe import BestMetric


class Retagged(Enum):
    """What becomes of a document that is tagged otherwise in two runs."""

    later_run = "later_run"
    left_out = "left_out"


@dataclass
class CompareRuns:
    """Settings of `scripts/compare.py`."""

    runs: list[str] = setting(REQUIRED, "folders of two runs or more; each is judged against the first")
    schema_changes: str | None = setting(
        None, "YAML of what became of the first run's classes in the others; null: they have the same"
    )
    out: str | None = setting(
        None,
        "folder of the result, with more than two runs of a folder for each; null: compared/NAME_OF_THE_FIRST in the "
        "run that is judged",
    )
    by: BestMetric = setting(BestMetric.macro_f1, "figure by which one run is better than the other")
    smallest: float = setting(
        0.01, "smallest difference of it that matters; 0.01 is a point", unit="share, or nats", low=1e-4, high=1
    )
    retagged: Retagged = setting(
        Retagged.later_run,
        "documents tagged otherwise in the two runs; later_run: judged by the tags of the run that is named later; "
        "left_out: not judged",
    )
    resamples: int = setting(2000, "resamples of the bootstrap", unit="resamples", low=100, high=100_000)
    seed: int = setting(0, "seed of all draws", low=0, high=2**31 - 1)

    def problems(self) -> Iterator[str]:
        if len(self.runs) < 2:
            yield f"runs: expected two or more, as in 'runs=[runs/first,runs/second]', found {len(self.runs)}"
        if any(not name.strip() for name in self.runs):
            yield "runs: expected the names of folders, found an empty one"
