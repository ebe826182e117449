"""Settings of the unattended renewal of a classifier."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

from tagsmith.config.settings.export import ExportSettings
from tagsmith.config.settings.fields import REQUIRED, names, setting
from tagsmith.config.settings.recipe import BestMetric
from tagsmith.config.settings.stages import TrainRun


class RefreshAction(Enum):
    """What to do with a store."""

    refresh = "refresh"
    dry_run = "dry_run"
    status = "status"
    history = "history"
    rollback = "rollback"
    promote = "promote"
    pin = "pin"
    unpin = "unpin"
    renew_test = "renew_test"


class Quarantine(Enum):
    """What to do with the files of data that was refused."""

    copy = "copy"
    move = "move"


class Renewal(Enum):
    """What `scripts/bench_refresh.py` measures."""

    year = "year"
    kills = "kills"
    gate = "gate"


class When(Enum):
    """When a refresh trains."""

    new = "new"
    attention = "attention"


GATES = ("not_worse", "better", "floor")


@dataclass
class AcceptSettings:
    """Bounds of the data gate: new data against the data of the last refresh."""

    max_fewer: float = setting(0.2, "share of the documents that may be gone", low=0, high=1)
    max_more: float = setting(4.0, "most documents, as a multiple of those before", low=1)
    max_retagged: float = setting(0.3, "share of the documents of before whose tags have changed", low=0, high=1)
    max_class_shift: float = setting(
        0.3, "largest change of a class's share of the documents, in both directions", low=0, high=1
    )
    max_new_class_shift: float = setting(
        0.6,
        "largest change of a class's share between the new documents and those before, where 50 documents are new",
        low=0,
        high=1,
    )
    vanished_classes: bool = setting(False, "accept that classes have no documents any more")
    max_new_classes: int = setting(3, "most classes that may appear at once", unit="classes", low=0)
    max_contradictory: float = setting(0.1, "share of documents whose text is tagged in several ways", low=0, high=1)
    max_copies: float = setting(0.5, "share of the new documents that are exact copies of others", low=0, high=1)
    max_length_ratio: float = setting(
        4.0, "median length of the new documents over that of those before, or the inverse", low=1
    )
    max_language_shift: float = setting(
        0.3, "share of the new documents in other languages or writing systems than those before", low=0, high=1
    )
    quarantine: Quarantine = setting(
        Quarantine.copy,
        "files of data that was refused; copy: keep a copy with a report in the store; move: take new files that are "
        "the cause out of the folder or pattern that data.train names, so that the next refresh works without them",
    )


@dataclass
class BoundsSettings:
    """Bounds of the gate for what is not the figure that it judges by."""

    floor: float = setting(0.5, "least figure, for gate=floor, the first version, and new classes", low=0, high=1)
    min_class_documents: int = setting(
        20, "test documents from which a class is judged by itself", unit="documents", low=1
    )
    max_calibration_error: float = setting(0.05, "most by which the expected calibration error may rise", low=0, high=1)
    max_to_person: float = setting(0.1, "most by which the share of documents for a person may rise", low=0, high=1)
    max_latency_ratio: float = setting(1.5, "slowest, as a multiple of the version in production", low=1)
    max_size_ratio: float = setting(2.0, "largest bundle, as a multiple of that in production", low=1)


@dataclass
class NotifySettings:
    """Who gets the outcome of a refresh; a notification that fails never changes it."""

    command: str | None = setting(None, "shell command that gets the outcome as JSON on standard input")
    webhook: str | None = setting(
        None, "address that gets the outcome as JSON by POST; signed where TAGSMITH_WEBHOOK_SECRET is set"
    )
    seconds: float = setting(30.0, "time that a command, or an attempt to reach the address, may take", low=0.1)
    on: str | list[str] = setting(
        ["promoted", "not_promoted", "refused", "failed", "rolled_back", "attention"],
        "outcomes that are sent; nothing_new and later may be added",
    )


@dataclass
class RunningService:
    """The service that serves the store."""

    url: str | None = setting(None, "address of the service; a promotion waits until it serves the new version")
    deployment: str = setting("production", "name of the deployment")
    seconds: float = setting(60.0, "time after which a promotion that is not served is rolled back", low=1)


@dataclass
class RefreshRun(TrainRun):
    """Settings of `scripts/refresh.py`: those of training, and these."""

    store: str = setting(REQUIRED, "folder of the versions")
    action: RefreshAction = setting(RefreshAction.refresh, "what to do; dry_run stops before training")
    version: str | None = setting(None, "version to promote or to pin, such as 0007")
    min_new: int = setting(1, "new, changed and withdrawn documents that a refresh needs", unit="documents", low=1)
    when: When = setting(
        When.new,
        "when to train; new: with min_new such documents; attention: with a single one, too, where the service at "
        "serve.url asks for attention: drift, documents out of scope or for a person beyond its bounds",
    )
    wait_minutes: float = setting(
        0.0, "time to wait for another refresh of the store, or for memory of a GPU", unit="minutes", low=0
    )
    gate: str | list[str] = setting(
        "not_worse",
        "what a version must be to be promoted: not_worse than the one in production, better, above the floor, or "
        "several of these",
    )
    by: BestMetric = setting(BestMetric.macro_f1, "figure that the gate judges by")
    margin: float | None = setting(
        None, "difference that counts as none for not_worse; null: derived from the number of test documents", low=0
    )
    keep: int = setting(5, "newest versions that are kept, beside those in production and pinned", low=1)
    slice_share: float = setting(
        0.2, "share of the new documents that becomes test documents, in a slice of its own", low=0, high=0.9
    )
    metrics_file: str | None = setting(None, "Prometheus text file to write, for the textfile collector")
    zero_unless_failed: bool = setting(
        False,
        "exit status 0 also where a version was not promoted (3) or nothing was new (4), for timers that know no other "
        "success",
    )
    accept: AcceptSettings = field(default_factory=AcceptSettings)
    bounds: BoundsSettings = field(default_factory=BoundsSettings)
    export: ExportSettings = field(default_factory=ExportSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
    serve: RunningService = field(default_factory=RunningService)

    SECRET: ClassVar[str] = "TAGSMITH_WEBHOOK_SECRET"

    @staticmethod
    def needs_all(found: Mapping[str, Any]) -> bool:
        """Whether required settings of training have to be given: only where documents are read."""
        reading = (RefreshAction.refresh, RefreshAction.dry_run)
        return found.get("action", "refresh") in {action.value for action in reading}

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        own = {item.name: item.default for item in fields(TrainRun)}
        for name in ("run", "resume", "overwrite", "objective"):
            if getattr(self, name) != own[name]:
                yield f"{name}: expected no value, found {getattr(self, name)}; the store names the runs"
        if unknown := [name for name in names(self.gate) if name not in GATES]:
            yield f"gate: expected some of {', '.join(GATES)}, found {', '.join(unknown)}"
        if not names(self.gate):
            yield f"gate: expected some of {', '.join(GATES)}, found none"
        if self.action in (RefreshAction.promote, RefreshAction.pin, RefreshAction.unpin) and self.version is None:
            yield f"version: expected the version to {self.action.value}, such as version=0007, found none"
        if self.when is When.attention and self.serve.url is None:
            yield "serve.url: expected the address of the service for when=attention, found none"
        if getattr(self.data, "split_from", None) is not None:
            yield "data.split_from: expected no value; the store holds the test documents"

    @property
    def keeps_history(self) -> bool:
        """Whether a missing file belongs into the history of the store."""
        return self.action is RefreshAction.refresh and Path(self.store, "versions").is_dir()

    @property
    def webhook_secret(self) -> str | None:
        """The secret that signs notifications, from the environment."""
        return os.environ.get(self.SECRET) or None


@dataclass
class BenchRefreshRun(RefreshRun):
    """Settings of `scripts/bench_refresh.py`: those of a refresh, and these; `store` is the folder of all its files."""

    measure: Renewal = setting(
        Renewal.year, "year: a simulated year; kills: a refresh that is killed; gate: how often the gate errs"
    )
    nights: int = setting(365, "nights of the year", unit="nights", low=30)
    times: int = setting(1, "how often each trouble happens in the year", low=1)
    first: int = setting(1000, "documents of the first night", unit="documents", low=20)
    hidden: int = setting(1000, "documents that nobody else sees, to measure production on", unit="documents", low=20)
    kills: int = setting(50, "kills", low=1)
    pairs: int = setting(4, "versions in production that the gate is tried on, each with five challengers", low=1)
    draws: int = setting(20, "test sets of each size for a pair of versions", low=1)
