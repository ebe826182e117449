"""Settings of the encoder and of the stages."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tagsmith.config.settings.analysis import AnalysisSettings
from tagsmith.config.settings.calibrate import CalibrateSettings, HeldOutFrom
from tagsmith.config.settings.data import DataSettings, delimiter_problem, encoding_problem
from tagsmith.config.settings.export import ExportSettings
from tagsmith.config.settings.fields import REQUIRED, setting
from tagsmith.config.settings.recipe import BestMetric, TrainSettings
from tagsmith.core.schema import Task


class Pooling(Enum):
    """How token states become one vector."""

    mean = "mean"
    cls = "cls"


class Split(Enum):
    """The three splits."""

    train = "train"
    validation = "validation"
    test = "test"


@dataclass
class ModelSettings:
    """The pretrained encoder and how a document's vector is made of its token states."""

    name: str | None = setting(None, "the encoder's name on the hub")
    revision: str | None = setting(None, "commit or tag on the hub")
    package: str | None = setting(
        None, "installed package that holds the encoder, as NAME/folder; absent: the hub is asked"
    )
    sha256: dict[str, str] | None = setting(None, "SHA-256 of the package's files, by file name")
    path: str | None = setting(None, "local folder of the encoder; goes before package and name")
    pooling: Pooling = setting(Pooling.mean, "mean: of all token states; cls: the first token's state")
    max_tokens: int | None = setting(
        None, "longest input that suits the encoder; null: the most it can read", unit="tokens", low=8
    )
    attention_dropout: float = setting(
        0.0, "dropout of attention weights; 0 lets attention take its fast path", low=0, high=0.9
    )
    hidden_dropout: float = setting(0.1, "dropout of hidden states", low=0, high=0.9)

    def problems(self) -> Iterator[str]:
        if not (self.name or self.path or self.package):
            yield "name, path: expected the name of an encoder on the hub or a local folder, found neither"


@dataclass
class CacheSettings:
    """Tokens that are kept from one command to the next."""

    folder: str | None = setting(
        str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "tagsmith"),
        "folder of the tokens of documents that were tokenised before; null: none are kept",
    )
    max_gib: float = setting(10.0, "those used longest ago are removed beyond this size", unit="GiB", low=0)


@dataclass
class EvaluateSettings:
    """How scores become figures."""

    threshold: float = setting(0.5, "score from which a class is predicted (multi-label)", low=0, high=1)
    batch_tokens: int = setting(
        2048, "most that is scored at once by one process", unit="tokens, padding included", low=16
    )


@dataclass
class TrainRun:
    """Settings of `scripts/train.py`."""

    run: str | None = setting(None, "folder of the run; null: a fresh one, runs/DATE_TIME_NAME")
    name: str = setting("run", "readable part of a fresh run's folder")
    seed: int = setting(0, "seed of splits, batches and dropout", low=0, high=2**31 - 1)
    task: Task | None = setting(None, "single_label or multi_label; null: what the data's format declares")
    resume: bool = setting(False, "go on with a run that was interrupted, from its last checkpoint")
    overwrite: bool = setting(False, "replace the run that the folder holds")
    objective: BestMetric | None = setting(
        None, "figure on the validation split by which a sweep judges its jobs; null: no sweep judges"
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
            yield "resume: expected run= beside it, found none; a fresh folder holds nothing to go on with"
        if (earlier := self.train.start_from) and self.run and Path(earlier).resolve() == Path(self.run).resolve():
            yield f"train.start_from: expected another run than run={self.run}, which is made anew"


@dataclass
class CheckKills(TrainRun):
    """Settings of `scripts/check_kills.py`: those of the training, and these; `run` holds all its runs."""

    kills: int = setting(20, "times that training is killed", unit="kills", low=1)
    threads: int = setting(1, "threads of each training process", unit="threads", low=1)


@dataclass
class EvaluateRun:
    """Settings of `scripts/evaluate.py`."""

    run: str = setting(REQUIRED, "folder of the run")
    split: Split | None = setting(None, "which documents; null: test, or validation where there is no test split")
    threshold: float | None = setting(
        None, "score from which a class is predicted (multi-label); null: the run's", low=0, high=1
    )
    batch_tokens: int = setting(
        2048, "most that is scored at once by one process", unit="tokens, padding included", low=16
    )
    cpu: bool = setting(False, "use the CPU even where there is a GPU")
    analyse: bool = setting(True, "look into the figures and write analysis.json and guidance.json; takes seconds")
    analysis: AnalysisSettings = field(default_factory=AnalysisSettings)
    page: bool = setting(True, "write the page of the run, report.html")
    cache: CacheSettings = field(default_factory=CacheSettings)


@dataclass
class CalibrateRun(CalibrateSettings):
    """Settings of `scripts/calibrate.py`: where the scores come from, and what is decided from them."""

    run: str = setting(REQUIRED, "folder of the run")
    from_: HeldOutFrom | None = setting(
        None,
        "validation: documents of the validation split; out_of_fold: training documents, each scored by a model that "
        "was trained by the same recipe on the other folds; null: validation where there is such a split",
    )
    folds: int = setting(5, "parts of the training documents, each held out once", unit="folds", low=2, high=20)
    batch_tokens: int = setting(
        2048, "most that is scored at once by one process", unit="tokens, padding included", low=16
    )
    cpu: bool = setting(False, "use the CPU even where there is a GPU")
    cache: CacheSettings = field(default_factory=CacheSettings)


@dataclass
class ExportRun:
    """Settings of `scripts/export.py`."""

    run: str = setting(REQUIRED, "folder of the run")
    bundle: str = setting(REQUIRED, "folder of the bundle to write")
    overwrite: bool = setting(False, "replace the bundle that the folder holds")
    batch_tokens: int = setting(
        2048, "most that the trained model scores at once, for the proof", unit="tokens, padding included", low=16
    )
    export: ExportSettings = field(default_factory=ExportSettings)


@dataclass
class ClassifyRun:
    """Settings of `scripts/classify.py`."""

    bundle: str = setting(REQUIRED, "folder of the bundle")
    input: str = setting(REQUIRED, "a .jsonl, .csv, .tsv or .parquet file, or a folder of .txt files")
    output: str = setting(REQUIRED, "the .jsonl file to write, a line for each input row, in its order")
    text_field: str = setting("text", "field of the text in a .jsonl, .csv, .tsv or .parquet file")
    delimiter: str | None = setting(None, "character between two fields; null: a comma in .csv, a tab in .tsv")
    encoding: str = setting("utf-8", "encoding of the input")
    overwrite: bool = setting(False, "replace the output file where it exists, and what was left of one")
    resume: bool = setting(False, "go on with what an interrupted command has left; if there is nothing, begin")
    checkpoint_seconds: float = setting(
        2.0, "time after which what is written is made certain; a kill costs as much", unit="seconds", low=0
    )
    processes: int = setting(1, "processes that classify, each with its share of the cores", unit="processes", low=1)
    providers: list[str] | None = setting(
        None, "what onnxruntime computes on, such as [CUDAExecutionProvider] with onnxruntime-gpu; null: the CPU"
    )
    out_of_scope: bool = setting(True, "look for documents of none of the classes, where the bundle knows how")
    batch_documents: int = setting(1024, "read and sorted by length at once", unit="documents", low=1)
    batch_tokens: int | None = setting(
        None,
        "most in one call of the encoder; null: 64 a thread of it, 16384 on a GPU",
        unit="tokens, padding included",
        low=16,
    )
    public_key: str | None = setting(
        None,
        "file of the public key, in PEM, with whose private one the bundle must be signed (extra sign); null: none",
    )

    def problems(self) -> Iterator[str]:
        if self.resume and self.overwrite:
            yield "resume, overwrite: expected at most one of them, found both"
        if wrong := encoding_problem(self.encoding):
            yield f"encoding: {wrong}"
        if self.delimiter is not None and (wrong := delimiter_problem(self.delimiter)):
            yield f"delimiter: {wrong}"
        if not self.output.endswith(".jsonl"):
            yield f"output: expected a name that ends in .jsonl, found {self.output}"
