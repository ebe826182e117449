from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import ModelSettings, TableSettings, TrainRun, TrainSettings


@pytest.fixture
def settings(encoder: Path, tmp_path: Path) -> Callable[..., TrainRun]:
    """Makes settings of a training that takes a second or two, in the temporary folder of the test."""
    return settings_in(tmp_path, encoder)


def settings_in(folder: Path, encoder: Path) -> Callable[..., TrainRun]:
    """Makes such settings for runs in `folder`; each keyword goes to the section that has a setting of that name."""

    def make(train_file: Path, run: str = "run", **changes: Any) -> TrainRun:
        data = {"validation_share": 0.2}
        recipe: dict[str, Any] = {"batch_tokens": 256, "epochs": 2, "learning_rate": 1e-3, "log_every": 1}
        model: dict[str, Any] = {"path": str(encoder)}
        top: dict[str, Any] = {}
        for name, value in changes.items():
            for known, section in (
                (TableSettings, data),
                (TrainSettings, recipe),
                (ModelSettings, model),
                (TrainRun, top),
            ):
                if name in known.__dataclass_fields__:
                    section[name] = value
                    break
        return TrainRun(
            run=str(folder / run),
            data=TableSettings(train=str(train_file), **data),
            model=ModelSettings(**model),
            train=TrainSettings(cpu=True, tensorboard=False, **recipe),
            **top,
        )

    return make
