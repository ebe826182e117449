"""The state of a store as a Prometheus text file, for node_exporter's textfile collector."""

import math
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tagsmith.core.disk import size_of
from tagsmith.core.errors import DataError
from tagsmith.core.files import atomic_path
from tagsmith.refresh.store import Json, Store, Version

FROZEN = "frozen"

SUCCESS = (0, 3, 4)
"""Statuses of a refresh that has done what it should: promoted, not promoted, nothing new."""


def write_metrics(path: Path, store: Store, record: Mapping[str, Any]) -> None:
    """Write the file, whole or not at all.

    Args:
        record: of the refresh or the action that has just ended, whether or not it is in the history already.

    Raises:
        OSError: the file cannot be written.
    """
    registry = CollectorRegistry()
    registry.register(_State(metrics_of(store, record)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(generate_latest(registry))


def metrics_of(store: Store, record: Mapping[str, Any]) -> list[Metric]:
    """All metrics, each with the label `store`: the absolute path, since all files of a machine are read together."""
    place = str(store.path.resolve())
    history = store.read_history()
    if not history or history[-1] != record:
        history.append(dict(record))
    found: list[Metric] = []

    def gauge(name: str, about: str, rows: Mapping[tuple[str, ...], float | None], *labels: str) -> None:
        metric = GaugeMetricFamily(f"tagsmith_refresh_{name}", about, labels=["store", *labels])
        for values, value in rows.items():
            if value is not None and math.isfinite(value):
                metric.add_metric([place, *values], value)
        found.append(metric)

    # Without the lines of a rollback, a pin, or a process that was killed.
    refreshes = [line for line in history if line.get("action", "refresh") == "refresh"]
    last: Mapping[str, Any] = refreshes[-1] if refreshes else {}
    gauge("last_run_timestamp_seconds", "End of the last refresh", {(): _seconds(last)})
    ended = [line for line in refreshes if line.get("status") in SUCCESS]
    about = "End of the last refresh that promoted, did not promote, or found nothing new"
    gauge("last_success_timestamp_seconds", about, {(): _seconds(ended[-1]) if ended else None})
    promoted = [line for line in history if line.get("outcome") in ("promoted", "promoted_by_hand")]
    about = "End of the last promotion"
    gauge("last_promotion_timestamp_seconds", about, {(): _seconds(promoted[-1]) if promoted else None})
    gauge("last_status", "Exit status of the last refresh", {(): last.get("status")})
    gauge("last_duration_seconds", "Duration of the last refresh", {(): last.get("seconds")})
    counted = CounterMetricFamily(
        "tagsmith_refresh_runs", "Lines of the history by outcome", labels=["store", "outcome"]
    )
    for outcome, count in sorted(Counter(str(line.get("outcome")) for line in history).items()):
        counted.add_metric([place, outcome], count)
    found.append(counted)

    name = store.link.readlink().name if store.link.is_symlink() else ""
    versions = store.versions()
    gauge("production_info", "The version in production; always 1", {(name,): 1.0} if name else {}, "version")
    decision = next((_decision(version) for version in versions if version.name == name), {})
    about = "Figures of the version in production on the test documents of its decision"
    gauge("production_figure", about, _figures(decision), "documents", "figure")
    files = {path: _lines(path) for path in store.test.glob("*.jsonl")}
    frozen = sum(count for path, count in files.items() if path.stem == FROZEN)
    rows: dict[tuple[str, ...], float | None] = {(FROZEN,): frozen, ("dated",): sum(files.values()) - frozen}
    gauge("test_documents", "Test documents: the frozen ones, and those of all dated slices", rows, "slice")
    newest = store.newest()
    wear = (_decision(newest) if newest is not None else {}).get("wear") or {}
    gauge("frozen_decisions", "Versions judged on the frozen test documents", {(): wear.get("decisions")})
    gauge("frozen_decisions_limit", "Versions after which they are worn", {(): wear.get("most")})
    gauge("versions", "Versions in the store", {(): float(len(versions))})
    gauge("store_bytes", "Size of the store", {(): float(size_of(store.path))})
    return found


class _State:
    def __init__(self, found: list[Metric]):
        self._found = found

    def collect(self) -> list[Metric]:
        return self._found


def _decision(version: Version) -> Json:
    """What the gate has decided about a version; nothing where this cannot be read."""
    try:
        return version.read_decision()
    except DataError:
        return {}


def _figures(decision: Json) -> dict[tuple[str, ...], float | None]:
    """The figures of a version when it was judged, by documents and name; without those of dated slices."""
    groups = {name: group for name, group in (decision.get("figures") or {}).items() if not name[:1].isdecimal()}
    return {
        (name, figure): value
        for name, group in groups.items()
        for figure, value in ((group or {}).get("challenger") or {}).items()
        if isinstance(value, int | float)
    }


def _seconds(line: Mapping[str, Any]) -> float | None:
    """The end of a refresh in seconds since 1970."""
    try:
        return datetime.strptime(str(line["ended"]), "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except (KeyError, ValueError):
        return None


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)
