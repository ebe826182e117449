"""Open a project: serve its page until a signal, or write its tags."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from tagsmith.config.settings import TagRun
from tagsmith.core.errors import InputMissing, TryAgainLater, counted
from tagsmith.core.files import write_json
from tagsmith.core.local_http import is_loopback, listen
from tagsmith.core.schema import Schema
from tagsmith.tag.accepted import accepted, accepted_line
from tagsmith.tag.alike import Copies
from tagsmith.tag.app import Tagging
from tagsmith.tag.class_requests import change_of, classes_in_words
from tagsmith.tag.documents import fill
from tagsmith.tag.export import next_command, write_tags
from tagsmith.tag.modes import Modes
from tagsmith.tag.order import Order
from tagsmith.tag.stop import FILE as STATUS
from tagsmith.tag.stop import Stop, status_tables, write_status
from tagsmith.tag.store import FILE, Store
from tagsmith.tag.suggestions import Suggestions

log = logging.getLogger("tagsmith")


def open_page(settings: TagRun) -> None:
    """Serve the page until SIGINT or SIGTERM; prints the address of each person.

    Raises:
        TryAgainLater: the page of this project is open already.
        SettingsError: the page cannot listen on the address; or see `documents.fill`.
        InputMissing, DataError: see `documents.fill`.
    """
    with opened(settings) as (tagging, tokens), listen(settings.host, settings.port) as listener:
        host, port = listener.getsockname()[:2]
        place = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        if not is_loopback(settings.host):
            log.warning(f"host={settings.host}: other machines can read what is sent; texts are not encrypted.")
        for token, person in tokens.items():
            # After the #, so that no server and no log sees the token.
            print(f"{person}: {place}#{token}", flush=True)
        asyncio.run(_serve(tagging, listener))
    print(f"Closed; all is saved. To write the tags:\n  python scripts/tag.py export project={settings.project}")


class _Server(uvicorn.Server):
    """A server whose signals are handled by `_serve`: they are the normal way to close the page."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self, number: int) -> None:
        """Answer the requests in flight and exit; a second Ctrl-C exits without waiting for them."""
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


SWITCH_SECONDS = 0.0005
"""How long a thread of this process computes while others wait: a request hands over many times while the regression
is fitted, and with Python's 5 ms it would wait for that each time."""


async def _serve(tagging: Tagging, listener: socket.socket) -> None:
    sys.setswitchinterval(SWITCH_SECONDS)
    server, loop = _Server(server_config(tagging)), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop, number)
    await server.serve(sockets=[listener])


def server_config(tagging: Tagging) -> uvicorn.Config:
    """The configuration of uvicorn for the page: h11 limits the head of a request, and nothing is logged."""
    return uvicorn.Config(
        tagging.app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No page of this project is open while the block runs, but the caller's.

    Raises:
        TryAgainLater: its page is open already.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise TryAgainLater(f"project={folder}: its page is open already; close that one first.") from None
    with lock:
        yield


@contextmanager
def opened(settings: TagRun) -> Iterator[tuple[Tagging, dict[str, str]]]:
    """The page of a project while the block runs, and the person of each token; see `open_page`."""
    folder = Path(settings.project)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        store = Store(folder)
        try:
            fill(store, settings)
            tokens = {store.token(person): person for person in settings.people}
            if settings.overlap is not None:
                store.ask(settings.overlap, settings.overlap_share)
            order = Order(store, settings.audit_share, settings.seed, settings.second_share)
            suggestions = Suggestions(store, order, settings)
            stop = Stop(store, settings)
            suggestions.start()
            words = [word for word in sys.argv[1:] if word.startswith(("model=", "model."))]
            copies = Copies(store)
            copies.start()
            stop.start()
            try:
                local, blind = is_loopback(settings.host), settings.blind
                modes = Modes(store, settings)
                page = Tagging(folder, store, order, suggestions, stop, copies, modes, tokens, local, blind, words)
                yield page, tokens
            finally:
                copies.stop()
                stop.stop()
                suggestions.stop()
        finally:
            store.close()


@contextmanager
def existing(settings: TagRun) -> Iterator[tuple[Store, Schema]]:
    """The file and the classes of a project that is there, whose page may be open.

    Raises:
        InputMissing: there is no such project.
    """
    folder = Path(settings.project)
    if not (folder / FILE).is_file():
        raise InputMissing(f"project={folder}: no project here (looked for {folder / FILE}).")
    store = Store(folder)
    try:
        if (known := store.schema()) is None:
            raise InputMissing(f"project={folder}: has no classes yet; open its page first.")
        yield store, known[0]
    finally:
        store.close()


def export(settings: TagRun) -> list[str]:
    """Write the tags of a project; returns what to say about it.

    Raises:
        InputMissing: there is no such project.
        DataError: no document has a tag.
    """
    folder = Path(settings.project)
    with existing(settings) as (store, schema):
        paths, count = write_tags(folder, store, schema)
        about = accepted_line(accepted(store.log(), schema.multi_label))
        return [
            f"{counted(count, 'document')} with a tag: {', '.join(map(str, paths))}",
            *([about[0].upper() + about[1:]] if about else []),
            f"To train on them:\n  {next_command(folder, store)}",
        ]


def change_classes(settings: TagRun) -> list[str]:
    """Make the changes of the classes that a file names; returns the classes, their changes and what collides in words.

    Raises:
        InputMissing: there is no such project, or no such file.
        TryAgainLater: its page is open; the classes can be changed there.
        DataError: the changes cannot be made.
    """
    with existing(settings) as (store, _), alone(Path(settings.project)) if settings.changes else nullcontext():
        if settings.changes is not None:
            store.change_classes(change_of(Path(settings.changes)))
        return classes_in_words(store)


def report_agreement(settings: TagRun) -> None:
    """Write `agreement.json` of a project, and print it as tables.

    Raises:
        InputMissing: there is no such project.
    """
    from rich.console import Console

    from tagsmith.tag.agreement import agreement, agreement_tables  # Not while the page starts: SciPy takes a second.

    with existing(settings) as (store, schema):
        found = agreement(store.snapshot(), schema, settings.seed)
        path = Path(settings.project) / "agreement.json"
        write_json(path, found)
        Console().print(*agreement_tables(found), str(path), sep="\n", soft_wrap=True)


def report_status(settings: TagRun) -> None:
    """Write `status.json` of a project, and print it: how good the suggestions are, and what more tags would bring.

    The vectors are those that the page has computed; documents without one are left out.

    Raises:
        InputMissing: there is no such project.
    """
    from rich.console import Console

    with existing(settings):
        found = write_status(settings)
        Console().print(*status_tables(found), sep="\n")
        print(*found["sentences"], Path(settings.project) / STATUS, sep="\n")
