"""What to do next: which tags of training documents look wrong, and which documents of a pool to tag."""

from pathlib import Path

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import ImproveRun


@script("improve")
def main(settings: ImproveRun) -> None:
    # Imported here, so that --help and settings errors do not wait for torch.
    from rich.console import Console

    from tagsmith.core.run import RunFolder
    from tagsmith.improve.improve_run import improve_run
    from tagsmith.improve.queue_tables import tables

    run = RunFolder(Path(settings.run))
    found = improve_run(settings, run)
    # Six columns do not fit the 80 characters that rich assumes for a file or a pipe.
    console = Console(width=max(Console().width, 130))
    for table in tables(found.summary, found.queues):
        console.print(table)
    for name in (*found.queues, "summary.json"):
        print(f"{run.improve / name}")


if __name__ == "__main__":
    main()
