"""Settings of training."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from tagsmith.config.settings.fields import setting
from tagsmith.config.settings.lora import LoraSettings


class Recipe(Enum):
    """What is trained."""

    probe = "probe"
    finetune = "finetune"
    lora = "lora"
    distill = "distill"
    auto = "auto"


class Precision(Enum):
    """Number formats of the forward pass."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Loss(Enum):
    """Loss functions."""

    cross_entropy = "cross_entropy"
    focal = "focal"
    asymmetric = "asymmetric"


class ClassWeights(Enum):
    """Weights of the classes in the loss."""

    equal = "equal"
    root = "root"
    balanced = "balanced"


class BestMetric(Enum):
    """Metrics that rank validations."""

    macro_f1 = "macro_f1"
    micro_f1 = "micro_f1"
    accuracy = "accuracy"
    log_loss = "log_loss"


@dataclass
class TrainSettings:
    """Settings of training."""

    recipe: Recipe = setting(
        Recipe.finetune,
        "probe: logistic regression on the frozen encoder; finetune: starts from it and trains all weights; "
        "lora: starts from it and trains low-rank adapters; distill: finetune that also learns from a teacher; "
        "auto: the best by cross-validation of probe, finetune with half of the layers frozen, and finetune",
    )
    teacher: str | list[str] | None = setting(
        None,
        "distill: run or bundle with the same classes whose scores are learned, on the training documents and those of "
        "data.pool; of several, the mean of their probabilities",
        reads=True,
    )
    teacher_share: float = setting(
        0.5,
        "distill: weight of the teacher's scores in the loss of a tagged document; its tags have the rest",
        low=0,
        high=1,
    )
    temperature: float = setting(
        2.0,
        "distill: the logits of teacher and student are divided by it; higher ones show more of rare classes",
        low=0.1,
        high=100,
    )
    start_from: str | None = setting(
        None,
        "finetune, lora: earlier run whose encoder and head (adapted by data.schema_changes) training starts from; "
        "null: the pretrained encoder and a regression",
        reads=True,
    )
    probe_documents: int = setting(
        10_000,
        "finetune, lora: maximum number of training documents for the regression, drawn at random; probe uses all",
        unit="documents",
        low=2,
    )
    epochs: int | None = setting(
        None,
        "passes over the training documents; null: 3; multi-label as many as make 240 steps, from 3 to 20; with "
        "data.pool these, or as few as make 150 steps, multi-label 240",
        unit="epochs",
        low=1,
    )
    max_steps: int | None = setting(
        None, "training and the learning rate schedule end after this many; null: after all epochs", unit="steps", low=1
    )
    learning_rate: float | None = setting(
        None,
        "peak learning rate; null: 2e-4 for batches of 64 or more documents, lower for smaller ones, higher below 200 "
        "steps, ten times higher for adapters",
        low=0,
    )
    ema_decay: float | None = setting(
        None,
        "validate and keep an exponential moving average of the weights with this decay per step; null: off",
        low=0.5,
        high=0.99999,
    )
    soup: int = setting(
        1,
        "number of trainings, with different batches and dropout, whose weights are averaged (model soup)",
        unit="trainings",
        low=1,
        high=100,
    )
    max_bad_steps: int = setting(
        0, "steps whose loss or gradients are not finite are skipped; training stops after more than this many", low=0
    )
    loss: Loss = setting(
        Loss.cross_entropy,
        "focal and asymmetric (multi-label only) give less weight to documents that are classified well",
    )
    label_smoothing: float = setting(0.0, "share of a label that is spread over all classes", low=0, high=0.5)
    class_weights: ClassWeights = setting(
        ClassWeights.equal,
        "equal: all documents have the same weight; balanced: all classes do; root: in between, by square roots",
    )
    batch_tokens: int = setting(
        1024, "size of the batch of an optimiser step, over all processes", unit="tokens, padding included", low=16
    )
    micro_batch_tokens: int | None = setting(
        None,
        "maximum size of a micro-batch of one process; gradients are accumulated; null: the whole batch",
        unit="tokens, padding included",
        low=16,
    )
    freeze_embeddings: bool = setting(True, "do not train the embeddings of tokens, positions and types")
    time_budget: float = setting(
        600.0, "auto: time for the comparison and for the training of the chosen recipe", unit="seconds", low=0
    )
    frozen_layers: int = setting(
        0, "do not train the embeddings and this many of the lowest layers; they run once per document", low=0
    )
    frozen_states_gib: float = setting(
        20.0,
        "maximum size on disk of the output of frozen layers; beyond it, they run in each epoch",
        unit="GiB",
        low=0,
    )
    lora: LoraSettings = field(default_factory=LoraSettings)
    validate_every: int | None = setting(
        None, "interval between validations, where there is a validation split; null: one epoch", unit="steps", low=1
    )
    early_stopping_patience: int | None = setting(
        None, "stop after this many validations without improvement; null: never", unit="validations", low=1
    )
    best_metric: BestMetric = setting(
        BestMetric.macro_f1, "metric that selects the weights to keep, where there is a validation split"
    )
    checkpoint_every: int | None = setting(
        None, "interval between checkpoints, whatever they cost; null: by time only", unit="steps", low=1
    )
    checkpoint_minutes: float | None = setting(
        5.0,
        "interval between checkpoints, in addition to those after each validation and epoch; skipped where writing "
        "them would take over 2 % of the time; null: no others",
        unit="minutes",
        low=0,
    )
    mixed_precision: Precision = setting(
        Precision.auto,
        "number format of the forward pass; auto: bf16 where the GPU or CPU (AMX) supports it, otherwise fp32",
    )
    compile: bool = setting(
        False, "use torch.compile; for large encoders on a GPU; on a CPU it takes longer than it saves"
    )
    shard: bool = setting(
        False,
        "shard weights, gradients and optimiser state over the processes of a launch (FSDP), for encoders that do not "
        "fit on one GPU; recipe finetune only",
    )
    cpu: bool = setting(False, "train on the CPU even if there is a GPU")
    log_every: int = setting(10, "interval between lines of figures", unit="steps", low=1)
    tensorboard: bool = setting(True, "write TensorBoard logs to the run")
    mlflow: str | None = setting(
        None,
        "MLflow store for a copy of the run without its documents: sqlite:///FILE, with artifacts in "
        "FILE_artifacts next to it, or http(s)://SERVER; null: none",
    )

    # Constants, by the names that they had as settings.
    lr_warmup_fraction: ClassVar[float] = 0.05
    """Share of training with rising learning rates, which then fall linearly to 0."""
    weight_decay: ClassVar[float] = 0.01
    """Decoupled weight decay of matrices."""
    max_grad_norm: ClassVar[float] = 1.0
    """Gradients are clipped to this norm."""
    loss_gamma: ClassVar[float] = 2.0
    """Exponent of the focal and the asymmetric loss."""
    folds: ClassVar[int] = 3
    """Folds of the training documents for the comparison of the recipe auto."""
    keep_checkpoints: ClassVar[int] = 2
    """Most recent checkpoints kept while training: if the newest is damaged, the other is used."""
    mlflow_experiment: ClassVar[str] = "tagsmith"
    """MLflow experiment; MLFLOW_EXPERIMENT_NAME takes precedence."""

    def problems(self) -> Iterator[str]:
        if self.mlflow is not None and not re.fullmatch(r"sqlite:///(?!:memory:)[^?]+|https?://[^/].*", self.mlflow):
            yield f"mlflow: expected null, sqlite:///FILE or http(s)://SERVER, found {self.mlflow}"
        if self.start_from is not None and self.recipe not in (Recipe.finetune, Recipe.lora):
            yield f"start_from: expected null with the recipe {self.recipe.value}, found {self.start_from}"
        if self.recipe is Recipe.distill and not self.teacher:
            yield "teacher: expected a run or bundle to learn from with the recipe distill, found none"
        if self.recipe is not Recipe.distill and self.teacher:
            yield f"teacher: expected null with the recipe {self.recipe.value}; train=distill learns from it"
        if self.soup > 1 and self.recipe is Recipe.probe:
            yield f"soup: expected 1 with the recipe probe, which is deterministic; found {self.soup}"
        if self.frozen_layers and not self.freeze_embeddings:
            yield "freeze_embeddings: expected true with frozen_layers, found false"
        if self.shard:
            wrong = {
                "recipe": (self.recipe is not Recipe.finetune, "finetune"),
                "frozen_layers": (self.frozen_layers > 0, "0"),
                "ema_decay": (self.ema_decay is not None, "null"),
                "soup": (self.soup > 1, "1"),
                "start_from": (self.start_from is not None, "null"),
                "compile": (self.compile, "false"),
                "mixed_precision": (self.mixed_precision is Precision.fp16, "bf16 or fp32"),
            }
            for name, (is_wrong, expected) in wrong.items():
                if is_wrong:
                    yield f"{name}: expected {expected} with train.shard=true; omit one of the two"
        if self.recipe is Recipe.auto and self.frozen_layers:
            yield f"frozen_layers: expected 0 with the recipe auto, which chooses them; found {self.frozen_layers}"
        if self.recipe is Recipe.lora and not self.freeze_embeddings:
            yield "freeze_embeddings: expected true with the recipe lora, which trains adapters only; found false"
