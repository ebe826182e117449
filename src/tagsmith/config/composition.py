"""Hydra's part: YAMLs and words become one mapping. What Hydra refuses is said in the words of the other problems."""

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import hydra
import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tagsmith.config.conversion import KIND, Conversion, one_of
from tagsmith.config.settings.fields import own_problems, range_problems
from tagsmith.config.stages import SECTIONS, STAGES
from tagsmith.config.words import HYDRA_SETTINGS
from tagsmith.config.yaml_text import read_yaml
from tagsmith.core.errors import SettingsError, listing

Settings = TypeVar("Settings")

HEADLINE = "These settings cannot be used:"

FULL_ERROR = "HYDRA_FULL_ERROR"
"""The environment variable with which Hydra raises its errors instead of printing them."""

_read: dict[Path, dict[str, Any]] = {}
"""The YAMLs that were read, with what they set, by full name."""


class AsWritten(FileConfigSource):
    """Reads YAMLs whose numbers and truth values stay text until the type of the setting is known."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Read one YAML as Hydra does, except for the values of settings."""
        result = super().load_config(config_path)
        path = Path(self.path, self._normalize_file_name(config_path))
        content = read_yaml(path.read_text(encoding="utf-8"))
        if config_path in STAGES:  # The first YAML of a composition.
            _read.clear()
        if isinstance(content, dict):
            for name, value in content.items():
                if name not in ("defaults", "hydra"):
                    cast(DictConfig, result.config)[name] = value
            package = result.header.get("package") or str(Path(config_path).parent).strip(".")
            package = "" if package == "_global_" else package
            _read[path] = dict(_values(content, f"{package}.".lstrip(".")))
        return result


def _values(content: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        yield f"{prefix}{name}", value
        if isinstance(value, dict):
            yield from _values(value, f"{prefix}{name}.")


def register(stage: str | None = None) -> None:
    """Make the dataclasses known to the YAMLs: `/settings/run/train`, `/settings/data/auto`, `/settings/model`, ...

    Hydra gets their defaults as plain mappings, so that `to_settings` alone judges names and types.

    Args:
        stage: the only stage to make known; None: all of them.
    """
    Plugins.instance()  # It would put its own reader of files into the registry later.
    SourcesRegistry.instance().types["file"] = AsWritten
    store = ConfigStore.instance()
    stages = {name: kind for name, kind in STAGES.items() if stage in (None, name)}
    used = {item.name for kind in stages.values() for item in fields(kind)}
    sections = {name: kinds for name, kinds in SECTIONS.items() if name in used}
    for group, choices in {"run": stages, **sections}.items():
        for name, kind in choices.items():
            place, _, last = f"settings/{group}/{name}".rstrip("/").rpartition("/")
            content = {**({} if group == "run" else {KIND: name}), **_plain(kind())}
            # Open sections: Hydra takes names that it does not know.
            parts = {
                key: OmegaConf.create(value, flags={"struct": False}) if isinstance(value, dict) else value
                for key, value in content.items()
            }
            store.store(group=place, name=last, node=OmegaConf.create(parts, flags={"struct": False}))


def _plain(settings: Any) -> Any:
    """A value, or the values of a dataclass, as a YAML can hold it."""
    if is_dataclass(settings):
        return {item.name: _plain(getattr(settings, item.name)) for item in fields(settings)}
    return settings.value if isinstance(settings, Enum) else settings


def compose_and_run(stage: str, configs: Path, task: Callable[[DictConfig], Any]) -> None:
    """Let Hydra compose `configs/STAGE.yaml` with the words of the command line, and call `task` with each result.

    Raises:
        SettingsError: Hydra refuses a word or a YAML.
        SystemExit: Hydra has no more to do, or the task has exited.
    """
    parser = get_args_parser()
    parser.error = _refuse_option  # type: ignore[method-assign]
    args = parser.parse_args()
    if sum([args.run, args.multirun, args.shell_completion, args.cfg is not None, args.info is not None]) > 1:
        _refuse_option("expected at most one of --run, --multirun, --cfg, --info and --shell-completion, found several")
    if args.resolve and args.cfg is None:
        _refuse_option("--resolve: expected --cfg as well, found none")
    register(stage)
    try:
        if not any(re.match(r"-|[+~]*hydra[./]", word) for word in sys.argv[1:]):
            # Half a second less than `hydra.main`, which composes twice.
            with hydra.initialize_config_dir(str(configs), job_name=stage, version_base="1.3"):
                config = hydra.compose(stage, sys.argv[1:], return_hydra_config=True)
            if config.hydra.mode is not RunMode.MULTIRUN and not config.hydra.callbacks:
                HydraConfig.instance().set_config(config)
                task(OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"]))
                return
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise _refused(error) from error
    full = os.environ.get(FULL_ERROR)

    def alone(config: DictConfig) -> Any:
        with _variable(FULL_ERROR, full):
            return task(config)

    try:
        with _variable(FULL_ERROR, "1"):  # Otherwise Hydra prints its own words and exits.
            hydra.main(version_base="1.3", config_path=str(configs), config_name=stage)(alone)()
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise _refused(error) from error


def _refused(error: Exception) -> SettingsError:
    if os.environ.get(FULL_ERROR) == "1":
        traceback.print_exc()
    return SettingsError(listing(HEADLINE, [refusal(error)]))


def _refuse_option(message: str) -> NoReturn:
    raise SettingsError(listing(HEADLINE, [f"{message}; settings are given as NAME=VALUE, without dashes"]))


@contextmanager
def _variable(name: str, value: str | None) -> Iterator[None]:
    """Set an environment variable, or remove it (None), while the block runs."""
    before = os.environ.get(name)
    _set_variable(name, value)
    try:
        yield
    finally:
        _set_variable(name, before)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def job_of_sweep() -> str:
    """Number and words of the job of a sweep; "" for a single job."""
    config = HydraConfig.get()
    return f"job {config.job.num + 1}: {' '.join(config.overrides.task)}" if config.mode is RunMode.MULTIRUN else ""


def refusal(error: BaseException) -> str:
    """What Hydra, OmegaConf or the YAML parser has refused: what was expected, what was found, what to do."""
    if isinstance(error, OverrideParseException):
        name, equals, value = error.override.partition("=")
        if not equals:
            return f"{error.override}: expected NAME=VALUE, found no `=`"
        return (
            f"{name}: expected a value, or [VALUE,VALUE] for a list, found {value}; a value with brackets, braces, "
            f"commas, quotes or an equals sign needs quotes of its own: '{name}=\"{value}\"'"
        )
    if (ambiguous := re.match(r"Ambiguous value for argument '([^=]+)=(.*)'", str(error))) is not None:
        name, value = ambiguous.groups()
        return f"{name}: expected one value, found {value}; a list needs brackets: '{name}=[{value}]'"
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        near = get_close_matches(choice, error.options, 1)
        meant = f"did you mean {group}={near[0]}?" if near else one_of(error.options)
        return f"{group}: found no {group}/{choice}.yaml; {meant}"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        place = f"{os.path.relpath(error.problem_mark.name)}, line {error.problem_mark.line + 1}"
        return f"{place}: expected YAML, found a mistake: {error.problem}"
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    for cause in reversed(causes):
        if isinstance(cause, OmegaConfBaseException) and cause.full_key:
            return f"{cause.full_key}: {_first_line(cause)}"
    return " ".join(_first_line(cause) for cause in causes)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def to_settings(config: DictConfig, kind: type[Settings], example: str = "") -> Settings:
    """The validated dataclass of a composed config.

    Args:
        example: a complete command, shown where a setting is missing.

    Raises:
        SettingsError: settings are missing, unknown or wrong; all of them are listed.
    """
    try:
        found = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    except OmegaConfBaseException as error:
        raise SettingsError(listing(HEADLINE, [refusal(error)])) from error
    chosen = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    conversion = Conversion(chosen, _place)
    settings = conversion.settings(kind, found)
    problems = [*conversion.problems, *range_problems(settings), *_unused()]
    # Combinations are judged only where every part of them is usable.
    if problems := problems or [*own_problems(settings)]:
        lacking = conversion.incomplete or any(problem.endswith("found none") for problem in problems)
        complete = f"\nA complete command: {example}" if example and lacking else ""
        raise SettingsError(listing(HEADLINE, problems) + complete)
    return settings  # type: ignore[no-any-return]


def _unused() -> Iterator[str]:
    """Settings of Hydra in the YAMLs of users that have no effect."""
    for path, given in _read.items():
        for name, value in given.items():
            used = not name.startswith("hydra.") or isinstance(value, dict) or HYDRA_SETTINGS.fullmatch(name)
            if not used and path.name != "door.yaml":
                yield f"{name}: not used by the scripts (in {os.path.relpath(path)})"


def _place(name: str, value: Any) -> str:
    """The YAML that gives a setting this value; "" where it comes from elsewhere."""
    return next((os.path.relpath(path) for path, given in _read.items() if given.get(name, _read) == value), "")
