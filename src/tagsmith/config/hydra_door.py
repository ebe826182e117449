"""The only way from Hydra to a stage: a composed config becomes typed settings, an error an exit status.

No other module knows Hydra or OmegaConf, except the table of a sweep.
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
from tagsmith.core.files import shipped_folder
from tagsmith.core.signals import ignore_sigterm, raise_on_sigterm
from tagsmith.core.terminal import ignore_closed_stdout, log_to_stderr

try:
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
except ModuleNotFoundError as error:  # The base package, which is enough for a Classifier, lacks Hydra.
    print(f"error: scripts need the package {error.name}: pip install 'tagsmith[train]'.", file=sys.stderr)
    sys.exit(SettingsError.exit_status)

Settings = TypeVar("Settings")

CONFIGS = shipped_folder("configs")

EXTRAS = {"serve": "serve", "classify": "cli", "improve": "improve"}
"""The extra that a script needs, where it is not `train`."""

NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
"""Errors of the file system about a path that the user has chosen."""

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
        "table": typed.TableSettings,
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
            if kind is typed.ServeRun:  # Users choose the names of deployments; Hydra refuses new names elsewhere.
                OmegaConf.set_struct(node.serve.deployments, False)
            store.store(group=place, name=last, node=node)
    OmegaConf.register_new_resolver("explain", explain, replace=True)


def script(name: str) -> Callable[[Callable[[Any], Any]], Callable[[], None]]:
    """Make a stage, a function of its typed settings, the main of a script with `configs/NAME.yaml`.

    Exit status: 0 success; 64 wrong settings; 65 wrong data; 66 missing input; 70 a bug, with its traceback;
    75 try again later. With --multirun, the other jobs still run after one fails with 64 to 66, and the status is that
    of the first failed job; a bug or an interruption ends all jobs. A sweeper that searches judges a job by what the
    stage returns; None means that the job has failed.
    """

    def decorate(stage: Callable[[Any], Any]) -> Callable[[], None]:
        scripts = Path(inspect.getfile(stage)).resolve().parent
        # Python puts a script's folder first on its path, where scripts/evaluate.py would hide the package `evaluate`.
        sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != scripts]

        @functools.wraps(stage)
        def main() -> None:
            raise_on_sigterm()
            ignore_closed_stdout()
            register()
            # `push` is short for `action=push`.
            if "action" in {field.name for field in fields(STAGES[name])}:
                sys.argv[1:2] = [re.sub(r"^([a-z]+)$", r"action=\1", word) for word in sys.argv[1:2]]
            if wrong := unknown_settings(sys.argv[1:], STAGES[name], _sections()):
                sys.exit(_report(SettingsError(listing("These settings cannot be used:", wrong))))
            statuses: list[int] = []
            used = set[Any]()

            def task(config: DictConfig) -> Any:
                run = config.get("run") if name == "train" else None
                if run is not None and run in used:
                    statuses.append(_report(SettingsError(f"run={run}: an earlier job uses this folder; omit run=.")))
                    return None
                used.add(run)
                status, result = _run(name, stage, config)
                statuses.append(status)
                return result

            try:
                hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(task)()
            except (HydraException, OmegaConfBaseException) as error:
                # Hydra prints these itself, except for those on its way to --help.
                if os.environ.get("HYDRA_FULL_ERROR") == "1":
                    traceback.print_exc()
                else:
                    print(error, file=sys.stderr)
                sys.exit(SettingsError.exit_status)
            except KeyboardInterrupt:
                _exit_interrupted("before the job started; run the same command again.")
            except SystemExit as left:
                # Hydra exits with 1 or 2 whatever is wrong with the settings; so does a sweeper without any result.
                failed = next(filter(None, statuses), SettingsError.exit_status)
                sys.exit(failed if left.code in (1, 2) else left.code)
            sys.exit(next(filter(None, statuses), 0))

        return main

    return decorate


def _run(name: str, stage: Callable[[Any], Any], config: DictConfig) -> tuple[int, Any]:
    """Call the stage; return its exit status and result.

    An error that a user can fix becomes one message, a bug keeps its traceback.
    """
    log_to_stderr()
    hydra_config = HydraConfig.get()
    if hydra_config.mode is RunMode.MULTIRUN:
        print(f"job {hydra_config.job.num + 1}: {' '.join(hydra_config.overrides.task)}", file=sys.stderr)
    try:
        result = stage(to_settings(config, STAGES[name]))
        if sys.stdout is not None:
            sys.stdout.flush()  # Before the next job of a sweep writes to stderr.
        return 0, result
    except Interrupted as interrupted:
        # The message names the folder of one job, which is not enough to resume a sweep.
        sweep = hydra_config.mode is RunMode.MULTIRUN
        _exit_interrupted("run the same command with resume=true to resume." if sweep else str(interrupted))
    except TagsmithError as error:
        return _report(error), None
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "tagsmith":
            _exit_bug()
        install = f"pip install 'tagsmith[{EXTRAS.get(name, 'train')}]'"
        return _report(SettingsError(f"{command(name)} needs the package {error.name}: {install}.")), None
    except SystemExit as left:
        # The main process of this launch has reported the error; a bug or an interruption ends its other jobs too.
        if left.code in (TagsmithError.exit_status, Interrupted.exit_status):
            raise
        return cast(int, left.code), None
    except KeyboardInterrupt:
        _exit_interrupted("no partial output is left.")
    except OSError as error:
        if error.errno not in NO_ROOM | NOT_ALLOWED:
            _exit_bug()
        kind = TryAgainLater if error.errno in NO_ROOM else SettingsError
        return _report(kind(f"{error.filename or error.filename2 or 'a file'}: {error.strerror}.")), None
    except Exception:
        _exit_bug()


def _report(error: TagsmithError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return error.exit_status


def _exit_bug() -> NoReturn:
    traceback.print_exc()
    sys.exit(TagsmithError.exit_status)


def _exit_interrupted(message: str) -> NoReturn:
    ignore_sigterm()
    print(f"interrupted: {message}", file=sys.stderr)
    sys.exit(Interrupted.exit_status)


def to_settings(config: DictConfig, kind: type[Settings]) -> Settings:
    """The validated dataclass of a composed config.

    Raises:
        SettingsError: settings are missing, unknown or wrong; all of them are listed.
    """
    problems = [f"{name}: expected a value, found none; set {name}=" for name in sorted(OmegaConf.missing_keys(config))]
    settings: Any = None
    try:
        settings = OmegaConf.to_object(config) if not problems else None
    except OmegaConfBaseException as error:
        problems.append(" ".join(str(error).split()))
    problems = problems or [*_unknown_keys(config, settings), *typed.problems(settings)]
    if problems:
        raise SettingsError(listing("These settings cannot be used:", problems))
    return settings  # type: ignore[no-any-return]


def _unknown_keys(config: DictConfig, settings: Any, prefix: str = "") -> Iterator[str]:
    """Keys without a field: Hydra's `+name=value` adds them even to a typed config."""
    known = {item.name for item in fields(settings)}
    for key in config:
        value = getattr(settings, str(key), None)
        if key not in known:
            yield f"{prefix}{key!s}: unknown setting; expected one of {', '.join(sorted(known))}"
        elif is_dataclass(value) and isinstance(config[key], DictConfig):
            yield from _unknown_keys(config[key], value, f"{prefix}{key}.")


def explain(stage: str) -> str:
    """The text of `--help`.

    Defaults are those of the dataclasses and of `configs/STAGE.yaml`; `--cfg job` prints the values of a chosen YAML.
    """
    primary = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{stage}.yaml")))
    choices = {name: sorted(path.stem for path in (CONFIGS / name).glob("*.yaml")) for name in SECTIONS}
    return help_text(f"{command(stage)} NAME=VALUE ...", STAGES[stage], primary, _sections(), choices)


def command(stage: str) -> str:
    """How a user starts a script: the checkout has the file, a package from a wheel the command."""
    return (
        f"tagsmith {stage}" if CONFIGS.parent == Path(__file__).resolve().parents[1] else f"python scripts/{stage}.py"
    )


def _sections() -> dict[str, Collection[type]]:
    return {group: kinds.values() for group, kinds in SECTIONS.items()}
