"""Export a run to a bundle that needs neither the run nor torch, and verify that both score alike."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import ExportRun


@script("export")
def main(settings: ExportRun) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    from tagsmith.export.export_run import export

    print(f"bundle: {export(settings)}")


if __name__ == "__main__":
    main()
