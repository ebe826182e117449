"""One refresh: what is new, the data gate, a version, the gate, the promotion; one line of history, whatever comes."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import IntEnum
from pathlib import Path

from tagsmith.config.settings import RefreshRun, When
from tagsmith.config.settings.fields import require_inputs
from tagsmith.core.errors import NO_ROOM, DataError, Interrupted, TagsmithError, TryAgainLater
from tagsmith.core.files import write_json
from tagsmith.core.signals import ignore_sigterm
from tagsmith.core.terminal import ONLY_FILE, log_to_file
from tagsmith.refresh.incoming.data_gate import check_data
from tagsmith.refresh.incoming.quarantine import quarantined
from tagsmith.refresh.incoming.whats_new import News, look, nothing_new, remember, unchanged_files
from tagsmith.refresh.lock import lock_held
from tagsmith.refresh.metrics_file import write_metrics
from tagsmith.refresh.notify import notify
from tagsmith.refresh.promote import pending, promote
from tagsmith.refresh.retention import clean_up, prune, remove, require_space
from tagsmith.refresh.store import Json, Store, Version, now

log = logging.getLogger("tagsmith")

FORMAT = 1
"""Version of a line of the history; a field that is added does not change it."""


class Status(IntEnum):
    """Exit statuses of a refresh that has ended as it should; errors have those of `core.errors`."""

    promoted = 0
    not_promoted = 3
    nothing_new = 4


def refresh(settings: RefreshRun, store: Store) -> int:
    """Renew the classifier of a store from the documents that the settings name; returns the exit status.

    Raises:
        TryAgainLater: another process holds the lock, the disk is full, a GPU is used by others, or a signal has
            arrived; the same command resumes.
        InputMissing: a file or folder does not exist.
        DataError: the data gate, or the reader, refuses the data; production is untouched.
        TagsmithError: another error that a user can fix; production is untouched.
    """
    store.create()
    with recorded(settings, store) as record:
        require_inputs(settings)
        clean_up(store)
        if (version := pending(store)) is not None:
            log.info(f"version {version.name}: its promotion has not ended and is tried again")
            _carry_out(settings, store, version, record)
            return int(record["status"])
        news = None
        if (version := _interrupted(settings, store)) is None:
            news, version = _begin(settings, store, record)
        if version is not None:
            _make_and_judge(settings, store, version, news, record)
            _carry_out(settings, store, version, record)
        return int(record["status"])


@contextmanager
def recorded(settings: RefreshRun, store: Store) -> Iterator[Json]:
    """Hold the lock while the block runs; whatever comes of it is written to the history, announced and measured.

    Yields:
        The line of the history; the block completes `outcome`, `status`, `version` and `sentence`.
    """
    with lock_held(store, settings.wait_minutes) as killed, log_to_file(store.log):
        if killed is not None:
            _record_kill(store, killed)
        begun = time.monotonic()
        record: Json = {"format": FORMAT, "action": settings.action.value, "started": now(), "ended": None}
        record |= {"seconds": None, "status": None, "outcome": None, "version": None, "sentence": "", "steps": []}
        try:
            yield record
        except KeyboardInterrupt:
            ignore_sigterm()
            error = Interrupted(f"store={store.path}: run the same command again to resume.")
            record |= _failed(error, record) | {"sentence": "Interrupted by a signal; the next refresh resumes."}
            raise error from None
        except OSError as error:
            found = _no_room(store, error) if error.errno in NO_ROOM else error
            record |= _failed(found, record)
            raise found from error.__cause__
        except BaseException as error:
            record |= _failed(error, record)
            raise
        finally:
            record |= {"ended": now(), "seconds": round(time.monotonic() - begun, 1)}
            _close(settings, store, record)


def _record_kill(store: Store, killed: Json) -> None:
    """A line for a process that could not write one."""
    sentence = f"Process {killed.get('pid')} on {killed.get('host')} was killed: {killed.get('command')}"
    line: Json = {"format": FORMAT, "action": None, "started": killed.get("since"), "ended": None, "seconds": None}
    store.add_to_history(line | {"status": None, "outcome": "killed", "version": None, "sentence": sentence})


def _no_room(store: Store, error: OSError) -> TryAgainLater:
    place = f"{error.filename}, " if error.filename else ""
    return TryAgainLater(f"{place}store={store.path}: {error.strerror}; free some, then the same command resumes.")


def _failed(error: BaseException, record: Json) -> Json:
    """What the history says of an error."""
    if isinstance(error, TryAgainLater):
        return {"status": TryAgainLater.exit_status, "outcome": "later", "sentence": str(error)}
    if isinstance(error, TagsmithError):
        # Before there is a version, what is wrong with data is wrong with those that are given.
        refused = isinstance(error, DataError) and record["version"] is None and record["action"] == "refresh"
        outcome = "refused" if refused else "failed"
        return {"status": error.exit_status, "outcome": outcome, "sentence": str(error)}
    return {"status": TagsmithError.exit_status, "outcome": "failed", "sentence": f"{type(error).__name__}: {error}"}


def _close(settings: RefreshRun, store: Store, record: Json) -> None:
    """Write, announce and measure the outcome; what fails here is logged and changes nothing."""
    log.info(f"{record['outcome']}: {record['sentence']}", extra=ONLY_FILE)
    try:
        record["production"] = store.link.readlink().name if store.link.is_symlink() else None
        record["notifications"] = notify(settings, record)
        store.add_to_history(record)
        if settings.metrics_file is not None:
            write_metrics(Path(settings.metrics_file), store, record)
    except (OSError, TagsmithError) as error:
        log.error(f"store={store.path}: the outcome could not be written: {error}")


def _interrupted(settings: RefreshRun, store: Store) -> Version | None:
    """The version of a refresh that was interrupted, if it can be finished; otherwise it is removed."""
    version = store.unfinished()
    if version is None:
        return None
    # Imported here, as torch takes seconds.
    from tagsmith.refresh.steps import resumable

    if resumable(settings, version):
        log.info(f"version {version.name}: resuming the refresh that was interrupted")
        return version
    remove(store, version)
    return None


def _begin(settings: RefreshRun, store: Store, record: Json) -> tuple[News | None, Version | None]:
    """What is new, and a version for it, before training; no version where too little is new.

    Raises:
        DataRefused: the data gate.
    """
    record |= {"status": int(Status.nothing_new), "outcome": Status.nothing_new.name}
    asked = _attention(settings)
    record["attention"] = asked
    if asked:
        record["outcome"] = "attention"
        settings = replace(settings, min_new=1)
    if unchanged_files(settings, store):
        record["sentence"] = _with(
            f"Nothing is new: the files are those of the last refresh.{_no_way_out(store)}", asked
        )
        return None, None
    with quarantined(settings, store):
        news = look(settings, store)
        record["news"] = news.as_json()
        if not news.enough(settings.min_new):
            nothing_new(settings, store, news)
            little = f"Too little is new for min_new={settings.min_new}" if news.changes else "Nothing is new"
            record["sentence"] = _with(f"{little}: {news.sentence}{_no_way_out(store)}", asked)
            return news, None
        figures = check_data(settings.accept, news)
    prune(store, settings.keep)  # A lower `keep` makes room.
    require_space(settings, store)
    version = store.next_version()
    version.path.mkdir()
    try:
        write_json(version.news, {"news": news.as_json(), "data_gate": figures})
        remember(settings, news, version)
    except BaseException:
        remove(store, version)
        raise
    log.info(f"version {version.name}: {news.sentence}")
    return news, version


def _attention(settings: RefreshRun) -> list[str]:
    """Why the running service asks for attention; no reason where `when` does not ask it."""
    if settings.when is not When.attention:
        return []
    # Imported here, as a timer that asks no service must not wait for it.
    from tagsmith.refresh.running_service import Service

    service = Service(settings.serve)
    asked = service.attention()
    if service.silence:
        log.warning(f"when=attention: {service.silence}; only new documents count.")
    return asked


def _no_way_out(store: Store) -> str:
    """What to do where no version is in production, and the documents are those that the last one was trained on."""
    newest = store.newest()
    if newest is None or store.link.is_symlink():
        return ""
    return (
        f" No version is in production: action=promote version={newest.name} promotes one by hand; to train these "
        "documents with other settings, remove the store and begin again."
    )


def _with(sentence: str, asked: list[str]) -> str:
    """What was found, and what the service asks for."""
    return f"{sentence} The service asks for attention; tag new documents: {' '.join(asked)}" if asked else sentence


def _make_and_judge(settings: RefreshRun, store: Store, version: Version, news: News | None, record: Json) -> None:
    """Train a version and write the gate's decision about it.

    Args:
        news: what the version is for; None: its run has its documents already.
    """
    record["version"] = version.name
    # Imported here, as torch takes seconds and most refreshes find nothing new.
    from tagsmith.refresh.gate.judge import judge
    from tagsmith.refresh.steps import make
    from tagsmith.refresh.test_documents import load_for, record_slice, slices

    try:
        make(settings, version, lambda: load_for(settings, store, news), record["steps"])
        record_slice(store, version)
        decision = judge(settings, store, version, store.current(), slices(store, version))
    except (TryAgainLater, KeyboardInterrupt):
        raise
    except BaseException as error:
        if not (isinstance(error, OSError) and error.errno in NO_ROOM):
            # A version that cannot be trained or judged would stop every later refresh.
            remove(store, version)
        raise
    write_json(version.decision, decision)


def _carry_out(settings: RefreshRun, store: Store, version: Version, record: Json) -> None:
    """Do what the gate has decided about a version."""
    decision = version.read_decision()
    record |= {"version": version.name, "promote": decision["promote"], "sentence": decision["sentence"]}
    record["figures"] = decision["figures"]
    if decision["promote"]:
        result = promote(settings, store, version)
        record |= {"outcome": result.outcome, "status": result.status}
        if result.status:
            record["sentence"] = result.sentence
    else:
        record |= {"outcome": Status.not_promoted.name, "status": int(Status.not_promoted)}
    prune(store, settings.keep)
