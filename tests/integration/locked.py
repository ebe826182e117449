"""What each process does in `test_calibrate.py`: calibrate a run that is locked, and write how that ended."""

import json
import os
from pathlib import Path
from typing import Any

from tagsmith.config.settings import CalibrateRun
from tagsmith.core.errors import TryAgainLater
from tagsmith.train.calibration import calibrate_run


def main(run: Path, outcomes: Path) -> None:
    loaded: list[Any] = []
    calibrate_run.load_trained = lambda *args: loaded.append(args)  # type: ignore[assignment, return-value]
    try:
        calibrate_run.calibrate_run(CalibrateRun(run=str(run), cpu=True))
    except TryAgainLater as error:
        status: Any = error.exit_status
    except SystemExit as error:
        status = error.code
    (outcomes / f"{os.environ['RANK']}.json").write_text(json.dumps([status, len(loaded)]))
