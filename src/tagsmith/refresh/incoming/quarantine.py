"""The files of data that was refused, kept with a report; new files that are the cause may be moved out of the way."""

import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from glob import has_magic
from itertools import count
from pathlib import Path
from typing import Any

from tagsmith.config.settings import RefreshRun, TableSettings
from tagsmith.config.settings.fields import names
from tagsmith.config.settings.refresh import Quarantine
from tagsmith.core.errors import DataError, TagsmithError
from tagsmith.core.files import digest, json_object, read_json, replace_folder, sync, write_json
from tagsmith.core.schema import Task
from tagsmith.data.bad_rows import BadRows
from tagsmith.data.read import read_documents
from tagsmith.refresh.incoming.data_gate import DataRefused, check_data
from tagsmith.refresh.incoming.seen import match
from tagsmith.refresh.incoming.sources import Digests, digests
from tagsmith.refresh.store import Json, Store, now

log = logging.getLogger("tagsmith")

FORMAT = 1

MOST_FILES = 100
MOST_BYTES = 2**30
"""What is copied of one refusal; the report names the other files too."""

MOST_FOLDERS = 30
"""Refusals that are kept; older ones go, unless files were moved there."""

MOST_PROBLEMS = 1000
"""Bad rows in a report."""

OF_WHAT_WAS_THERE = {"accept.max_fewer", "accept.vanished_classes", "accept.max_retagged"}
"""Bounds on documents of before, which a new file does not break."""


@contextmanager
def quarantined(settings: RefreshRun, store: Store) -> Iterator[None]:
    """Where the block refuses the data, keep the files and say where, in the same error.

    Raises:
        DataError: that of the block.
    """
    try:
        yield
    except DataError as error:
        try:
            folder = quarantine(settings, store, error)
        except (OSError, TagsmithError) as failure:
            log.warning(f"the refused files could not be kept: {failure}")
            folder = None
        if folder is not None:
            error.args = (f"{error}\nThe files, with a report: {folder}", *error.args[1:])
        raise


def quarantine(settings: RefreshRun, store: Store, error: DataError) -> Path | None:
    """Copy the files that have changed since the newest version into a folder of the quarantine, with a report.

    A hard link would follow what is written to a file later, so that files are copied. With `accept.quarantine=move`,
    new files that are refused by themselves are removed from the source, if it is a folder or a pattern that names
    further files. Data that was refused before is not copied again; its report counts the refusals.

    Returns:
        The folder; None where the data settings name no files.
    """
    files = digests(settings)
    if files is None:
        return None
    newest = store.newest()
    before: Mapping[str, str] = {}
    if newest is not None and newest.sources.is_file():
        before = read_json(newest.sources, json_object, "the digests of files", "remove it")["files"]
    changed = {path: found for path, found in files.items() if before.get(path) != found}
    move = settings.accept.quarantine is Quarantine.move
    causes = _causes(settings, error, files, before) if move else []
    folders = _folders(store)
    if folders and not causes and (again := _same(folders[-1], changed)) is not None:
        again |= {"refusals": again["refusals"] + 1, "last": now()}
        write_json(folders[-1] / "report.json", again)
        return folders[-1]
    date = time.strftime("%Y-%m-%d")
    folder = next(path for n in count(1) if not (path := store.quarantine / f"{date}_{n}").exists())
    report: Json = {"format": FORMAT, "first": now(), "last": now(), "refusals": 1, "error": str(error), "files": []}
    if isinstance(error, DataRefused):
        report |= {"figures": list(error.figures), "news": error.news.as_json()}
    if isinstance(error, BadRows):
        report["problems"] = [problem.as_dict() for problem in error.problems[:MOST_PROBLEMS]]

    def write(inside: Path) -> None:
        report["files"] = _copied(changed, inside, causes)
        write_json(inside / "report.json", report)

    replace_folder(folder, write)
    for one in report["files"]:
        if one["moved"]:
            # Not if somebody has written to it meanwhile.
            source, kept = Path(one["path"]), folder / "files" / one["kept"]
            if digest(source) == digest(kept):
                source.unlink()
                sync(source.parent)
                log.warning(f"{source}: moved to {kept}; the next refresh works without it")
    for old in folders[: max(0, len(folders) + 1 - MOST_FOLDERS)]:
        if not any(one["moved"] for one in _report(old).get("files", [])):
            shutil.rmtree(old)
    return folder


def _folders(store: Store) -> list[Path]:
    """The folders of the quarantine, the oldest first."""
    found = [path for path in store.quarantine.glob("*_*") if (path / "report.json").is_file()]
    return sorted(found, key=lambda path: (path.name.partition("_")[0], int(path.name.partition("_")[2])))


def _report(folder: Path) -> dict[str, Any]:
    return read_json(folder / "report.json", json_object, "the report of a refusal", "remove it")


def _same(folder: Path, changed: Digests) -> dict[str, Any] | None:
    """The report of the last refusal, if it was of the same files."""
    report = _report(folder)
    return report if {one["path"]: one["sha256"] for one in report["files"]} == changed else None


def _copied(changed: Digests, folder: Path, causes: list[str]) -> list[Json]:
    """Copy the files, those that are the cause first; returns a line of the report for each."""
    (folder / "files").mkdir()
    lines: list[Json] = []
    room = MOST_BYTES
    for path in sorted(changed, key=lambda one: (one not in causes, one)):
        size, kept = Path(path).stat().st_size, None
        if size <= room and len(lines) < MOST_FILES:
            room -= size
            kept = name if not (folder / "files" / (name := Path(path).name)).exists() else f"{len(lines)}_{name}"
            shutil.copy2(path, folder / "files" / kept)
        moved = path in causes and kept is not None
        lines.append({"path": path, "sha256": changed[path], "bytes": size, "kept": kept, "moved": moved})
    return lines


def _causes(settings: RefreshRun, error: DataError, files: Digests, before: Mapping[str, str]) -> list[str]:
    """New files of a folder or pattern that are refused by themselves, as long as other files are left."""
    if not isinstance(settings.data, TableSettings):
        return []
    listed = [name for name in names(settings.data.train) if has_magic(name) or Path(name).is_dir()]
    if not listed:
        return []
    there = digests(replace(settings, data=TableSettings(train=listed))) or {}
    new = [path for path in there if path not in before]
    if isinstance(error, DataRefused):
        broken = {figure["name"] for figure in error.figures if not figure["passed"]}
        judged = new if not broken & OF_WHAT_WAS_THERE else []
        found = [path for path in judged if _refused_by_gate(path, new, error, settings)]
    else:
        found = [path for path in new if _refused_by_reader(path, settings.data, settings.task)]
    return found if len(found) < len(files) else []


def _refused_by_reader(path: str, data: TableSettings, task: Task | None) -> bool:
    try:
        read_documents(replace(data, train=[path], validation=None, test=None, tagged=None), task)
    except DataError:
        return True
    return False


def _refused_by_gate(path: str, new: list[str], error: DataRefused, settings: RefreshRun) -> bool:
    """Whether the gate refuses the data without the other new files."""
    others = {one for one in new if one != path}

    @cache
    def is_there(file: str) -> bool:
        return others.isdisjoint([file, *map(str, Path(file).parents)])  # An archive is the parent of its files.

    left = [one for one in error.news.documents if is_there(one.place.rpartition(":")[0])]
    news = replace(error.news, documents=left, matched=match(error.news.before, left))
    try:
        check_data(settings.accept, news)
    except DataRefused:
        return bool(news.new)
    return False
