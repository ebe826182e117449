"""The typed settings of every stage: each field owns its type, default, unit and range.

A YAML under `configs/` only composes these and names choices. Nothing here knows Hydra, so every room may
take its own section.
"""

from tagsmith.settings.bench import CONTENDERS, RECIPES, BenchScaleRun, BenchTrainRun
from tagsmith.settings.data import (
    AzureSettings,
    CsvSettings,
    DataSettings,
    FileSettings,
    HubSettings,
    JsonlSettings,
    LongDocuments,
    OnBadRow,
    TableSettings,
    TextFoldersSettings,
)
from tagsmith.settings.fields import REQUIRED, as_dict, default_of, problems, setting, walk
from tagsmith.settings.lora import LoraSettings
from tagsmith.settings.recipe import BestMetric, ClassWeights, Loss, Precision, Recipe, TrainSettings
from tagsmith.settings.serve import ServeRun, ServeSettings
from tagsmith.settings.stages import (
    CacheSettings,
    CheckKills,
    ClassifyRun,
    EvaluateRun,
    EvaluateSettings,
    ExportRun,
    ModelSettings,
    Pooling,
    Split,
    TrainRun,
)

__all__ = [
    "CONTENDERS",
    "RECIPES",
    "REQUIRED",
    "AzureSettings",
    "BenchScaleRun",
    "BenchTrainRun",
    "BestMetric",
    "CacheSettings",
    "CheckKills",
    "ClassWeights",
    "ClassifyRun",
    "CsvSettings",
    "DataSettings",
    "EvaluateRun",
    "EvaluateSettings",
    "ExportRun",
    "FileSettings",
    "HubSettings",
    "JsonlSettings",
    "LongDocuments",
    "LoraSettings",
    "Loss",
    "ModelSettings",
    "OnBadRow",
    "Pooling",
    "Precision",
    "Recipe",
    "ServeRun",
    "ServeSettings",
    "Split",
    "TableSettings",
    "TextFoldersSettings",
    "TrainRun",
    "TrainSettings",
    "as_dict",
    "default_of",
    "problems",
    "setting",
    "walk",
]
