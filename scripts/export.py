"""A run to a bundle that needs neither the run nor torch, with a proof that both give the same scores."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import ExportRun


@script("export")
def main(settings: ExportRun) -> None:
    # Imported here, so that --help and a wrong setting are answered without waiting for torch.
    from tagsmith.export.export_run import export

    print(f"bundle: {export(settings)}")


if __name__ == "__main__":
    main()
