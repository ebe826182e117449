"""Tag in a page (page), write the tags for training (export), measure (agreement, status), change the classes."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import TagAction, TagRun


@script("tag")
def main(settings: TagRun) -> None:
    # Imported here, so that --help and wrong settings do not wait for torch.
    from tagsmith.tag.tag_run import change_classes, export, open_page, report_agreement, report_status

    if settings.action is TagAction.export:
        print(*export(settings), sep="\n")
    elif settings.action is TagAction.agreement:
        report_agreement(settings)
    elif settings.action is TagAction.classes:
        print(*change_classes(settings), sep="\n")
    elif settings.action is TagAction.status:
        report_status(settings)
    else:
        open_page(settings)


if __name__ == "__main__":
    main()
