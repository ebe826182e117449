"""The typed settings of every stage: each field owns its type, default, unit and range.

The YAMLs in `configs/` compose them and name choices. Nothing here imports Hydra: every room can use its section.
"""

from tagsmith.config.settings.analysis import AnalysisSettings
from tagsmith.config.settings.annotate import (
    AnnotateRun,
    AnswerSettings,
    GiveTake,
    LabelStudioRun,
    OnDisagreement,
    PushPull,
    Tool,
    Unreviewed,
)
from tagsmith.config.settings.bench import (
    CLASSIFIERS,
    CONTENDERS,
    RECIPES,
    BenchClassifyRun,
    BenchScaleRun,
    BenchTrainRun,
)
from tagsmith.config.settings.calibrate import CalibrateSettings, HeldOutFrom
from tagsmith.config.settings.compare import CompareRuns, Retagged
from tagsmith.config.settings.data import (
    AzureSettings,
    ClassNames,
    Contradictions,
    DataSettings,
    FileSettings,
    HubSettings,
    LongDocuments,
    OnBadRow,
    OnMissing,
    TableSettings,
    TextFoldersSettings,
)
from tagsmith.config.settings.export import ExportSettings, GoldenFrom
from tagsmith.config.settings.fields import REQUIRED, as_dict, default_of, defaults, problems, setting, walk
from tagsmith.config.settings.improve import STRATEGIES, BenchCurveRun, BenchImproveRun, ImproveRun
from tagsmith.config.settings.lora import LoraSettings
from tagsmith.config.settings.recipe import BestMetric, ClassWeights, Loss, Precision, Recipe, TrainSettings
from tagsmith.config.settings.serve import ServeRun, ServeSettings
from tagsmith.config.settings.stages import (
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
    "ClassNames",
    "ClassWeights",
    "ClassifyRun",
    "CompareRuns",
    "Contradictions",
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
    "LabelStudioRun",
    "LongDocuments",
    "LoraSettings",
    "Loss",
    "ModelSettings",
    "OnBadRow",
    "OnDisagreement",
    "OnMissing",
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
    "problems",
    "setting",
    "walk",
]
