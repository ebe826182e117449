"""Leave Azure custom text classification: take everything out, make it the input of a run."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import LeaveAction, LeaveAzure


@script("leave_azure")
def main(settings: LeaveAzure) -> None:
    if settings.action is LeaveAction.take:
        from tagsmith.azure.take import take

        taken = take(settings)
        print("\n".join(taken.sentences))
    else:
        from tagsmith.azure.import_project import import_project, summary

        print(summary(import_project(settings)))


if __name__ == "__main__":
    main()
