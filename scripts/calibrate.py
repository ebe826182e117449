"""Calibrate a run: its scores, thresholds and routing to a person."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import CalibrateRun


@script("calibrate")
def main(settings: CalibrateRun) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    from pathlib import Path

    from tagsmith.core.run import RunFolder
    from tagsmith.evaluate.report import calibrated_text
    from tagsmith.train.calibration.calibrate_run import calibrate_run

    if about := calibrate_run(settings):
        print(calibrated_text(about))
        print(
            f"decision: {RunFolder(Path(settings.run)).decision}; scripts/evaluate.py run={settings.run} evaluates it"
        )


if __name__ == "__main__":
    main()
