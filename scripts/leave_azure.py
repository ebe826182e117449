"""Leave Azure custom text classification: take everything out, show that a run answers as well."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import LeaveAction, LeaveAzure


@script("leave_azure")
def main(settings: LeaveAzure) -> None:
    if settings.action is LeaveAction.take:
        from tagsmith.azure.take import take

        taken = take(settings)
        print("\n".join(taken.sentences))
    elif settings.action is LeaveAction.import_:
        from tagsmith.azure.import_project import import_project, summary

        print(summary(import_project(settings)))
    else:
        from rich.console import Console

        from tagsmith.azure.report import report

        found = report(settings)
        # Six columns do not fit the 80 columns that rich assumes for files and pipes.
        Console(width=max(Console().width, 110)).print(found.table)
        print("\n".join(found.sentences))
        print(f"page: {found.page}\nfigures: {found.json}")


if __name__ == "__main__":
    main()
