"""Settings of the encoder, the recipe and the stages."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tagsmith.schema import Task
from tagsmith.settings.data import DataSettings, delimiter_problem, encoding_problem
from tagsmith.settings.fields import REQUIRED, setting


class Pooling(Enum):
    """How token states become one vector."""

    mean = "mean"
    cls = "cls"


class Recipe(Enum):
    """How far training goes."""

    probe = "probe"
    finetune = "finetune"


class Precision(Enum):
    """Number formats of the forward pass."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Loss(Enum):
    """What a document costs."""

    cross_entropy = "cross_entropy"
    focal = "focal"
    asymmetric = "asymmetric"


class ClassWeights(Enum):
    """What a class weighs in the loss."""

    equal = "equal"
    root = "root"
    balanced = "balanced"


class BestMetric(Enum):
    """Figures by which one validation is better than another."""

    macro_f1 = "macro_f1"
    micro_f1 = "micro_f1"
    accuracy = "accuracy"
    log_loss = "log_loss"


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
class TrainSettings:
    """The recipe."""

    recipe: Recipe = setting(
        Recipe.finetune, "probe: logistic regression on the frozen encoder; finetune: go on from there with all weights"
    )
    probe_documents: int = setting(
        10_000,
        "finetune: most documents, drawn from the training documents, for the regression; probe takes all",
        unit="documents",
        low=2,
    )
    probe_c: float = setting(10.0, "inverse regularisation of the regression, for features of unit norm", low=1e-6)
    epochs: int = setting(3, "passes over the training documents", unit="epochs", low=1)
    max_steps: int | None = setting(
        None, "training, and the fall of the learning rate, end after so many; null: all epochs", unit="steps", low=1
    )
    learning_rate: float | None = setting(
        None, "peak learning rate; null: 2e-4 for batches of 64 documents and more, less for smaller ones", low=0
    )
    head_learning_rate: float | None = setting(None, "peak learning rate of the head; null: learning_rate", low=0)
    lr_warmup_fraction: float = setting(
        0.05, "share of training in which the rates rise from 0; they then fall linearly to 0", low=0, high=1
    )
    weight_decay: float = setting(0.01, "decoupled weight decay of matrices", low=0)
    max_grad_norm: float = setting(1.0, "gradients are clipped to this norm; 0: never", low=0)
    loss: Loss = setting(
        Loss.cross_entropy, "focal and asymmetric (multi-label alone) care less for what is right already"
    )
    loss_gamma: float = setting(2.0, "how much less: exponent of the focal and the asymmetric loss", low=0, high=10)
    label_smoothing: float = setting(0.0, "share of a label that is spread over all classes", low=0, high=0.5)
    class_weights: ClassWeights = setting(
        ClassWeights.equal,
        "equal: every document weighs the same; balanced: every class does; root: half-way, by square roots",
    )
    batch_tokens: int = setting(
        1024, "size of a batch over all processes, one optimiser step", unit="tokens, padding included", low=16
    )
    micro_batch_tokens: int | None = setting(
        None,
        "most that one process takes at once, the rest is accumulated; null: all",
        unit="tokens, padding included",
        low=16,
    )
    freeze_embeddings: bool = setting(True, "keep the embeddings (of tokens, positions and types) as they are")
    frozen_layers: int = setting(
        0, "keep the embeddings and so many of the lowest layers as they are; they run once a document", low=0
    )
    frozen_states_gib: float = setting(
        20.0, "most that is kept on disk of what frozen layers give; above, they run each epoch", unit="GiB", low=0
    )
    validate_every: int | None = setting(
        None, "validate, where there is a validation split; null: after each epoch", unit="steps", low=1
    )
    early_stopping_patience: int | None = setting(
        None, "stop after so many validations without a better one; null: never", unit="validations", low=1
    )
    best_metric: BestMetric = setting(
        BestMetric.macro_f1, "where there is a validation split, the weights best by this are kept"
    )
    checkpoint_every: int | None = setting(
        None, "save a checkpoint, whatever it costs; null: by the clock alone", unit="steps", low=1
    )
    checkpoint_minutes: float | None = setting(
        5.0,
        "save a checkpoint, as after each validation and epoch, unless writing it would cost over 2 % of the time; "
        "null: after those alone",
        unit="minutes",
        low=0,
    )
    keep_checkpoints: int = setting(2, "newest checkpoints kept while training", unit="checkpoints", low=1)
    mixed_precision: Precision = setting(Precision.fp32, "number format of the forward pass")
    cpu: bool = setting(False, "train on the CPU even where there is a GPU")
    log_every: int = setting(10, "write a line of figures", unit="steps", low=1)
    tensorboard: bool = setting(True, "write TensorBoard logs into the run")

    def problems(self) -> Iterator[str]:
        if self.frozen_layers and not self.freeze_embeddings:
            yield "freeze_embeddings: expected true below frozen layers, found false"


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
    cache: CacheSettings = field(default_factory=CacheSettings)

    def problems(self) -> Iterator[str]:
        if self.resume and self.overwrite:
            yield "resume, overwrite: expected at most one of them, found both"


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
    cache: CacheSettings = field(default_factory=CacheSettings)


@dataclass
class ExportRun:
    """Settings of `scripts/export.py`."""

    run: str = setting(REQUIRED, "folder of the run")
    bundle: str = setting(REQUIRED, "folder of the bundle to write")
    overwrite: bool = setting(False, "replace the bundle that the folder holds")
    batch_tokens: int = setting(
        2048, "most that is scored at once for the proof", unit="tokens, padding included", low=16
    )


@dataclass
class ClassifyRun:
    """Settings of `scripts/classify.py`."""

    bundle: str = setting(REQUIRED, "folder of the bundle")
    input: str = setting(REQUIRED, "a .jsonl, .csv or .tsv file, or a folder of .txt files")
    output: str = setting(REQUIRED, "the .jsonl file to write, a line for each input row, in its order")
    text_field: str = setting("text", "field of the text in a .jsonl, .csv or .tsv file")
    delimiter: str | None = setting(None, "character between two fields; null: a comma in .csv, a tab in .tsv")
    encoding: str = setting("utf-8", "encoding of the input")
    overwrite: bool = setting(False, "replace the output file where it exists")
    batch_documents: int = setting(1024, "read and sorted by length at once", unit="documents", low=1)

    def problems(self) -> Iterator[str]:
        if wrong := encoding_problem(self.encoding):
            yield f"encoding: {wrong}"
        if self.delimiter is not None and (wrong := delimiter_problem(self.delimiter)):
            yield f"delimiter: {wrong}"
        if not self.output.endswith(".jsonl"):
            yield f"output: expected a name that ends in .jsonl, found {self.output}"
