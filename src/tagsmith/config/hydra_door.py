"""The door: Hydra composes, this module turns the result into typed settings once, and errors into exit statuses.

Nothing behind it knows Hydra or OmegaConf.
"""

import errno
import functools
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from tagsmith.config import settings as typed
from tagsmith.config.help import help_text, unknown_settings
from tagsmith.core.errors import NO_ROOM, Interrupted, SettingsError, TagsmithError, TryAgainLater, listing
from tagsmith.core.signals import leave_in_peace, obey_sigterm
from tagsmith.core.terminal import ignore_closed_stdout, log_to_stderr

try:
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.experimental.callback import Callback
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
except ModuleNotFoundError as error:  # Only scripts come through this door, and the base package is for a Classifier.
    print(
        f"error: scripts need the package {error.name}: pip install -e '.[train]', as make install does.",
        file=sys.stderr,
    )
    sys.exit(SettingsError.exit_status)

Settings = TypeVar("Settings")

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
"""The YAMLs of the checkout that this package is installed from (editable, as `make install` does)."""

EXTRAS = {"serve": "serve", "classify": "cli", "improve": "improve"}
"""What brings the packages that a script needs, where it is not `train`."""

NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
"""What a file system says of a place that a person has chosen, and no bug of ours."""

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
    "serve": typed.ServeRun,
    "check_kills": typed.CheckKills,
    "bench_classify": typed.BenchClassifyRun,
    "bench_train": typed.BenchTrainRun,
    "bench_scale": typed.BenchScaleRun,
    "bench_curve": typed.BenchCurveRun,
    "bench_improve": typed.BenchImproveRun,
}
SECTIONS: dict[str, dict[str, type]] = {
    "data": {
        "csv": typed.CsvSettings,
        "jsonl": typed.JsonlSettings,
        "text_folders": typed.TextFoldersSettings,
        "azure": typed.AzureSettings,
        "hub": typed.HubSettings,
    },
    "model": {"": typed.ModelSettings},
    "train": {"": typed.TrainSettings},
}


def register() -> None:
    """Make the dataclasses known to the YAMLs: `/settings/run/train`, `/settings/data/csv`, `/settings/model`, ..."""
    store = ConfigStore.instance()
    for group, choices in {"run": STAGES, **SECTIONS}.items():
        for name, kind in choices.items():
            place, _, last = f"settings/{group}/{name}".rstrip("/").rpartition("/")
            node = OmegaConf.structured(kind)
            if kind is typed.ServeRun:  # Its names are a person's choice; Hydra refuses new ones elsewhere.
                OmegaConf.set_struct(node.serve.deployments, False)
            store.store(group=place, name=last, node=node)
    OmegaConf.register_new_resolver("explain", explain, replace=True)


def script(name: str) -> Callable[[Callable[[Any], Any]], Callable[[], None]]:
    """Make a stage, a function of its typed settings, the main of a script with `configs/NAME.yaml`.

    Exit status: 0 done; 64 wrong settings; 65 wrong data; 66 input missing; 70 a bug, with its traceback;
    75 try again later. Of several jobs (--multirun), one with a mistake leaves the others to run, and the status is
    that of the first such job; a bug and an interruption end them all. What the stage returns goes to Hydra: a sweeper
    that searches judges a job by it; None says that the job has failed.
    """

    def decorate(stage: Callable[[Any], Any]) -> Callable[[], None]:
        scripts = Path(inspect.getfile(stage)).resolve().parent
        # Python puts a script's folder first: scripts/evaluate.py would hide the package `evaluate`.
        sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != scripts]

        @functools.wraps(stage)
        def main() -> None:
            if not CONFIGS.is_dir():
                need = f"pip install -e '.[{EXTRAS.get(name, 'train')}]'"
                print(f"error: scripts need the package of their checkout, with its configs/: {need}.", file=sys.stderr)
                sys.exit(SettingsError.exit_status)
            obey_sigterm()
            ignore_closed_stdout()
            register()
            # A verb, `push`, stands for the setting `action=push`.
            if "action" in {field.name for field in fields(STAGES[name])} and re.fullmatch(
                r"[a-z]+", "".join(sys.argv[1:2])
            ):
                sys.argv[1] = f"action={sys.argv[1]}"
            if wrong := unknown_settings(sys.argv[1:], STAGES[name], _sections()):
                print(f"error: {listing('These settings cannot be used:', wrong)}", file=sys.stderr)
                sys.exit(SettingsError.exit_status)
            statuses: list[int] = []
            taken = set[Any]()

            def task(config: DictConfig) -> Any:
                if name == "train" and config.get("run") is not None and config.run in taken:
                    print(f"error: run={config.run}: an earlier job has it; leave run= out.", file=sys.stderr)
                    statuses.append(SettingsError.exit_status)
                    return None
                taken.add(config.get("run"))
                status, result = _run(name, stage, config)
                statuses.append(status)
                return result

            try:
                hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(task)()
            except (HydraException, OmegaConfBaseException) as error:
                # Hydra tells these itself, but for those that it meets on the way to --help.
                if os.environ.get("HYDRA_FULL_ERROR") == "1":
                    traceback.print_exc()
                else:
                    print(error, file=sys.stderr)
                sys.exit(SettingsError.exit_status)
            except KeyboardInterrupt:
                _leave("before it began; the same command begins anew.")
            except SystemExit as left:
                # Hydra has said what is wrong with the settings, and leaves with 1 or 2 for whatever it is; a sweeper
                # does so too where no job has given it anything to judge by.
                failed = next(filter(None, statuses), SettingsError.exit_status)
                sys.exit(failed if left.code in (1, 2) else left.code)
            sys.exit(next(filter(None, statuses), 0))

        return main

    return decorate


def _run(name: str, stage: Callable[[Any], Any], config: DictConfig) -> tuple[int, Any]:
    """Call the stage, return its exit status and result.

    A person's mistake becomes one message, a bug keeps its traceback.
    """
    log_to_stderr()
    hydra_config = HydraConfig.get()
    if hydra_config.mode is RunMode.MULTIRUN:
        print(f"job {hydra_config.job.num + 1}: {' '.join(hydra_config.overrides.task)}", file=sys.stderr)
    try:
        result = stage(to_settings(config, STAGES[name]))
        if sys.stdout is not None:
            sys.stdout.flush()  # Before what the next job of a sweep says on stderr.
        return 0, result
    except Interrupted as told:
        # The folder of a job alone says nothing of what the sweep has set for it.
        sweep = hydra_config.mode is RunMode.MULTIRUN
        _leave("the same command with resume=true goes on." if sweep else str(told))
    except TagsmithError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status, None
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "tagsmith":
            _bug()
        extra = EXTRAS.get(name, "train")
        print(f"error: scripts/{name}.py needs the package {error.name}: pip install -e '.[{extra}]'.", file=sys.stderr)
        return SettingsError.exit_status, None
    except SystemExit as left:
        # The main process of this launch has told what is wrong; what ends its other jobs does so here.
        if left.code in (TagsmithError.exit_status, Interrupted.exit_status):
            raise
        return cast(int, left.code), None
    except KeyboardInterrupt:
        _leave("nothing half done is left behind.")
    except OSError as error:
        if error.errno not in NO_ROOM | NOT_ALLOWED:
            _bug()
        print(f"error: {error.filename or error.filename2 or 'a file'}: {error.strerror}.", file=sys.stderr)
        return (TryAgainLater if error.errno in NO_ROOM else SettingsError).exit_status, None
    except Exception:
        _bug()


def _bug() -> NoReturn:
    traceback.print_exc()
    sys.exit(TagsmithError.exit_status)


class CompareJobs(Callback):
    """Shows and writes the table of a sweep after its last job; named by `configs/experiment/sweep.yaml`."""

    def __init__(self) -> None:
        self._failed: set[str] = set()

    def on_job_end(self, config: DictConfig, job_return: Any, **_: Any) -> None:
        if job_return.return_value is None:  # What a stage returns that has not failed is the objective.
            self._failed.add(Path(config.run).name)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        if os.environ.get("RANK", "0") != "0":
            return  # One process of a launch is enough.
        from rich.console import Console

        from tagsmith.config.sweep import compare, comparison_table

        folder = Path(config.hydra.sweep.dir)
        comparison = compare(folder, typed.BestMetric(config.objective).value, self._failed)
        Console(width=max(Console().width, 130)).print(comparison_table(comparison))
        print(f"comparison: {folder / 'comparison.csv'}")


def _leave(message: str) -> NoReturn:
    leave_in_peace()
    print(f"interrupted: {message}", file=sys.stderr)
    sys.exit(Interrupted.exit_status)


def to_settings(config: DictConfig, kind: type[Settings]) -> Settings:
    """The validated dataclass of a composed config.

    Raises:
        SettingsError: settings are missing, unknown or wrong; all of them are listed.
    """
    problems: list[str] = []
    settings: Any = None
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        problems += [f"{name}: expected a value, found none; set {name}=" for name in missing]
        settings = OmegaConf.to_object(config) if not missing else None
    except OmegaConfBaseException as error:
        problems.append(" ".join(str(error).split()))
    if not problems:
        problems = [*_strays(config, settings), *typed.problems(settings)]
    if problems:
        raise SettingsError(listing("These settings cannot be used:", problems))
    return settings  # type: ignore[no-any-return]


def _strays(config: DictConfig, settings: Any, prefix: str = "") -> Iterator[str]:
    """Keys without a field: Hydra's `+name=value` adds such even to a typed config."""
    known = {item.name for item in fields(settings)}
    for key in config:
        value = getattr(settings, str(key), None)
        if key not in known:
            yield f"{prefix}{key!s}: unknown setting; expected one of {', '.join(sorted(known))}"
        elif is_dataclass(value) and isinstance(config[key], DictConfig):
            yield from _strays(config[key], value, f"{prefix}{key}.")


def explain(stage: str) -> str:
    """The text of `--help`.

    Defaults are those of the settings and of `configs/STAGE.yaml`; what a chosen YAML puts in their place is shown
    by `--cfg job`.
    """
    primary = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{stage}.yaml")))
    choices = {name: sorted(path.stem for path in (CONFIGS / name).glob("*.yaml")) for name in SECTIONS}
    return help_text(f"python scripts/{stage}.py NAME=VALUE ...", STAGES[stage], primary, _sections(), choices)


def _sections() -> dict[str, Collection[type]]:
    return {group: kinds.values() for group, kinds in SECTIONS.items()}
