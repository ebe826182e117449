"""What every process of a launch does in `test_calibrate`: calibrate a run that is locked, and write how that ended."""

import json
import os
import sys
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
