"""Settings of the encoder and of the stages."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar

from tagsmith.config.settings.analysis import AnalysisSettings
from tagsmith.config.settings.calibrate import CalibrateSettings, HeldOutFrom
from tagsmith.config.settings.data import DataSettings, reading_problems
from tagsmith.config.settings.engine import ENGINE, PRECISION, EngineName, Precision
from tagsmith.config.settings.export import ExportSettings
from tagsmith.config.settings.fields import REQUIRED, setting
from tagsmith.config.settings.recipe import BestMetric, Recipe, TrainSettings
from tagsmith.core.files import cache_folder
from tagsmith.core.schema import Task


class Pooling(Enum):
    """How token states are pooled to one vector."""

    mean = "mean"
    cls = "cls"


class Split(Enum):
    """The three splits."""

    train = "train"
    validation = "validation"
    test = "test"


@dataclass
class ModelSettings:
    """The pretrained encoder and its pooling."""

    name: str | None = setting(None, "name of the encoder on the hub")
    revision: str | None = setting(None, "commit or tag on the hub")
    package: str | None = setting(
        None, "installed package with the encoder, as NAME/folder; where it is not installed, the hub is used"
    )
    sha256: dict[str, str] | None = setting(None, "SHA-256 of the package's files, by file name")
    path: str | None = setting(None, "local folder of the encoder; takes precedence over package and name", reads=True)
    pooling: Pooling = setting(Pooling.mean, "mean: of all token states; cls: the first token's state")
    max_tokens: int | None = setting(None, "recommended maximum input; null: the encoder's limit", unit="tokens", low=8)
    prefix: str = setting("", "what the encoder was trained to find before each text; a bundle has it in its tokenizer")
    languages: list[str] | None = setting(
        None, "languages that the encoder was trained on, as ISO 639-1 codes; null: many, or unknown"
    )
    attention_dropout: float = setting(
        0.0, "dropout of attention weights; 0 allows a faster attention kernel", low=0, high=0.9
    )
    hidden_dropout: float = setting(0.1, "dropout of hidden states", low=0, high=0.9)

    def problems(self) -> Iterator[str]:
        if not (self.name or self.path or self.package):
            yield "name, path: expected the name of an encoder on the hub or a local folder, found neither"


@dataclass
class CacheSettings:
    """The cache of tokens, and of graphs without weights, on disk."""

    folder: str | None = setting(
        str(cache_folder()),
        "folder of the cache; null: no cache",
    )
    max_gib: float = setting(
        10.0, "maximum size of the cached tokens; least recently used entries are removed", unit="GiB", low=0
    )


@dataclass
class EvaluateSettings:
    """How documents are scored and evaluated."""

    batch_tokens: int = setting(
        2048, "maximum number of tokens that a process scores in one batch", unit="tokens, padding included", low=16
    )

    # A constant, by the name that it had as a setting: calibration chooses thresholds, and evaluate.py may set one.
    threshold: ClassVar[float] = 0.5
    """Score at which a class is predicted (multi-label), where no threshold was chosen."""


@dataclass
class TrainRun:
    """Settings of `scripts/train.py`."""

    run: str | None = setting(None, "folder of the run; null: a new one, runs/DATE_TIME_NAME")
    name: str = setting("run", "last part of the name of a new run's folder")
    seed: int = setting(0, "seed of splits, batches and dropout", low=0, high=2**31 - 1)
    task: Task | None = setting(None, "single_label or multi_label; null: what the data's format declares")
    resume: bool = setting(False, "resume an interrupted run from its last checkpoint; start it where there is none")
    overwrite: bool = setting(False, "replace an existing run")
    objective: BestMetric | None = setting(
        None, "metric on the validation split by which a sweep ranks its jobs; null: no ranking"
    )
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    calibrate: CalibrateSettings = field(default_factory=CalibrateSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)

    def problems(self) -> Iterator[str]:
        if self.resume and self.overwrite:
            yield "resume, overwrite: expected at most one of them, found both"
        if self.resume and self.run is None:
            yield "resume: expected run= as well, found none; a new folder has nothing to resume"
        if self.data.pool is not None and self.train.recipe is not Recipe.distill:
            yield f"data.pool: expected null with the recipe {self.train.recipe.value}; train=distill uses it"
        if (earlier := self.train.start_from) and self.run and Path(earlier).resolve() == Path(self.run).resolve():
            yield f"train.start_from: expected a run other than run={self.run}, which is being trained"


@dataclass
class CheckKills(TrainRun):
    """Settings of `scripts/check_kills.py`: those of training, and these; `run` is the folder of all its runs."""

    kills: int = setting(20, "number of times that training is killed", unit="kills", low=1)
    threads: int = setting(1, "threads of each training process", unit="threads", low=1)


@dataclass
class EvaluateRun:
    """Settings of `scripts/evaluate.py`."""

    run: str = setting(REQUIRED, "folder of the run", reads=True)
    split: Split | None = setting(None, "split to evaluate; null: test, or validation where there is no test split")
    threshold: float | None = setting(
        None, "score at which a class is predicted (multi-label); null: the run's thresholds", low=0, high=1
    )
    batch_tokens: int = setting(
        2048, "maximum number of tokens that a process scores in one batch", unit="tokens, padding included", low=16
    )
    cpu: bool = setting(False, "use the CPU even if there is a GPU")
    analyse: bool = setting(True, "analyse the evaluation and write analysis.json and guidance.json; takes seconds")
    analysis: AnalysisSettings = field(default_factory=AnalysisSettings)
    page: bool = setting(True, "write the report page of the run, report.html")
    cache: CacheSettings = field(default_factory=CacheSettings)


@dataclass
class CalibrateRun(CalibrateSettings):
    """Settings of `scripts/calibrate.py`: where the scores come from, and how they become decisions."""

    run: str = setting(REQUIRED, "folder of the run", reads=True)
    from_: HeldOutFrom | None = setting(
        None,
        "validation: scores of the validation split; out_of_fold: scores of the training documents, each by a model "
        "trained with the same recipe on the other folds; null: validation where there is such a split",
    )
    folds: int = setting(5, "folds of the training documents, each held out once", unit="folds", low=2, high=20)
    batch_tokens: int = setting(
        2048, "maximum number of tokens that a process scores in one batch", unit="tokens, padding included", low=16
    )
    cpu: bool = setting(False, "use the CPU even if there is a GPU")
    cache: CacheSettings = field(default_factory=CacheSettings)


@dataclass
class ExportRun:
    """Settings of `scripts/export.py`."""

    run: str = setting(REQUIRED, "folder of the run", reads=True)
    bundle: str = setting(REQUIRED, "folder of the bundle to write")
    overwrite: bool = setting(False, "replace an existing bundle")
    batch_tokens: int = setting(
        2048,
        "maximum number of tokens that the trained model scores in one batch, for the parity check",
        unit="tokens, padding included",
        low=16,
    )
    export: ExportSettings = field(default_factory=ExportSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)


@dataclass
class ClassifyRun:
    """Settings of `scripts/classify.py`."""

    bundle: str = setting(REQUIRED, "folder of the bundle", reads=True)
    input: str | list[str] = setting(
        REQUIRED,
        "a file of rows in any format, a folder, a pattern, or a list of these; - reads standard input",
        reads=True,
    )
    output: str = setting(
        REQUIRED, "the .jsonl, .csv or .parquet file to write, one row per input row, in order; - writes to stdout"
    )
    keep: list[str] = setting([], "fields of the input that the output repeats")
    text_field: str | list[str] | None = setting(
        None, "field of the text, or a list of fields whose texts are joined by a line end; null: as in training"
    )
    delimiter: str | None = setting(
        None, "character between two fields of a table; null: the one that the header line has"
    )
    encoding: str | None = setting(None, "encoding of the input; null: UTF-8, or what a file looks like")
    overwrite: bool = setting(False, "replace an existing or partial output file")
    resume: bool = setting(False, "resume an interrupted command; start where there is nothing to resume")
    checkpoint_seconds: float = setting(
        2.0, "interval between commits of the output; a kill loses at most this much work", unit="seconds", low=0
    )
    processes: int = setting(1, "number of processes, which share the cores", unit="processes", low=1)
    providers: list[str] | None = setting(
        None, "execution providers of onnxruntime, such as [CUDAExecutionProvider] with onnxruntime-gpu; null: the CPU"
    )
    engine: EngineName = setting(EngineName.auto, ENGINE)
    precision: Precision = setting(Precision.auto, PRECISION)
    out_of_scope: bool = setting(True, "detect out-of-scope documents, where the bundle supports it")
    batch_documents: int = setting(
        1024, "number of documents that are read and sorted by length together", unit="documents", low=1
    )
    batch_tokens: int | None = setting(
        None,
        "maximum number of tokens in one call of the encoder; null: 64 per thread, 16384 on a GPU",
        unit="tokens, padding included",
        low=16,
    )
    public_key: str | None = setting(
        None,
        "PEM file of the public key that must verify the signature of the bundle (extra sign); null: no verification",
        reads=True,
    )

    def problems(self) -> Iterator[str]:
        if self.resume and self.overwrite:
            yield "resume, overwrite: expected at most one of them, found both"
        yield from reading_problems(self, "input")
        if self.output != "-" and not self.output.lower().endswith((".jsonl", ".csv", ".parquet")):
            yield f"output: expected a name ending in .jsonl, .csv or .parquet, or -, found {self.output}"
        if self.output == "-" and self.resume:
            yield "resume: expected false with output=-, of which nothing can be resumed"
