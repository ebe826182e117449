"""`scripts/bench_refresh.py`: a year of nights, in which all goes wrong that has gone wrong elsewhere."""

import logging
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from tagsmith.bench.renewal import nights
from tagsmith.bench.renewal.arrivals import Arrival, Arrivals, as_copies, read_arrivals, with_turned_tags, write_file
from tagsmith.bench.renewal.client import Client, asked_throughout
from tagsmith.bench.renewal.nights import Trouble
from tagsmith.classify.classifier import Classifier
from tagsmith.config.settings import BenchRefreshRun, RefreshRun, TableSettings
from tagsmith.core.files import read_json_lines
from tagsmith.core.schema import indicators_of_names
from tagsmith.decision.bootstrap import OVERALL, contributions, figures
from tagsmith.refresh.store import Store

log = logging.getLogger("tagsmith")

DEAD = "http://127.0.0.1:9/nobody-listens"
"""The address of a webhook that is gone."""


@dataclass
class Night:
    """What happened in a night.

    Attributes:
        statuses: of each refresh that was started; -9: it was killed.
        production: the version in production afterwards.
        truth: its figure on the hidden documents; None: nothing is in production.
        lines: the history that the night has added.
    """

    number: int
    trouble: Trouble | None
    statuses: list[int]
    production: str | None
    truth: float | None
    lines: list[dict[str, object]]


@dataclass
class Year:
    """A simulated year.

    Attributes:
        asked, missed: requests to the service of the store, and those without an answer.
    """

    nights: list[Night] = field(default_factory=list)
    asked: int = 0
    missed: list[str] = field(default_factory=list)

    def falls(self) -> list[tuple[Night, float]]:
        """The nights after which production was worse on the hidden documents, and by how much."""
        found, before = [], None
        for night in self.nights:
            if before is not None and night.truth is not None and night.truth < before:
                found.append((night, before - night.truth))
            before = night.truth if night.truth is not None else before
        return found

    def unexplained(self) -> list[Night]:
        """Nights about which the history says nothing, although a refresh has held the lock."""
        return [night for night in self.nights if not night.lines and set(night.statuses) != {75}]


def simulate_year(settings: BenchRefreshRun) -> Year:
    """Let a store live for `nights` nights, with a service that is asked throughout.

    The first night has `first` documents; the others arrive in equal shares, and with each trouble so many that a
    version is trained.
    """
    folder = Path(settings.store)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    arrivals = read_arrivals(settings.data, settings.task, settings.hidden, settings.seed)
    store = Store(folder / "store")
    store.path.mkdir()
    incoming = folder / "incoming.jsonl"
    renewal = renewal_settings(settings, store, incoming)
    year = Year()
    truth: dict[str, float] = {}
    with asked_throughout(store.path) as client:
        for number, trouble, documents in _calendar(settings, arrivals, store):
            lines = len(store.read_history())
            statuses = _night(
                renewal, trouble, documents, incoming, arrivals, random.Random(f"{settings.seed} {number}")
            )
            production = store.link.readlink().name if store.link.is_symlink() else None
            if production is not None and production not in truth:
                truth[production] = _truth(store, arrivals, settings.by.value)
            night = Night(
                number, trouble, statuses, production, truth.get(production or ""), store.read_history()[lines:]
            )
            year.nights.append(night)
            if trouble is not None or set(statuses) != {4}:
                _report(night, client)
    year.asked, year.missed = client.asked, client.missed
    return year


def renewal_settings(settings: BenchRefreshRun, store: Store, incoming: Path) -> RefreshRun:
    """The settings of every night."""
    given = {item.name: getattr(settings, item.name) for item in fields(RefreshRun)}
    table = TableSettings(train=str(incoming), classes=None)
    for name in ("validation_share", "test_share", "max_tokens"):
        setattr(table, name, getattr(settings.data, name))
    return RefreshRun(**given | {"store": str(store.path), "data": table})


def _calendar(
    settings: BenchRefreshRun, arrivals: Arrivals, store: Store
) -> Iterator[tuple[int, Trouble | None, list[Arrival]]]:
    """For each night its number, what happens, and the documents of the file."""
    late = arrivals.schema.classes[-1]
    waiting = [one for one in arrivals.documents if late not in one.labels]
    held_back = [one for one in arrivals.documents if late in one.labels]
    arrived, waiting = waiting[: settings.first], waiting[settings.first :]
    troubles = _troubles(settings)
    burst = min(settings.min_new, len(waiting) // (len(troubles) + 1))
    left = len(waiting) - burst * len(troubles)
    done, late_a_night = 0, 0
    for number in range(settings.nights):
        trouble = troubles.get(number)
        due = left * number // max(1, settings.nights - 1)
        count = due - done + (burst if trouble is not None else 0)
        new, waiting, done = waiting[:count], waiting[count:], due
        if trouble is Trouble.new_class:
            late_a_night = 1 + len(held_back) // (settings.nights - number)
        arrived, held_back = [*arrived, *held_back[:late_a_night]], held_back[late_a_night:]
        tonight = [*arrived, *new]
        if trouble is Trouble.turned_tags:
            tonight = [*arrived, *with_turned_tags(new, arrivals.schema)]
        elif trouble is Trouble.vanished_class:
            tonight = [one for one in tonight if arrivals.schema.classes[0] not in one.labels]
        elif trouble is Trouble.copies_of_test:
            frozen = {line["id"] for line in read_json_lines(store.test / "frozen.jsonl", "run the benchmark again")}
            copies = as_copies([one for one in arrived if one.id in frozen])
            arrived = [*arrived, *copies]
            tonight = [*arrived, *new]
        arrived = [*arrived, *new]
        yield number, trouble, tonight


def _troubles(settings: BenchRefreshRun) -> dict[int, Trouble]:
    """Every trouble `times` times, in a random order, spread over the nights after the first."""
    draw = random.Random(settings.seed)
    every = settings.times * list(Trouble)
    every = [trouble for trouble in every if trouble is not Trouble.new_class]
    draw.shuffle(every)
    every.insert(len(every) // 2, Trouble.new_class)
    places = np.linspace(1, settings.nights - 1, len(every)).astype(int)
    return dict(zip(places.tolist(), every, strict=True))


def _night(
    settings: RefreshRun,
    trouble: Trouble | None,
    documents: Sequence[Arrival],
    incoming: Path,
    arrivals: Arrivals,
    draw: random.Random,
) -> list[int]:
    """Write the file and refresh; returns the exit statuses."""
    write_file(incoming, documents, arrivals.schema.multi_label)
    if trouble is Trouble.empty_file:
        incoming.write_text("", encoding="utf-8")
    elif trouble is Trouble.half_written:
        content = incoming.read_bytes()
        incoming.write_bytes(content[: int(0.6 * len(content))])
    if trouble is None:
        return [nights.run_refresh(settings)]
    if trouble is Trouble.two_timers:
        return nights.two_at_once(settings)
    if trouble is Trouble.killed:
        status = nights.killed_after(settings, draw.uniform(0.1, 5))
        return [status] if status != nights.KILLED else [status, nights.in_own_process(settings)]
    if trouble is Trouble.dead_webhook:
        settings = replace(settings, notify=replace(settings.notify, webhook=DEAD, seconds=1.0))
    return [nights.in_own_process(settings, trouble)]


def _truth(store: Store, arrivals: Arrivals, by: str) -> float:
    """The figure of production on the hidden documents."""
    classifier = Classifier.load(store.link / "bundle")
    predictions = classifier.predict([one.text for one in arrivals.hidden])
    truth = indicators_of_names([one.labels for one in arrivals.hidden], arrivals.schema.classes)
    predicted = indicators_of_names([one.labels for one in predictions], arrivals.schema.classes)
    found = figures(contributions(truth, predicted, np.zeros(len(truth))).sum(axis=0))
    return float(found[OVERALL.index(by)])


def _report(night: Night, client: Client) -> None:
    what = night.trouble.value if night.trouble else "-"
    truth = "-" if night.truth is None else f"{night.truth:.4f}"
    why = str(night.lines[-1]["sentence"]).partition("\n")[0] if night.lines else ""
    log.info(
        f"night {night.number}: {what}; statuses {night.statuses}; production {night.production}, truth {truth}; "
        f"{client.asked:,} requests, {len(client.missed)} missed; {why}"
    )


def summary(year: Year) -> str:
    """What a year has shown, in a few lines."""
    counts = Counter(status for night in year.nights for status in night.statuses)
    versions = {night.production for night in year.nights} - {None}
    falls = year.falls()
    lines = [
        f"{len(year.nights)} nights; exit statuses: "
        + ", ".join(f"{status}: {count}" for status, count in sorted(counts.items())),
        f"versions that were in production: {len(versions)}",
        f"requests: {year.asked:,}, without an answer: {len(year.missed)}",
        f"nights without an explanation in the history: {len(year.unexplained())}",
        f"promotions after which production was worse on the hidden documents: {len(falls)}"
        + (f", by {100 * max(fall for _, fall in falls):.1f} points at most" if falls else ""),
    ]
    return "\n".join(lines)
