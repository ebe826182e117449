"""Retrain from new data, judge, and promote only what is not worse; for a timer."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import RefreshRun


@script("refresh")
def main(settings: RefreshRun) -> None:
    # Imported here, so that --help, wrong settings and "nothing new" do not wait for torch.
    import sys

    from tagsmith.refresh.actions import act

    status = act(settings)
    sys.exit(0 if settings.zero_unless_failed and status in (3, 4) else status)


if __name__ == "__main__":
    main()
