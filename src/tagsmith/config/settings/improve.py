"""Settings of the improvement of a run's data, and of its benchmarks."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tagsmith.config.settings.data import DataSettings, reading_problems
from tagsmith.config.settings.fields import REQUIRED, setting
from tagsmith.config.settings.stages import CacheSettings, EvaluateSettings, ModelSettings
from tagsmith.core.schema import Task


@dataclass
class ImproveRun:
    """Settings of `scripts/improve.py`."""

    run: str = setting(REQUIRED, "folder of the run; results are written to its folder `improve`", reads=True)
    pool: str | None = setting(
        None, "untagged documents: a file of rows in any format, or a folder of .txt files; null: none", reads=True
    )
    budget: int = setting(100, "number of documents to tag next", unit="documents", low=1)
    audit_share: float = setting(
        0.1, "share of them drawn at random, an unbiased sample for measuring the scores", low=0, high=1
    )
    candidates: int = setting(
        20_000, "maximum number of pool documents that are scored, drawn at random", unit="documents", low=1
    )
    suspected: int | None = setting(
        None, "number of lines of suspected_tags.jsonl, most suspicious first; null: all training documents", low=0
    )
    text_field: str | list[str] | None = setting(
        None, "field of the text, or a list of fields whose texts are joined by a line end; null: as in training"
    )
    delimiter: str | None = setting(
        None, "character between two fields of a table; null: the one that the header line has"
    )
    encoding: str | None = setting(None, "encoding of the pool; null: UTF-8, or what a file looks like")
    folds: int = setting(5, "folds of the training documents, each scored by regressions fitted on the others", low=2)
    seed: int = setting(0, "seed of folds and random draws", low=0, high=2**31 - 1)
    overwrite: bool = setting(False, "replace files of an earlier command even if tags were filled in")
    batch_tokens: int = setting(
        2048, "maximum number of tokens that a process scores in one batch", unit="tokens, padding included", low=16
    )
    cpu: bool = setting(False, "use the CPU even if there is a GPU")
    cache: CacheSettings = field(default_factory=CacheSettings)

    def problems(self) -> Iterator[str]:
        yield from reading_problems(self)


STRATEGIES = ("random", "margin", "entropy", "badge", "typiclust", "tagsmith")
"""Acquisition strategies: how the documents to tag next are chosen."""


TAG_ORDERS = ("page", "random", "uncertain")
"""Orders of `scripts/bench_tag.py`: the page's own, a random one, and the least margin."""


@dataclass
class BenchTagRun:
    """Settings of `scripts/bench_tag.py`."""

    orders: list[str] | None = setting(
        None, f"in which documents are tagged, of {', '.join(TAG_ORDERS)}; null: all of them"
    )
    documents: int = setting(600, "number of documents tagged at the end", unit="documents", low=2)
    step: int = setting(50, "interval of the figures", unit="documents", low=1)
    goal: float | None = setting(None, "accuracy, or micro F1, whose number of tags is reported; null: none")
    wrong_share: float = setting(
        0.05, "share of the documents that the person tags wrongly in a second simulation", low=0, high=0.5
    )
    guidelines: str | None = setting(
        None, "file with a line of JSON per class, class and guideline; null: the names alone", reads=True
    )
    people: int = setting(
        0, "measure instead how long so many people wait who tag at the same time; 0: one person", low=0
    )
    seed: int = setting(0, "seed of the splits and of all draws", low=0, high=2**31 - 10_000)
    task: Task | None = setting(None, "single_label or multi_label; null: what the data's format declares")
    cpu: bool = setting(False, "use the CPU even if there is a GPU")
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)

    def problems(self) -> Iterator[str]:
        named = self.orders if self.orders is not None else list(TAG_ORDERS)
        if not named or set(named) - set(TAG_ORDERS) or len(set(named)) < len(named):
            yield f"orders: expected null or different ones of {', '.join(TAG_ORDERS)}; found {self.orders}"


@dataclass
class BenchCurveRun:
    """Settings of `scripts/bench_curve.py`."""

    sizes: list[int] = setting(
        REQUIRED, "numbers of training documents, such as [500,1000]; each curve predicts the effect of 50 % more"
    )
    draws: int = setting(4, "random draws of each size", low=1)
    repetitions: int = setting(3, "random draws of the documents that are added", low=1)
    seed: int = setting(0, "seed of the splits and of the first draw", low=0, high=2**31 - 10_000)
    task: Task | None = setting(None, "single_label or multi_label; null: what the data's format declares")
    cpu: bool = setting(False, "use the CPU even if there is a GPU")
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
        None, f"acquisition strategies, of {', '.join(STRATEGIES)}; null: all of them"
    )
    start: int | None = setting(
        None, "number of documents tagged initially; null: three per class", unit="documents", low=2
    )
    batch: int = setting(100, "number of documents tagged per round", unit="documents", low=1)
    documents: int = setting(2000, "number of documents tagged at the end", unit="documents", low=2)
    audit_share: float = setting(0.1, "as in scripts/improve.py", low=0, high=1)
    seeds: int = setting(3, "simulations of each strategy, with different initial documents", low=1)
    wrong_share: float = setting(
        0.1,
        "share of the training documents whose tags are corrupted at random, for error detection; 0: none",
        low=0,
        high=0.5,
    )
    seed: int = setting(0, "seed of the splits and of the first simulation", low=0, high=2**31 - 10_000)
    task: Task | None = setting(None, "single_label or multi_label; null: what the data's format declares")
    cpu: bool = setting(False, "use the CPU even if there is a GPU")
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
