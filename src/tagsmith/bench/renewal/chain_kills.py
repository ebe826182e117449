"""`scripts/bench_refresh.py measure=kills`: a refresh that is killed ends like one that was never killed."""

import logging
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path

from tagsmith.bench.renewal import nights
from tagsmith.bench.renewal.arrivals import read_arrivals, write_file
from tagsmith.bench.renewal.simulated_year import renewal_settings
from tagsmith.classify.verify import verify
from tagsmith.config.settings import BenchRefreshRun
from tagsmith.core.errors import listing
from tagsmith.core.files import digest
from tagsmith.refresh.store import Store

log = logging.getLogger("tagsmith")

SAME_BYTES = (
    "run/model/model.safetensors", "run/predictions.jsonl", "run/evaluation.json", "run/decision.json",
    "run/schema.json", "bundle/onnx/model.onnx", "bundle/decision.json", "seen.jsonl",
)  # fmt: skip
"""Files of a version that depend on neither the time nor the machine's speed."""


def kill_refreshes(settings: BenchRefreshRun) -> list[str]:
    """Refresh a store with a first version, with `kills` SIGKILLs at random instants in all; compare each end.

    A refresh that completes is followed by another one, from the same beginning.

    Returns:
        A line for each kill: when, and what the store held after it.

    Raises:
        RuntimeError: production does not verify after a kill, or an end differs from that of an undisturbed refresh.
    """
    folder = Path(settings.store)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    arrivals = read_arrivals(settings.data, settings.task, settings.hidden, settings.seed)
    incoming, beginning = folder / "incoming.jsonl", folder / "beginning"
    renewal = renewal_settings(settings, Store(beginning), incoming)
    half = len(arrivals.documents) // 2
    write_file(incoming, arrivals.documents[:half], arrivals.schema.multi_label)
    if status := nights.in_own_process(renewal):
        raise RuntimeError(f"store={beginning}: expected a first version in production, found exit status {status}")
    write_file(incoming, arrivals.documents, arrivals.schema.multi_label)
    # Always at the same path, which is part of some files.
    store = _copy(beginning, folder / "store")
    again = replace(renewal, store=str(store.path))
    started = time.monotonic()
    _expect_end(nights.in_own_process(again), store.path)
    seconds = time.monotonic() - started
    whole = Store(store.path.rename(folder / "whole"))
    log.info(f"undisturbed: {seconds:.1f} s")
    draw = random.Random(settings.seed)
    killed: list[str] = []
    number = 1
    while len(killed) < settings.kills:
        _copy(beginning, store.path)
        status = nights.KILLED
        while status == nights.KILLED and len(killed) < settings.kills:
            instant = draw.uniform(0.02, 1) * seconds
            status = nights.killed_after(again, instant)
            if status == nights.KILLED:
                killed.append(f"kill {len(killed) + 1}, after {instant:.2f} s: {_state_of(store)}")
                log.info(killed[-1])
                current = store.current()
                if current is None:
                    raise RuntimeError(f"{store.path}: nothing is in production after {killed[-1]}")
                verify(current.bundle)
        if status == nights.KILLED:
            status = nights.in_own_process(again)
        _expect_end(status, store.path)
        if different := _differences(whole, store):
            raise RuntimeError(listing(f"{store.path} differs from {whole.path}:", different))
        log.info(f"refresh {number}: its end equals that of the undisturbed one")
        number += 1
    return killed


def _copy(beginning: Path, to: Path) -> Store:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(beginning, to, symlinks=True)
    return Store(to)


def _expect_end(status: int, folder: Path) -> None:
    if status not in (0, 3):
        raise RuntimeError(f"store={folder}: expected a refresh that trains, found exit status {status}")


def _state_of(store: Store) -> str:
    """How far the refresh had come."""
    newest = store.versions()[-1]
    if newest.finished:
        return f"version {newest.name} judged" + (", in production" if store.current() == newest else "")
    run = newest.run
    made = {"bundle": newest.bundle, "page": run.page, "decision rule": run.decision, "evaluation": run.evaluation}
    made |= {"weights": run.weights, "documents": run.settings, "news": newest.news}
    return f"version {newest.name}: {next((name for name, path in made.items() if path.exists()), 'nothing')}"


def _differences(whole: Store, store: Store) -> list[str]:
    expected, found = whole.versions()[-1], store.versions()[-1]
    if expected.name != found.name:
        return [f"newest version: expected {expected.name}, found {found.name}"]
    different = [
        f"{name}: different bytes" for name in SAME_BYTES if digest(expected.path / name) != digest(found.path / name)
    ]
    tests = [{path.name: digest(path) for path in one.test.iterdir()} for one in (whole, store)]
    if tests[0] != tests[1]:
        different.append(f"test documents: expected {sorted(tests[0])}, found {sorted(tests[1])}, or other contents")
    links = [one.link.readlink() for one in (whole, store)]
    if links[0] != links[1]:
        different.append(f"production: expected {links[0]}, found {links[1]}")
    promoted = [one.read_decision()["promote"] for one in (expected, found)]
    if promoted[0] != promoted[1]:
        different.append(f"decision: expected {promoted[0]}, found {promoted[1]}")
    left = [*store.path.rglob(".*.tmp"), *store.path.rglob("checkpoints")]
    return different + [f"{path}: left behind" for path in left]
