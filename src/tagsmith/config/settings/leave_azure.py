"""Settings of leaving Azure custom text classification."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from tagsmith.config.settings.fields import REQUIRED, setting
from tagsmith.core.local_http import is_loopback

AUTHORING = ("2023-04-01", "2025-05-15-preview")
"""Versions of Azure's authoring interface: the generally available one, and the preview."""


class LeaveAction(Enum):
    """The steps of leaving Azure."""

    take = "take"
    import_ = "import"
    report = "report"


@dataclass
class LeaveAzure:
    """Settings of `scripts/leave_azure.py`; the key is the environment variable AZURE_LANGUAGE_KEY."""

    out: str = setting(REQUIRED, "folder of all that is taken out of the project, and of what is made of it")
    action: LeaveAction = setting(
        REQUIRED,
        "take: everything out of the project, while Azure answers; import: make it the input of a run; report: Azure's "
        "answers beside those of a run",
    )
    endpoint: str | None = setting(None, "take: address of the Language resource, https://NAME.cognitiveservices....")
    project: str | None = setting(None, "take: name of the project")
    deployment: str | None = setting(
        None, "take: deployment whose answers are recorded; null: the only one of the project"
    )
    api_version: str = setting(AUTHORING[0], f"take: version of the authoring interface, {' or '.join(AUTHORING)}")
    texts: str | None = setting(
        None,
        "take, import: folder of the project's texts, downloaded before; null: take downloads them from the container "
        "at AZURE_STORAGE_SAS_URL (an environment variable), import uses those that were taken",
        reads=True,
    )
    also: str | None = setting(
        None,
        "take: a further file, such as texts of last month, whose answers are recorded too: a file of rows in any "
        "format, or a .txt file with one text a line",
        reads=True,
    )
    text_field: str | list[str] = setting("text", "field of the text in the files that `also` and `tagged` name")
    dry_run: bool = setting(
        False, "take: stop before the first text is sent to the deployment, and say how many text records it would cost"
    )
    labels: str | None = setting(
        None, "import: a labels file that was exported by hand; null: the export that was taken", reads=True
    )

    tagged: str | None = setting(
        None,
        "import: texts of the further file that were tagged since, a file of rows; they join the test documents, so "
        "that the report can tell more",
        reads=True,
    )
    run: str | None = setting(None, "report: folder of the run that succeeds the project, evaluated", reads=True)
    answers: str | None = setting(
        None, "report: predictions.jsonl of Amazon Comprehend, in place of answers of Azure", reads=True
    )
    asked: str | None = setting(
        None, "report: the file to which these are the answers, with one document a line", reads=True
    )
    margin: float = setting(
        0.02,
        "report: difference of macro F1 that counts as none; 0.02 is two points",
        unit="share",
        low=0.001,
        high=0.5,
    )

    def problems(self) -> Iterator[str]:
        needed = {LeaveAction.take: ("endpoint", "project"), LeaveAction.report: ("run",)}
        for name in needed.get(self.action, ()):
            if not getattr(self, name):
                yield f"{name}: expected a value for action={self.action.value}, found none; set {name}="
        if (self.answers is None) != (self.asked is None):
            yield f"answers, asked: expected both or none, found answers={self.answers} and asked={self.asked}"
        if self.labels is not None and self.texts is None:
            yield "texts: expected the folder of the texts that labels= names, found none; set texts="
        if self.endpoint is not None:
            address = urlsplit(self.endpoint)
            safe = address.scheme == "https" or (address.scheme == "http" and is_loopback(address.hostname or ""))
            if not safe or not address.hostname or address.query:
                yield f"endpoint: expected https://HOST, found {self.endpoint}"
        if self.api_version not in AUTHORING:
            yield f"api_version: expected {' or '.join(AUTHORING)}, found {self.api_version}"
