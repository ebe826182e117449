"""Push queues to a running Label Studio, and pull the tags that annotators gave there."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import LabelStudioRun, PushPull


@script("label_studio")
def main(settings: LabelStudioRun) -> None:
    from tagsmith.core.errors import counted
    from tagsmith.data.exports.answers import describe
    from tagsmith.improve.annotation.label_studio_server import pull, push

    if settings.action is PushPull.push:
        url, created, known = push(settings)
        print(f"{counted(created, 'task')} created, {counted(known, 'document')} already in the project: {url}")
    else:
        path, counts = pull(settings)
        print(f"{describe(counts) or 'no answers yet'}\ntags: {path}")


if __name__ == "__main__":
    main()
