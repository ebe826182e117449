import json
from pathlib import Path
from typing import Any

import pytest

from tagsmith.config.settings import TrainRun, as_dict, defaults
from tagsmith.core.errors import SettingsError
from tagsmith.core.run import RunFolder, require_same

SETTINGS = as_dict(TrainRun())


def run_with(folder: Path, **recorded: Any) -> RunFolder:
    versions = dict.fromkeys(("tagsmith", "torch", "transformers"), "0.1.0")
    settings = {"model.path": None, "model.name": "mini", "model.package": None, **recorded}
    content = {"settings": settings, "versions": versions, "started": "2026-11-22T14:03:59"}
    (folder / "settings.json").write_text(json.dumps(content))
    return RunFolder(folder)


def test_former_settings_with_their_present_value_do_not_prevent_resuming(tmp_path: Path) -> None:
    former = defaults(TrainRun()).keys() - SETTINGS.keys()
    assert {"train.weight_decay", "train.lora.alpha", "evaluate.threshold"} <= former
    run = run_with(tmp_path, **{**defaults(TrainRun()), "model.name": "mini"})
    require_same(run, SETTINGS | {"model.name": "mini"}, defaults(TrainRun()))


def test_settings_that_differ_prevent_resuming(tmp_path: Path) -> None:
    changed = {"train.weight_decay": 0.1, "train.epochs": 4, "data.delimiter": ";"}
    with pytest.raises(SettingsError, match="resumes only with its own settings") as error:
        require_same(run_with(tmp_path, **changed), SETTINGS | {"model.name": "mini"}, defaults(TrainRun()))
    assert str(error.value).splitlines()[1:] == [
        "  - data.delimiter: ; in the run, None now",
        "  - train.epochs: 4 in the run, None now",
        "  - train.weight_decay: 0.1 in the run, 0.01 now",
    ]
