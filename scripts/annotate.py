"""Write queues as files that an annotation tool imports (give), and turn its export into tags (take)."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import AnnotateRun, GiveTake


@script("annotate")
def main(settings: AnnotateRun) -> None:
    from tagsmith.core.errors import counted
    from tagsmith.data.exports.answers import describe
    from tagsmith.improve.annotation.annotate_run import give, next_commands, take

    if settings.action is GiveTake.give:
        folder, documents = give(settings)
        print(f"{counted(documents, 'document')} for {settings.tool.value}: {folder}")
        print("When they are tagged:", *next_commands(settings, folder), sep="\n  ")
    else:
        path, counts = take(settings)
        print(f"{describe(counts) or 'no answers yet'}\ntags: {path}")


if __name__ == "__main__":
    main()
