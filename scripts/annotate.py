"""Queues to files of a tool in which people tag (give), and its export to tags (take)."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import AnnotateRun, GiveTake


@script("annotate")
def main(settings: AnnotateRun) -> None:
    from tagsmith.core.errors import counted
    from tagsmith.improve.annotation.annotate_run import give, take, told

    if settings.action is GiveTake.give:
        folder, documents = give(settings)
        print(f"{counted(documents, 'document')} for {settings.tool.value}: {folder}")
    else:
        path, counts = take(settings)
        print(f"{told(counts) or 'no answer yet'}\ntags: {path}")


if __name__ == "__main__":
    main()
