"""Settings of the exchange with annotation tools."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tagsmith.config.settings.fields import REQUIRED, setting


class GiveTake(Enum):
    """Export to the tool, or import from it."""

    give = "give"
    take = "take"


class PushPull(Enum):
    """Export to a server, or import from it."""

    push = "push"
    pull = "pull"


class Tool(Enum):
    """Annotation tools."""

    label_studio = "label_studio"
    argilla = "argilla"
    doccano = "doccano"
    csv = "csv"


class OnDisagreement(Enum):
    """How disagreeing annotations of one document are resolved."""

    majority = "majority"
    ask = "ask"


class Unreviewed(Enum):
    """What to do with suggestions that the tool stores as annotations although no person has reviewed them."""

    ask = "ask"
    accept = "accept"


@dataclass
class AnswerSettings:
    """How annotations become tags."""

    run: str = setting(REQUIRED, "folder of the run with the classes and the queues", reads=True)
    queues: list[str] | None = setting(
        None,
        "queue files; null: suspected_tags.jsonl and tag_next.jsonl in the run's improve/, and split_classes.jsonl",
        reads=True,
    )
    on_disagreement: OnDisagreement = setting(
        OnDisagreement.majority,
        "majority: accept the tags of more than half of a document's annotators; ask: only those of all of them; "
        "other documents are written without a tag",
    )
    unreviewed: Unreviewed = setting(
        Unreviewed.ask, "suggestions that no person has reviewed: ask again, or accept them"
    )
    out: str | None = setting(None, "output: a folder (give) or a .jsonl file; null: named after the tool")
    overwrite: bool = setting(False, "replace existing output")

    def problems(self) -> Iterator[str]:
        if self.queues is not None and not self.queues:
            yield "queues: expected null or files, found none"


@dataclass
class AnnotateRun(AnswerSettings):
    """Settings of `scripts/annotate.py`."""

    action: GiveTake = setting(
        REQUIRED, "give: convert queues to files of the tool; take: convert an export of the tool to tags"
    )
    tool: Tool = setting(REQUIRED, "label_studio, argilla, doccano or csv")
    export: str | None = setting(None, "take: the file exported by the tool", reads=True)

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if (self.action is GiveTake.take) != (self.export is not None):
            yield f"export: expected {'a file' if self.action is GiveTake.take else 'null'}, found {self.export}"


@dataclass
class LabelStudioRun(AnswerSettings):
    """Settings of `scripts/label_studio.py`; the token is the environment variable LABEL_STUDIO_TOKEN."""

    action: PushPull = setting(
        REQUIRED, "push: upload queues as tasks of a project; pull: download its annotations as tags"
    )
    url: str = setting("http://127.0.0.1:8080", "address of the server")
    project: str = setting("tagsmith", "title of the project, which the first push creates")

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if not self.url.startswith(("http://", "https://")):
            yield f"url: expected http://... or https://..., found {self.url}"
        if not 3 <= len(self.project) <= 50:
            yield f"project: expected a title of 3 to 50 characters (Label Studio), found {self.project!r}"
