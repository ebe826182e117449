"""The settings that a run was made with, typed again, for those who train its recipe once more."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, cast

from tagsmith.config.settings import ModelSettings, TrainRun, TrainSettings, problems
from tagsmith.core.errors import DataError
from tagsmith.core.run import RunFolder


def recorded_settings(run: RunFolder) -> TrainRun:
    """Seed, model and recipe of a run; what is about the place and the machine, and the data, is as by default.

    Raises:
        InputMissing: the folder holds no run.
        DataError: `settings.json` is damaged.
    """
    stored = run.read_record()["settings"]
    try:
        settings = TrainRun(
            seed=stored["seed"],
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
        name, wanted = f"{prefix}{item.name}", cast(Any, item.type)
        if is_dataclass(wanted):
            values[item.name] = _section(cast(type, wanted), stored, f"{name}.")
        elif name in stored:
            is_choice = isinstance(wanted, type) and issubclass(wanted, Enum)
            values[item.name] = wanted(stored[name]) if is_choice else stored[name]
    return kind(**values)
