"""Settings of the tagging page."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from tagsmith.config.settings.data import reading_problems
from tagsmith.config.settings.fields import REQUIRED, setting
from tagsmith.config.settings.stages import CacheSettings, ModelSettings
from tagsmith.core.schema import Task


class TagAction(Enum):
    """Serve the page, write the tags, or say how well people agree and what more tags would bring."""

    page = "page"
    export = "export"
    agreement = "agreement"
    status = "status"
    classes = "classes"


@dataclass
class LlmSettings:
    """Suggestions by a language model behind an OpenAI-compatible address."""

    url: str | None = setting(
        None,
        "address to which the texts of documents are sent, such as http://127.0.0.1:11434/v1; null: none is sent "
        "anywhere; its key, if it needs one, is read from TAGSMITH_LLM_KEY",
    )
    model: str | None = setting(None, "name of the model there")
    calls: int = setting(500, "maximum number of calls of this command", unit="calls", low=1)
    timeout: float = setting(60.0, "time after which a call has failed", unit="seconds", low=0.1)

    def problems(self) -> Iterator[str]:
        if (self.url is None) != (self.model is None):
            yield f"llm.url, llm.model: expected both or none, found url {self.url} and model {self.model}"
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            yield f"llm.url: expected an address that begins with http:// or https://, found {self.url}"


@dataclass
class TagRun:
    """Settings of `scripts/tag.py`."""

    project: str = setting(REQUIRED, "folder with all that is tagged; created where it does not exist")
    action: TagAction = setting(
        TagAction.page,
        "page: serve the tagging page until Ctrl-C; export: write the tags as tags.jsonl and tags.csv; agreement: of "
        "several people, and of each with themselves, also as agreement.json; status: accuracy so far, and what more "
        "tags are likely to bring, also as status.json; classes: change the classes as changes= says, and show them",
    )
    changes: str | None = setting(
        None,
        "with action=classes: YAML of changes as for data.schema_changes, and describe: {NAME: GUIDELINE}; or "
        "take_back: NUMBER of a change; null: only show the classes, their changes and what collides",
        reads=True,
    )
    pool: str | None = setting(
        None,
        "documents to tag: a file of rows in any format, a folder of .txt files or of folders of them, a labels file "
        "of Azure, a data set that save_to_disk wrote, or hub:NAME; those that the project does not have are added, "
        "with the tags that they have; null: those of the project",
        reads=True,
    )
    run: str | None = setting(
        None,
        "run whose classes, queues (scripts/improve.py) and scores are used, in place of pool and classes",
        reads=True,
    )
    classes: dict[str, str] | list[str] | None = setting(
        None,
        "the classes: names, or {NAME: what belongs to it}; later commands may add some; null: those of the project",
    )
    task: Task | None = setting(
        None, "single_label: one class a document; multi_label: any number; null: as the project, or else single_label"
    )
    people: list[str] = setting(["me"], "names of the people who tag; each has an address of their own")
    overlap: int | None = setting(
        None,
        "people who answer each document, without seeing the answers of the others; null: as the project, or else 1",
        low=1,
    )
    overlap_share: float = setting(
        1.0, "share of the documents, drawn at random, that `overlap` holds for; the others go to one", low=0, high=1
    )
    second_share: float = setting(
        0.0,
        "share of the documents shown that the person has tagged before, to be tagged again without the first tag and "
        "suggestions in view",
        low=0,
        high=0.5,
    )
    blind: bool = setting(
        False, "hide the suggestions, which bias people; they still choose the order, and agreement tells both apart"
    )
    text_field: str | list[str] | None = setting(
        None, "field of the text, or a list of fields whose texts are joined by a line end; null: text"
    )
    label_field: str | None = setting(
        None, "field of the class, or list of classes, of documents that are tagged already; null: label or labels"
    )
    delimiter: str | None = setting(
        None, "character between two fields of a table; null: the one that the header line has"
    )
    encoding: str | None = setting(None, "encoding of the pool; null: UTF-8, or what a file looks like")
    host: str = setting("127.0.0.1", "address to listen on; any other than loopback is reachable by other machines")
    port: int = setting(8766, "port to listen on; 0: any free port", low=0, high=65535)
    suggest: bool = setting(
        True, "suggest classes and choose the order, by class names and by the tags so far; false: a random order"
    )
    audit_share: float = setting(
        0.1, "share of the documents drawn at random, an unbiased sample for measuring the suggestions", low=0, high=1
    )
    seed: int = setting(0, "seed of random draws", low=0, high=2**31 - 1)
    batch_tokens: int = setting(
        2048, "maximum number of tokens that are scored in one batch", unit="tokens, padding included", low=16
    )
    cpu: bool = setting(False, "use the CPU even if there is a GPU")
    model: ModelSettings = field(default_factory=ModelSettings)
    llm: LlmSettings = field(default_factory=LlmSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)

    def problems(self) -> Iterator[str]:
        yield from reading_problems(self)
        if self.llm.url is not None and (self.blind or not self.suggest):
            yield "llm.url: expected null with suggest=false or blind=true, where nobody sees its suggestions"
        if self.run is not None and (self.pool is not None or self.classes is not None or self.task is not None):
            yield "run: expected none of pool, classes and task with it, because it has them; found one"
        names = list(self.classes or ())
        if self.classes is not None and (not names or len(set(names)) < len(names)):
            yield f"classes: expected distinct names, found {names or 'none'}"
        if self.overlap is not None and self.overlap > len(self.people):
            yield f"overlap: expected at most the number of people, {len(self.people)}, found {self.overlap}"
        if self.changes is not None and self.action is not TagAction.classes:
            yield f"changes: expected action=classes with it, found action={self.action.value}"
        if not self.people or len(set(self.people)) < len(self.people) or not all(map(str.strip, self.people)):
            yield f"people: expected distinct names, found {self.people or 'none'}"
