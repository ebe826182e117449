"""Settings of the improvement of a run's data, and of its benchmark."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tagsmith.config.settings.data import DataSettings, delimiter_problem, encoding_problem
from tagsmith.config.settings.fields import REQUIRED, setting
from tagsmith.config.settings.stages import CacheSettings, EvaluateSettings, ModelSettings
from tagsmith.core.schema import Task


@dataclass
class ImproveRun:
    """Settings of `scripts/improve.py`."""

    run: str = setting(REQUIRED, "folder of the run; what is found is written into its folder `improve`")
    pool: str | None = setting(
        None, "untagged documents: a .jsonl, .csv or .tsv file, or a folder of .txt files; null: there are none"
    )
    budget: int = setting(100, "documents to tag next", unit="documents", low=1)
    audit_share: float = setting(
        0.1, "share of them drawn at random: they say how good the scores are where nothing was chosen", low=0, high=1
    )
    candidates: int = setting(
        20_000, "documents of the pool that are looked at, drawn at random where it has more", unit="documents", low=1
    )
    suspected: int | None = setting(
        None, "lines of suspected_tags.jsonl; null: all training documents, those that look most wrong first", low=0
    )
    text_field: str = setting("text", "field of the text in a pool that is a .jsonl, .csv or .tsv file")
    delimiter: str | None = setting(None, "character between two fields; null: a comma in .csv, a tab in .tsv")
    encoding: str = setting("utf-8", "encoding of the pool")
    folds: int = setting(5, "parts of the training documents, each scored by regressions on the others", low=2)
    seed: int = setting(0, "seed of folds and draws", low=0, high=2**31 - 1)
    overwrite: bool = setting(False, "replace files of an earlier command in which a person has filled in tags")
    batch_tokens: int = setting(
        2048, "most that is scored at once by one process", unit="tokens, padding included", low=16
    )
    cpu: bool = setting(False, "use the CPU even where there is a GPU")
    cache: CacheSettings = field(default_factory=CacheSettings)

    def problems(self) -> Iterator[str]:
        if wrong := encoding_problem(self.encoding):
            yield f"encoding: {wrong}"
        if self.delimiter is not None and (wrong := delimiter_problem(self.delimiter)):
            yield f"delimiter: {wrong}"


STRATEGIES = ("random", "margin", "entropy", "badge", "typiclust", "tagsmith")
"""Ways to choose what is tagged next."""


@dataclass
class BenchCurveRun:
    """Settings of `scripts/bench_curve.py`."""

    sizes: list[int] = setting(
        REQUIRED, "training documents of a curve, such as [500,1000]; half as many again are then added"
    )
    draws: int = setting(4, "draws of each size", low=1)
    repetitions: int = setting(3, "draws of what is added to each", low=1)
    seed: int = setting(0, "seed of the splits, and of the first draw", low=0, high=2**31 - 10_000)
    task: Task | None = setting(None, "single_label or multi_label; null: what the data's format declares")
    cpu: bool = setting(False, "use the CPU even where there is a GPU")
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)

    def problems(self) -> Iterator[str]:
        if not self.sizes or min(self.sizes) < 8:
            yield f"sizes: expected numbers of at least 8, found {self.sizes}"


@dataclass
class BenchImproveRun:
    """Settings of `scripts/bench_improve.py`."""

    strategies: list[str] | None = setting(
        None, f"how the next documents are chosen, of {', '.join(STRATEGIES)}; null: all of them"
    )
    start: int | None = setting(None, "documents tagged at first; null: three a class", unit="documents", low=2)
    batch: int = setting(100, "documents tagged at once", unit="documents", low=1)
    documents: int = setting(2000, "documents tagged at the end", unit="documents", low=2)
    audit_share: float = setting(0.1, "as in scripts/improve.py", low=0, high=1)
    seeds: int = setting(3, "simulations of each, with different documents at first", low=1)
    wrong_share: float = setting(
        0.1,
        "share of the training documents whose tags are turned at random, to be found again; 0: none",
        low=0,
        high=0.5,
    )
    seed: int = setting(0, "seed of the splits, and of the first simulation", low=0, high=2**31 - 10_000)
    task: Task | None = setting(None, "single_label or multi_label; null: what the data's format declares")
    cpu: bool = setting(False, "use the CPU even where there is a GPU")
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)

    def problems(self) -> Iterator[str]:
        named = self.strategies if self.strategies is not None else list(STRATEGIES)
        if not named or set(named) - set(STRATEGIES) or len(set(named)) < len(named):
            yield f"strategies: expected null or different ones of {', '.join(STRATEGIES)}; found {self.strategies}"
        if self.start is not None and self.start >= self.documents:
            yield f"start: expected less than documents={self.documents}, found {self.start}"
