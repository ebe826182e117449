"""The door: Hydra composes, this module turns the result into typed settings once, and errors into exit statuses.

Nothing behind it knows Hydra or OmegaConf.
"""

import functools
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tagsmith import settings as typed
from tagsmith.errors import SettingsError, TagsmithError, TryAgainLater, listing

Settings = TypeVar("Settings")

STAGES = {
    "train": typed.TrainRun,
    "evaluate": typed.EvaluateRun,
    "export": typed.ExportRun,
    "classify": typed.ClassifyRun,
}
SECTIONS = {
    "data": {
        "csv": typed.CsvSettings,
        "jsonl": typed.JsonlSettings,
        "text_folders": typed.TextFoldersSettings,
        "azure": typed.AzureSettings,
        "hub": typed.HubSettings,
    },
    "model": {"encoder": typed.ModelSettings},
    "train": {"recipe": typed.TrainSettings},
}


def register() -> None:
    """Make the dataclasses known to the YAMLs: `defaults: [settings_of_train]`, `[settings_of_csv]`, ..."""
    store = ConfigStore.instance()
    for name, stage in STAGES.items():
        store.store(name=f"settings_of_{name}", node=stage)
    for group, choices in SECTIONS.items():
        for name, section in choices.items():
            store.store(group=group, name=f"settings_of_{name}", node=section)
    OmegaConf.register_new_resolver("explain", explain, replace=True)


def script(name: str) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Make a stage, a function of its typed settings, the main of a script with `configs/NAME.yaml`.

    Exit status: 0 done; 64 wrong settings; 65 wrong data; 66 input missing; 70 a bug, with its traceback;
    75 try again later.
    """

    def decorate(stage: Callable[[Any], None]) -> Callable[[], None]:
        scripts = Path(inspect.getfile(stage)).resolve().parent
        configs = scripts.parent / "configs"
        # Python puts a script's folder first: scripts/evaluate.py would hide the package `evaluate`.
        sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != scripts]

        @functools.wraps(stage)
        def main() -> None:
            register()
            composed = False

            def task(config: DictConfig) -> None:
                nonlocal composed
                composed = True
                _run(stage, config, STAGES[name])

            try:
                hydra.main(version_base="1.3", config_path=str(configs), config_name=name)(task)()
            except (HydraException, OmegaConfBaseException):
                traceback.print_exc()  # HYDRA_FULL_ERROR=1 asks for it.
                sys.exit(SettingsError.exit_status)
            except SystemExit as left:
                # Hydra has said what is wrong with the settings, and leaves with 1 or 2 for whatever it is.
                sys.exit(left.code if composed or not left.code else SettingsError.exit_status)

        return main

    return decorate


def _run(stage: Callable[[Any], None], config: DictConfig, kind: type) -> None:
    """Call the stage; a person's mistake becomes one message, a bug keeps its traceback."""
    _log_to_stderr()
    try:
        stage(to_settings(config, kind))
    except TagsmithError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(TryAgainLater.exit_status)
    except Exception:
        traceback.print_exc()
        sys.exit(TagsmithError.exit_status)


def _log_to_stderr() -> None:
    log = logging.getLogger("tagsmith")
    log.setLevel(logging.INFO)
    log.propagate = False
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s" if sys.stderr.isatty() else "%(asctime)s %(message)s"))
    log.handlers = [handler]


def to_settings(config: DictConfig, kind: type[Settings]) -> Settings:
    """The validated dataclass of a composed config.

    Raises:
        SettingsError: settings are missing, unknown or wrong; all of them are listed.
    """
    problems = [f"{name}: expected a value, found none; set {name}=" for name in OmegaConf.missing_keys(config)]
    try:
        settings: Any = OmegaConf.to_object(config) if not problems else None
    except OmegaConfBaseException as error:
        problems.append(str(error).splitlines()[0])
    if problems:
        raise SettingsError(listing("These settings cannot be used:", problems))
    if strays := [*_strays(config, settings)]:
        raise SettingsError(listing("These settings are unknown:", strays))
    typed.validate(settings)
    return settings  # type: ignore[no-any-return]


def _strays(config: DictConfig, settings: Any, prefix: str = "") -> Iterator[str]:
    """Keys without a field: Hydra's `+name=value` adds such even to a typed config."""
    known = {item.name for item in fields(settings)}
    for key in config:
        value = getattr(settings, str(key), None)
        if key not in known:
            yield f"{prefix}{key} (there are {', '.join(sorted(known))})"
        elif is_dataclass(value) and isinstance(config[key], DictConfig):
            yield from _strays(config[key], value, f"{prefix}{key}.")


def explain(stage: str) -> str:
    """The text of `--help`: every setting with its type, default, unit and range."""
    lines: list[str] = []
    kinds: list[tuple[str, type]] = [("", STAGES[stage])]
    for item in fields(STAGES[stage]):
        if item.name in SECTIONS and is_dataclass(item.type):
            kinds += [(f"{item.name}.", kind) for kind in SECTIONS[item.name].values()]
        elif is_dataclass(item.type):
            kinds.append((f"{item.name}.", item.type))  # type: ignore[arg-type]
    said: set[str] = set()
    for prefix, kind in kinds:
        title = inspect.getdoc(kind) or ""
        rows = [row for row in fields(kind) if not is_dataclass(row.type) and f"{prefix}{row.name}" not in said]  # type: ignore[arg-type]
        lines += ["", f"{title.splitlines()[0]}"]
        for row in rows:
            said.add(f"{prefix}{row.name}")
            lines += _explain_setting(prefix + row.name, row)
    return "\n".join(lines)


def _explain_setting(name: str, row: Any) -> list[str]:
    meta, default = row.metadata, typed.default_of(row)
    shown = (
        default.value
        if isinstance(default, Enum)
        else {"None": "null", "True": "true", "False": "false"}.get(str(default), default)
    )
    head = f"  {name}  ({_type_name(row.type)}"
    head += "; required)" if default == typed.REQUIRED else f"; default {shown})"
    bounds = [
        f"at least {meta['low']:g}" if meta["low"] is not None else "",
        f"at most {meta['high']:g}" if meta["high"] is not None else "",
    ]
    facts = [meta["help"], f"unit: {meta['unit']}" if meta["unit"] else "", " and ".join(b for b in bounds if b)]
    return [head, "      " + "; ".join(fact for fact in facts if fact)]


def _type_name(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " | ".join(member.value for member in kind)
    if isinstance(kind, type) and not getattr(kind, "__args__", None):
        return {"str": "text", "int": "whole number", "float": "number", "bool": "true | false"}[kind.__name__]
    if getattr(kind, "__origin__", None) is not None:
        return str(kind)
    return " | ".join("null" if part is type(None) else _type_name(part) for part in kind.__args__)


def is_first_process() -> bool:
    """Whether this process speaks for its launch (the launchers number the processes in RANK)."""
    return os.environ.get("RANK", "0") == "0"
