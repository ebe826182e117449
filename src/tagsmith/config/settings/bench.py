"""Settings of the benchmarks."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from tagsmith.config.settings.data import DataSettings
from tagsmith.config.settings.fields import REQUIRED, setting
from tagsmith.config.settings.recipe import Recipe, TrainSettings
from tagsmith.config.settings.stages import EvaluateSettings, ModelSettings
from tagsmith.core.schema import Task

RECIPES = {f"tagsmith_{recipe.value}": recipe for recipe in Recipe}
"""Contenders of Tagsmith itself, one for each recipe."""

CLASSIFIERS = (
    "tagsmith",
    "tagsmith_onnxruntime",
    "tagsmith_openvino",
    "onnxruntime",
    "pipeline",
    "sentence_transformers",
    "sentence_transformers_onnx",
    "sentence_transformers_openvino",
)
"""Contenders of `scripts/bench_classify.py`."""

DISTILL_POOL = "tagsmith_distill_pool"
"""The recipe distill, with the training texts that were not drawn, without their tags, as `data.pool`."""

CONTENDERS = (*RECIPES, DISTILL_POOL, "trainer", "trainer_tuned", "setfit", "tfidf_svm")


@dataclass
class BenchTrainRun:
    """Settings of `scripts/bench_train.py`; `train` applies to Tagsmith's own contenders, except for its recipe."""

    contenders: list[str] | None = setting(
        None, f"contenders to measure, of {', '.join(CONTENDERS)}; null: all of them"
    )
    models: list[str] | None = setting(
        None,
        "encoders to compare, each a name as of model=, or NAME:FOLDER where its files are there; null: that of model=",
    )
    teacher: str | None = setting(
        None,
        "encoder of the teacher of tagsmith_distill, as of models; fine-tuned on each training set; null: none",
    )
    teacher_soup: int = setting(1, "train.soup of the teacher", unit="trainings", low=1, high=100)
    full_data: bool = setting(True, "measure on all training documents")
    repetitions: int = setting(1, "measurements of each contender on all training documents", low=1)
    per_class: list[int] | None = setting(
        None, "also measure on this many documents per class, such as [8,16,32,64]; null: skip this", unit="documents"
    )
    draws: int = setting(5, "random draws of each of these sizes, shared by all contenders", low=1)
    neighbours: int = setting(0, "busy processes that compete for the cores meanwhile", unit="processes", low=0)
    seed: int = setting(0, "seed of the splits, the first repetition and the first draw", low=0, high=2**31 - 10_000)
    task: Task | None = setting(None, "single_label or multi_label; null: what the data's format declares")
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)

    def problems(self) -> Iterator[str]:
        named = self.contenders if self.contenders is not None else list(CONTENDERS)
        taught = {"tagsmith_distill", DISTILL_POOL} & set(self.contenders or [])
        if taught and self.teacher is None:
            yield f"teacher: expected an encoder for {', '.join(sorted(taught))}, such as mpnet; found none"
        if self.models is not None and not self.models:
            yield "models: expected null or names of encoders, found none"
        if not named or set(named) - set(CONTENDERS) or len(set(named)) < len(named):
            yield f"contenders: expected null or different ones of {', '.join(CONTENDERS)}; found {self.contenders}"
        if self.per_class is not None and (not self.per_class or min(self.per_class) < 1):
            yield f"per_class: expected null or numbers of at least 1, found {self.per_class}"
        if not self.full_data and self.per_class is None:
            yield "full_data, per_class: expected at least one of them, found neither"
        if self.train.early_stopping_patience is not None:
            yield (
                "train.early_stopping_patience: expected null, because contenders get no validation documents; "
                f"found {self.train.early_stopping_patience}"
            )


class Device(Enum):
    """Where the checks of a GPU run."""

    cuda = "cuda"
    cpu = "cpu"


@dataclass
class CheckGpu:
    """Settings of `scripts/check_gpu.py`."""

    device: Device = setting(Device.cuda, "cuda: one GPU, minutes; cpu: a dry run with a tiny encoder")
    output: str = setting("check_gpu.json", "file for the results, JSON")


@dataclass
class BenchScaleRun:
    """Settings of `scripts/bench_scale.py`."""

    documents: int = setting(1_000_000, "number of generated training documents", unit="documents", low=100)
    distinct: int | None = setting(
        None, "number of distinct documents, which are repeated; null: all are distinct", unit="documents", low=100
    )
    steps: int = setting(200, "number of training steps", unit="steps", low=2)
    model: str = setting("minilm", "the encoder, as in model= of scripts/train.py")
    overrides: list[str] | None = setting(None, 'more settings of scripts/train.py, each as "NAME=VALUE"')


@dataclass
class BenchClassifyRun:
    """Settings of `scripts/bench_classify.py`."""

    bundle: str = setting(REQUIRED, "folder of the bundle", reads=True)
    input: str = setting(REQUIRED, "documents, as in scripts/classify.py", reads=True)
    run: str | None = setting(
        None, "run of the bundle, for the encoder's weights; null: contenders that need torch are skipped", reads=True
    )
    stock: str | None = setting(
        None, "folder for transformers.pipeline; null: the run's encoder with an untrained head", reads=True
    )
    contenders: list[str] | None = setting(
        None, f"contenders to measure, of {', '.join(CLASSIFIERS)}; null: all of them"
    )
    documents: int = setting(1000, "number of input documents, drawn at random", unit="documents", low=1)
    calls: int = setting(200, "number of calls with one short text", unit="calls", low=1)
    short_characters: int = setting(80, "maximum length of a short text", unit="characters", low=1)
    repetitions: int = setting(3, "rounds over all contenders; figures are medians", low=1)
    threads: int | None = setting(None, "threads of a contender; null: its own default", unit="threads", low=1)
    text_field: str | list[str] | None = setting(
        None, "field of the text, or a list of fields whose texts are joined by a line end; null: as in training"
    )
    seed: int = setting(0, "seed of the draw", low=0, high=2**31 - 1)

    def problems(self) -> Iterator[str]:
        named = self.contenders if self.contenders is not None else list(CLASSIFIERS)
        if not named or set(named) - set(CLASSIFIERS) or len(set(named)) < len(named):
            yield f"contenders: expected null or different ones of {', '.join(CLASSIFIERS)}; found {self.contenders}"
