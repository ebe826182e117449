"""The typed settings of every stage: each field owns its type, default, unit and range.

A YAML under `configs/` only composes these and names choices. Nothing here knows Hydra, so every room may
take its own section.
"""

from tagsmith.settings.analysis import AnalysisSettings
from tagsmith.settings.annotate import (
    AnnotateRun,
    AnswerSettings,
    GiveTake,
    LabelStudioRun,
    OnDisagreement,
    PushPull,
    Tool,
    Unreviewed,
)
from tagsmith.settings.bench import CLASSIFIERS, CONTENDERS, RECIPES, BenchClassifyRun, BenchScaleRun, BenchTrainRun
from tagsmith.settings.calibrate import CalibrateSettings, HeldOutFrom
from tagsmith.settings.compare import CompareRuns, Retagged
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
from tagsmith.settings.explain import explained
from tagsmith.settings.export import ExportSettings, GoldenFrom
from tagsmith.settings.fields import REQUIRED, as_dict, default_of, defaults, problems, setting, walk
from tagsmith.settings.improve import STRATEGIES, BenchCurveRun, BenchImproveRun, ImproveRun
from tagsmith.settings.lora import LoraSettings
from tagsmith.settings.recipe import BestMetric, ClassWeights, Loss, Precision, Recipe, TrainSettings
from tagsmith.settings.serve import ServeRun, ServeSettings
from tagsmith.settings.stages import (
    CacheSettings,
    CalibrateRun,
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
    "CLASSIFIERS",
    "CONTENDERS",
    "RECIPES",
    "REQUIRED",
    "STRATEGIES",
    "AnalysisSettings",
    "AnnotateRun",
    "AnswerSettings",
    "AzureSettings",
    "BenchClassifyRun",
    "BenchCurveRun",
    "BenchImproveRun",
    "BenchScaleRun",
    "BenchTrainRun",
    "BestMetric",
    "CacheSettings",
    "CalibrateRun",
    "CalibrateSettings",
    "CheckKills",
    "ClassWeights",
    "ClassifyRun",
    "CompareRuns",
    "CsvSettings",
    "DataSettings",
    "EvaluateRun",
    "EvaluateSettings",
    "ExportRun",
    "ExportSettings",
    "FileSettings",
    "GiveTake",
    "GoldenFrom",
    "HeldOutFrom",
    "HubSettings",
    "ImproveRun",
    "JsonlSettings",
    "LabelStudioRun",
    "LongDocuments",
    "LoraSettings",
    "Loss",
    "ModelSettings",
    "OnBadRow",
    "OnDisagreement",
    "Pooling",
    "Precision",
    "PushPull",
    "Recipe",
    "Retagged",
    "ServeRun",
    "ServeSettings",
    "Split",
    "TableSettings",
    "TextFoldersSettings",
    "Tool",
    "TrainRun",
    "TrainSettings",
    "Unreviewed",
    "as_dict",
    "default_of",
    "defaults",
    "explained",
    "problems",
    "setting",
    "walk",
]
