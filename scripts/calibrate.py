"""A trained run to scores that mean what they say, thresholds, and what goes to a person."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import CalibrateRun


@script("calibrate")
def main(settings: CalibrateRun) -> None:
    # Imported here, so that --help and a wrong setting are answered without waiting for torch.
    from pathlib import Path

    from tagsmith.core.run import RunFolder
    from tagsmith.evaluate.report import calibrated_text
    from tagsmith.train.calibration.calibrate_run import calibrate_run

    if about := calibrate_run(settings):
        print(calibrated_text(about))
        print(f"decision: {RunFolder(Path(settings.run)).decision}; scripts/evaluate.py run={settings.run} tests it")


if __name__ == "__main__":
    main()
