"""Settings of the way to tools in which people tag, and back."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tagsmith.config.settings.fields import REQUIRED, setting


class GiveTake(Enum):
    """Which way."""

    give = "give"
    take = "take"


class PushPull(Enum):
    """Which way, with a server."""

    push = "push"
    pull = "pull"


class Tool(Enum):
    """Where people tag."""

    label_studio = "label_studio"
    argilla = "argilla"
    doccano = "doccano"
    csv = "csv"


class OnDisagreement(Enum):
    """What several people who do not agree come to."""

    majority = "majority"
    ask = "ask"


class Unreviewed(Enum):
    """What becomes of suggestions that are stored as a person's without anyone having looked at them."""

    ask = "ask"
    accept = "accept"


@dataclass
class AnswerSettings:
    """How answers become tags."""

    run: str = setting(REQUIRED, "folder of the run whose classes and queues these are")
    queues: list[str] | None = setting(
        None,
        "queues; null: suspected_tags.jsonl and tag_next.jsonl of the run's folder improve, and split_classes.jsonl",
    )
    on_disagreement: OnDisagreement = setting(
        OnDisagreement.majority,
        "majority: what more than half of those who tagged a document say; ask: only what all of them say; "
        "what is not settled comes out without a tag",
    )
    unreviewed: Unreviewed = setting(
        Unreviewed.ask, "suggestions that nobody has looked at: ask a person again, or accept them"
    )
    out: str | None = setting(None, "what is written: a folder (give) or a .jsonl file; null: named after the tool")
    overwrite: bool = setting(False, "replace it where it exists")

    def problems(self) -> Iterator[str]:
        if self.queues is not None and not self.queues:
            yield "queues: expected null or files, found none"


@dataclass
class AnnotateRun(AnswerSettings):
    """Settings of `scripts/annotate.py`."""

    action: GiveTake = setting(REQUIRED, "give: queues to files of the tool; take: an export of the tool to tags")
    tool: Tool = setting(REQUIRED, "label_studio, argilla, doccano or csv")
    export: str | None = setting(None, "take: the file that the tool has exported")

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if (self.action is GiveTake.take) != (self.export is not None):
            yield f"export: expected {'a file' if self.action is GiveTake.take else 'null'}, found {self.export}"


@dataclass
class LabelStudioRun(AnswerSettings):
    """Settings of `scripts/label_studio.py`; the token is in the environment, as LABEL_STUDIO_TOKEN."""

    action: PushPull = setting(REQUIRED, "push: queues to tasks of a project; pull: its annotations to tags")
    url: str = setting("http://127.0.0.1:8080", "address of the server")
    project: str = setting("tagsmith", "title of the project; made by the first push")

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if not self.url.startswith(("http://", "https://")):
            yield f"url: expected http://... or https://..., found {self.url}"
        if not 3 <= len(self.project) <= 50:
            yield f"project: expected a title of 3 to 50 characters, as Label Studio wants it, found {self.project!r}"
