"""Settings of training: the recipe and what it is made of."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from tagsmith.config.settings.fields import setting
from tagsmith.config.settings.lora import LoraSettings


class Recipe(Enum):
    """How far training goes."""

    probe = "probe"
    finetune = "finetune"
    lora = "lora"
    auto = "auto"


class Precision(Enum):
    """Number formats of the forward pass."""

    auto = "auto"
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


@dataclass
class TrainSettings:
    """The recipe."""

    recipe: Recipe = setting(
        Recipe.finetune,
        "probe: logistic regression on the frozen encoder; finetune: go on from there with all weights; "
        "lora: with adapters of low rank beside frozen weights; "
        "auto: the best by cross-validation of probe, finetune with half of the layers frozen, and finetune",
    )
    start_from: str | None = setting(
        None,
        "finetune, lora: an earlier run whose encoder, and whose head as data.schema_changes says, training goes on "
        "from; null: from the pretrained encoder and a regression",
    )
    probe_documents: int = setting(
        10_000,
        "finetune, lora: most documents, drawn from the training documents, for the regression; probe takes all",
        unit="documents",
        low=2,
    )
    probe_c: float | None = setting(
        None,
        "inverse regularisation of the regression, for features of unit norm; null: 10, multi-label 100",
        low=1e-6,
    )
    epochs: int | None = setting(
        None,
        "passes over the training documents; null: 3, multi-label as many as make 240 steps, at most 20",
        unit="epochs",
        low=1,
    )
    max_steps: int | None = setting(
        None, "training, and the fall of the learning rate, end after so many; null: all epochs", unit="steps", low=1
    )
    learning_rate: float | None = setting(
        None,
        "peak learning rate; null: 2e-4 for batches of 64 documents and more, less for smaller ones, more for less "
        "than 200 steps; ten times that for adapters",
        low=0,
    )
    head_learning_rate: float | None = setting(
        None, "peak learning rate of the head; null: learning_rate, a tenth of it beside adapters", low=0
    )
    lr_warmup_fraction: float = setting(
        0.05, "share of training in which the rates rise from 0; they then fall linearly to 0", low=0, high=1
    )
    weight_decay: float = setting(0.01, "decoupled weight decay of matrices", low=0)
    ema_decay: float | None = setting(
        None,
        "train on, but validate and keep, averages of the weights with this decay a step; null: do not",
        low=0.5,
        high=0.99999,
    )
    soup: int = setting(
        1,
        "trainings, each with batches and dropout of its own, whose weights are averaged; so many times the time",
        unit="trainings",
        low=1,
        high=100,
    )
    max_bad_steps: int = setting(
        0, "steps with a loss or gradients that are not finite are skipped; past so many, training stops", low=0
    )
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
    time_budget: float = setting(
        600.0, "auto: time for comparing and for training what was chosen", unit="seconds", low=0
    )
    folds: int = setting(3, "auto: parts of the training documents, each held out once", unit="folds", low=2, high=20)
    frozen_layers: int = setting(
        0, "keep the embeddings and so many of the lowest layers as they are; they run once a document", low=0
    )
    frozen_states_gib: float = setting(
        20.0, "most that is kept on disk of what frozen layers give; above, they run each epoch", unit="GiB", low=0
    )
    lora: LoraSettings = field(default_factory=LoraSettings)
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
    mixed_precision: Precision = setting(
        Precision.auto, "number format of the forward pass; auto: bf16 on a GPU or CPU (AMX) that has it, else fp32"
    )
    compile: bool = setting(
        False, "train through torch.compile; for large encoders on a GPU: on a CPU it costs more than it gives"
    )
    shard: bool = setting(
        False,
        "spread the weights, their gradients and Adam's moments over the processes of a launch, for encoders that are "
        "too large to be trained on one GPU; with the recipe finetune alone",
    )
    cpu: bool = setting(False, "train on the CPU even where there is a GPU")
    log_every: int = setting(10, "write a line of figures", unit="steps", low=1)
    tensorboard: bool = setting(True, "write TensorBoard logs into the run")
    mlflow: str | None = setting(
        None,
        "MLflow store that gets a copy of what the run holds, without its documents: sqlite:///FILE, its artifacts in "
        "FILE_artifacts beside it, or http(s)://SERVER; null: none",
    )
    mlflow_experiment: str = setting("tagsmith", "MLflow experiment; MLFLOW_EXPERIMENT_NAME goes before it")

    def problems(self) -> Iterator[str]:
        if self.mlflow is not None and not re.fullmatch(r"sqlite:///(?!:memory:)[^?]+|https?://[^/].*", self.mlflow):
            yield f"mlflow: expected null, sqlite:///FILE or http(s)://SERVER, found {self.mlflow}"
        if not self.mlflow_experiment.strip() or "'" in self.mlflow_experiment:
            yield f"mlflow_experiment: expected a name without quotes, found {self.mlflow_experiment!r}"
        if self.start_from is not None and self.recipe not in (Recipe.finetune, Recipe.lora):
            yield f"start_from: expected null with the recipe {self.recipe.value}, found {self.start_from}"
        if self.soup > 1 and self.recipe is Recipe.probe:
            yield f"soup: expected 1 with the recipe probe, of which there is only one result; found {self.soup}"
        if self.frozen_layers and not self.freeze_embeddings:
            yield "freeze_embeddings: expected true below frozen layers, found false"
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
                    yield f"{name}: expected {expected} beside train.shard=true; leave one of the two out"
        if self.recipe is Recipe.auto and self.frozen_layers:
            yield f"frozen_layers: expected 0 with the recipe auto, which chooses them; found {self.frozen_layers}"
        if self.recipe is Recipe.lora and not self.freeze_embeddings:
            yield "freeze_embeddings: expected true with the recipe lora, which trains adapters alone; found false"
