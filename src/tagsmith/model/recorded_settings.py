"""The settings that a run was made with, read from its record and typed again."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, cast

from tagsmith.config.settings import ModelSettings, TrainRun, TrainSettings, problems
from tagsmith.core.errors import DataError
from tagsmith.core.run import RunFolder


def recorded_settings(run: RunFolder) -> TrainRun:
    """Seed, model and recipe of a run; settings that did not exist when it was made have their defaults.

    The settings of the data, and those of the place and the machine, have their defaults too.

    Raises:
        InputMissing: the folder is not a run.
        DataError: `settings.json` is damaged.
    """
    stored = run.read_record()["settings"]
    try:
        settings = TrainRun(
            seed=stored.get("seed", TrainRun.seed),
            model=_section(ModelSettings, stored, "model."),
            train=_section(TrainSettings, stored, "train."),
        )
        wrong = problems(settings)
    except (KeyError, ValueError, TypeError) as error:
        wrong = [repr(error)]
    if wrong:
        raise DataError(f"{run.settings}: expected the settings of the run, found {'; '.join(wrong)}; restore it.")
    return settings


def _section(kind: type, stored: Mapping[str, Any], prefix: str) -> Any:
    values: dict[str, Any] = {}
    for item in fields(kind):
        name, expected = f"{prefix}{item.name}", cast(Any, item.type)
        if is_dataclass(expected):
            values[item.name] = _section(cast(type, expected), stored, f"{name}.")
        elif name in stored:
            is_choice = isinstance(expected, type) and issubclass(expected, Enum)
            values[item.name] = expected(stored[name]) if is_choice else stored[name]
    return kind(**values)
