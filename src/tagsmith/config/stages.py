"""Which dataclass holds the settings of each script, and of each section that is a choice."""

from tagsmith.config import settings as typed

STAGES: dict[str, type] = {
    "train": typed.TrainRun,
    "annotate": typed.AnnotateRun,
    "label_studio": typed.LabelStudioRun,
    "evaluate": typed.EvaluateRun,
    "calibrate": typed.CalibrateRun,
    "compare": typed.CompareRuns,
    "export": typed.ExportRun,
    "classify": typed.ClassifyRun,
    "improve": typed.ImproveRun,
    "tag": typed.TagRun,
    "serve": typed.ServeRun,
    "refresh": typed.RefreshRun,
    "leave_azure": typed.LeaveAzure,
    "check_kills": typed.CheckKills,
    "check_gpu": typed.CheckGpu,
    "bench_classify": typed.BenchClassifyRun,
    "bench_train": typed.BenchTrainRun,
    "bench_scale": typed.BenchScaleRun,
    "bench_refresh": typed.BenchRefreshRun,
    "bench_curve": typed.BenchCurveRun,
    "bench_improve": typed.BenchImproveRun,
    "bench_tag": typed.BenchTagRun,
}
"""By name of a script and of its `configs/NAME.yaml`."""

SECTIONS: dict[str, dict[str, type]] = {
    "data": {
        "auto": typed.TableSettings,
        "text_folders": typed.TextFoldersSettings,
        "azure": typed.AzureSettings,
        "hub": typed.HubSettings,
    },
    "model": {"": typed.ModelSettings},
    "train": {"": typed.TrainSettings},
}
"""By name of a section, the dataclasses that it may be: `data` may be of any format."""
