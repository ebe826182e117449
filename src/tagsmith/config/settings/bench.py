"""Settings of the benchmark."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tagsmith.config.settings.data import DataSettings
from tagsmith.config.settings.fields import REQUIRED, setting
from tagsmith.config.settings.recipe import Recipe, TrainSettings
from tagsmith.config.settings.stages import EvaluateSettings, ModelSettings
from tagsmith.core.schema import Task

RECIPES = {f"tagsmith_{recipe.value}": recipe for recipe in Recipe}
"""Tagsmith's own contenders: one a recipe."""

CLASSIFIERS = ("tagsmith", "onnxruntime", "pipeline", "sentence_transformers")
"""What `scripts/bench_classify.py` knows to measure."""

CONTENDERS = (*RECIPES, "trainer", "trainer_tuned", "setfit", "tfidf_svm")


@dataclass
class BenchTrainRun:
    """Settings of `scripts/bench_train.py`; `train` is for Tagsmith's own contenders, its recipe is the contender's."""

    contenders: list[str] | None = setting(None, f"who is measured, of {', '.join(CONTENDERS)}; null: all of them")
    full_data: bool = setting(True, "measure on all training documents")
    repetitions: int = setting(1, "measurements of each contender on all training documents", low=1)
    per_class: list[int] | None = setting(
        None, "measure on so many documents a class as well, such as [8,16,32,64]; null: do not", unit="documents"
    )
    draws: int = setting(5, "draws of each of these sizes, the same ones for all contenders", low=1)
    seed: int = setting(0, "seed of the splits, and of the first repetition and draw", low=0, high=2**31 - 10_000)
    task: Task | None = setting(None, "single_label or multi_label; null: what the data's format declares")
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)

    def problems(self) -> Iterator[str]:
        named = self.contenders if self.contenders is not None else list(CONTENDERS)
        if not named or set(named) - set(CONTENDERS) or len(set(named)) < len(named):
            yield f"contenders: expected null or different ones of {', '.join(CONTENDERS)}; found {self.contenders}"
        if self.per_class is not None and (not self.per_class or min(self.per_class) < 1):
            yield f"per_class: expected null or numbers of at least 1, found {self.per_class}"
        if not self.full_data and self.per_class is None:
            yield "full_data, per_class: expected at least one of them, found neither"
        if self.train.early_stopping_patience is not None:
            yield (
                "train.early_stopping_patience: expected null, as no contender is given validation documents; "
                f"found {self.train.early_stopping_patience}"
            )


@dataclass
class BenchScaleRun:
    """Settings of `scripts/bench_scale.py`."""

    documents: int = setting(1_000_000, "training documents that are made", unit="documents", low=100)
    distinct: int | None = setting(
        None, "so many different ones, repeated; null: all differ from each other", unit="documents", low=100
    )
    steps: int = setting(200, "training ends after so many", unit="steps", low=2)
    model: str = setting("minilm", "the encoder, as in model= of scripts/train.py")
    overrides: list[str] | None = setting(None, 'further settings of scripts/train.py, each as "NAME=VALUE"')


@dataclass
class BenchClassifyRun:
    """Settings of `scripts/bench_classify.py`."""

    bundle: str = setting(REQUIRED, "folder of the bundle")
    input: str = setting(REQUIRED, "documents, as of scripts/classify.py")
    run: str | None = setting(
        None, "the run that the bundle is of, for the encoder's weights; null: contenders that need torch are left out"
    )
    stock: str | None = setting(
        None, "folder that transformers.pipeline loads; null: the run's encoder with a head that has learnt nothing"
    )
    contenders: list[str] | None = setting(None, f"who is measured, of {', '.join(CLASSIFIERS)}; null: all of them")
    documents: int = setting(1000, "so many of the input, drawn at random", unit="documents", low=1)
    calls: int = setting(200, "calls with one short text", unit="calls", low=1)
    short_characters: int = setting(80, "longest text that is short", unit="characters", low=1)
    repetitions: int = setting(3, "turns of all contenders; figures are medians", low=1)
    threads: int | None = setting(None, "threads of a contender; null: what it takes by itself", unit="threads", low=1)
    text_field: str = setting("text", "field of the text in a .jsonl, .csv, .tsv or .parquet file")
    seed: int = setting(0, "seed of the draw", low=0, high=2**31 - 1)

    def problems(self) -> Iterator[str]:
        named = self.contenders if self.contenders is not None else list(CLASSIFIERS)
        if not named or set(named) - set(CLASSIFIERS) or len(set(named)) < len(named):
            yield f"contenders: expected null or different ones of {', '.join(CLASSIFIERS)}; found {self.contenders}"
