"""Which version is in production: a promotion after a check in a fresh process, and the way back.

versions/0007/promoted.json is written before the link is moved to 0007, and removed when it is taken back:

    {"at": "2026-11-29T03:10:00+0100",
     "before": ["0006", "0004", ...],                          those in production before it, the newest first
     "verified": {"manifest": SHA-256, "host": ..., ...}}      what was verified, and with which software
"""

import contextlib
import logging
import platform
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

from tagsmith.classify.bundle.contents import MANIFEST, check
from tagsmith.config.settings import RefreshRun
from tagsmith.core.errors import DataError, InputMissing, SettingsError, TryAgainLater, listing
from tagsmith.core.files import digest, json_object, read_json, sync, write_json
from tagsmith.refresh.running_service import Service
from tagsmith.refresh.store import Json, Store, Version, now

log = logging.getLogger("tagsmith")

VERIFY_SECONDS = 600
"""Time after which a bundle that is still not verified counts as broken."""

REMEMBERED = 20
"""Versions that were in production before, of which a version knows the names."""


@dataclass(frozen=True)
class Promotion:
    """What came of a promotion.

    Attributes:
        outcome: `promoted`, or `rolled_back`: production is what it was before.
        status: 0 promoted; 65 the service refuses the bundle; 75 it did not serve it in time, and may do so later.
        sentence: for the history.
    """

    outcome: str
    status: int
    sentence: str


def promote(settings: RefreshRun, store: Store, version: Version) -> Promotion:
    """Put a version into production if it verifies and, with `serve.url`, if the service serves it.

    Where the service does not, or the process is interrupted while it waits, the link is moved back. After a kill, the
    same call completes what was begun.

    Raises:
        DataError: the bundle does not verify; production is what it was before.
        SettingsError: the service cannot be asked; production is what it was before.
        TryAgainLater: the check was killed; nothing was changed.
    """
    before = _in_production(store)
    again = before is not None and before.name == version.name
    if again:
        before = next(iter(earlier(store)), None)
    try:
        verify(version.bundle)
    except DataError:
        if again:
            _take_back(store, version, before)
        raise
    known = None
    if settings.serve.url is not None:
        service = Service(settings.serve)
        known = service.deployment()
    if not again:
        names = [before.name, *_before(before)] if before is not None else []
        others = [name for name in names if name != version.name]
        write_json(_mark(version), {"at": now(), "before": others[:REMEMBERED], "verified": _proof(version)})
        store.point_to(version)
    instead = f" in place of {before.name}" if before is not None else ""
    if settings.serve.url is None:
        return Promotion("promoted", 0, f"{version.name} is in production{instead}")
    try:
        problem = service.wait_for(version, bool(known and known.get("newer_refused")))
    except BaseException:
        _take_back(store, version, before)
        raise
    if not problem:
        return Promotion("promoted", 0, f"{version.name} is in production{instead}, and served")
    _take_back(store, version, before)
    stays = f"{before.name} stays in production" if before is not None else "there is still none in production"
    status = DataError.exit_status if service.refused else TryAgainLater.exit_status
    return Promotion("rolled_back", status, f"{version.name} is not served: {problem}; {stays}")


def rollback(settings: RefreshRun, store: Store) -> Version:
    """Put the version into production that was there before the one that is there now, and verifies.

    A bundle that has verified when it was promoted, on this machine and with the same software, verifies if its bytes
    are the same: this takes a fraction of a second. Otherwise it is verified as before a promotion.

    With `serve.url`, waits until the service serves it; where it does not, this is a warning, and the link stays.

    Raises:
        InputMissing: there is no version to go back to.
        DataError: there are some, but none verifies.
        TryAgainLater: the check was killed.
    """
    left = _in_production(store)
    problems: list[str] = []
    for candidate in (candidates := earlier(store)):
        try:
            _verify_again(candidate)
        except (DataError, InputMissing) as error:
            problems.append(f"{candidate.name}: {error}")
            continue
        break
    else:
        since = f" before {left.name}" if left is not None else ""
        if not candidates:
            raise InputMissing(f"{store.path}: no version is left that was in production{since}.")
        raise DataError(listing(f"{store.path}: no version that was in production{since} verifies:", problems))
    store.point_to(candidate)
    for problem in problems:
        log.warning("passed over: %s", problem)
    if left is not None:
        _mark(left).unlink(missing_ok=True)
    if settings.serve.url is not None:
        try:
            problem = Service(settings.serve).wait_for(candidate, refused_before=True)
        except SettingsError as error:
            problem = str(error)
        if problem:
            log.warning("%s is in production, but not served yet: %s", candidate.name, problem)
    return candidate


def pending(store: Store) -> Version | None:
    """The newest version, where the gate has accepted it and its promotion has not ended.

    A kill came between, the service did not serve it in time, or a setting was wrong; `promote` completes it.
    """
    newest = store.newest()
    if newest is None or not newest.read_decision().get("promote"):
        return None
    again = (64, 70, 75)
    lines = [line for line in store.read_history() if line.get("version") == newest.name]
    return None if any(line.get("status") not in again for line in lines) else newest


def earlier(store: Store) -> list[Version]:
    """Versions that were in production before the one that is there now and are still there, the newest first.

    Those that were taken back are left out.
    """
    there = {version.name: version for version in store.versions() if version.finished}
    current = _in_production(store)
    names = _before(current) if current is not None else []
    number = int(current.name) if current is not None else sys.maxsize
    # Where the file of the current one is lost: what was promoted before it, by number.
    names += [
        name for name in sorted(there, key=int, reverse=True) if int(name) < number and _mark(there[name]).exists()
    ]
    return [there[name] for name in dict.fromkeys(names) if name in there and there[name] != current]


def verify(bundle: Path) -> None:
    """Check a bundle and all its golden answers in a fresh process, as a service loads it.

    Raises:
        DataError: a check failed, or the process crashed.
        TryAgainLater: the process was killed.
    """
    # -P: not from the current folder, in which anything may lie.
    command = [sys.executable, "-P", "-m", "tagsmith.bundle", "verify", str(bundle)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=VERIFY_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{bundle}: cannot be verified within {VERIFY_SECONDS} seconds.") from error
    if done.returncode in (-signal.SIGKILL, -signal.SIGTERM):
        name = signal.Signals(-done.returncode).name
        raise TryAgainLater(f"{bundle}: the process that verifies it was ended by {name}; is there enough memory?")
    if done.returncode < 0:
        raise DataError(f"{bundle}: verifying it was ended by {signal.Signals(-done.returncode).name}.")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().removeprefix("error: ")
        raise DataError(said if done.returncode != 70 and said else f"{bundle}: verifying it failed:\n{said}")


def _verify_again(version: Version) -> None:
    """Check the bundle of a version that was in production. Raises: as `verify`, and InputMissing."""
    if _read_mark(version).get("verified") == _proof(version):
        check(version.bundle)
    else:
        verify(version.bundle)


def _proof(version: Version) -> Json:
    """What the answers of a bundle depend on: its files, by the digest of their digests, the machine, the software."""
    manifest = version.bundle / MANIFEST
    found = {"manifest": digest(manifest) if manifest.is_file() else "", "host": platform.node()}
    for name in ("tagsmith", "onnxruntime", "tokenizers", "numpy"):
        with contextlib.suppress(PackageNotFoundError):  # A checkout that is only on the path.
            found[name] = installed(name)
    return found


def _take_back(store: Store, version: Version, before: Version | None) -> None:
    """Move the link back to what was in production before a promotion."""
    if before is not None:
        store.point_to(before)
    else:
        store.link.unlink(missing_ok=True)
        sync(store.path)
    _mark(version).unlink(missing_ok=True)


def _in_production(store: Store) -> Version | None:
    """The version that the link leads to, whether or not it is there."""
    return Version(store.versions_folder / store.link.readlink().name) if store.link.is_symlink() else None


def _mark(version: Version) -> Path:
    return version.path / "promoted.json"


def _before(version: Version) -> list[str]:
    """Names of the versions that were in production before it; none where this is not known."""
    found = _read_mark(version).get("before")
    return [name for name in found if re.fullmatch(r"\d{4,}", str(name))] if isinstance(found, list) else []


def _read_mark(version: Version) -> Json:
    """What its promotion has recorded; nothing where it was never promoted, or the file is damaged."""
    try:
        return read_json(_mark(version), json_object, "a promotion", "promote it again")
    except DataError:
        return {}
