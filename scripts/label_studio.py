"""Queues to a running Label Studio (push), and what people have tagged there back (pull)."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import LabelStudioRun, PushPull


@script("label_studio")
def main(settings: LabelStudioRun) -> None:
    from tagsmith.core.errors import counted
    from tagsmith.improve.annotation.annotate_run import told
    from tagsmith.improve.annotation.label_studio_server import pull, push

    if settings.action is PushPull.push:
        place, fresh, known = push(settings)
        print(f"{counted(fresh, 'task')} made, {counted(known, 'document')} there already: {place}")
    else:
        path, counts = pull(settings)
        print(f"{told(counts) or 'no answer yet'}\ntags: {path}")


if __name__ == "__main__":
    main()
