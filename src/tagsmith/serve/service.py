"""The process: where it listens, which signals it obeys, how it leaves."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Iterator

import uvicorn

from tagsmith.config.settings import ServeSettings
from tagsmith.core.errors import SettingsError
from tagsmith.serve.app import Service
from tagsmith.serve.logs import log_as_json
from tagsmith.serve.protocol import MAX_HEAD_BYTES, limited_protocol
from tagsmith.serve.requests import DISCARDED
from tagsmith.serve.traces import traces_by_environment

log = logging.getLogger("tagsmith.serve")

KEYS = "TAGSMITH_API_KEYS"


def serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT; what is in flight is answered first. SIGHUP reloads all bundles.

    Raises:
        SettingsError: the address cannot be listened on, or would be open to others without a key; no traces.
        TagsmithError: a bundle or the file of the jobs cannot be used.
    """
    keys = api_keys(os.environ.get(KEYS, ""))
    if not keys and not is_loopback(settings.host):
        raise SettingsError(
            f"serve.host={settings.host}: others can reach it, and {KEYS} holds no key; "
            f"set it to one or more, separated by commas, or listen on 127.0.0.1."
        )
    listener = listen(settings.host, settings.port)
    with listener:
        service = Service(settings, keys, traces_by_environment() if settings.traces else None)
        log_as_json()
        config = config_of(service)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_run(_Server(config), service, listener))
    log.info("left")


def config_of(service: Service) -> uvicorn.Config:
    """How the server runs the app."""
    settings = service.settings
    most = int(settings.max_body_mib * (1 << 20)) + DISCARDED + 2 * MAX_HEAD_BYTES
    return uvicorn.Config(
        service.app,
        http=limited_protocol(most, settings.max_seconds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # Who asks is in no log, and links to jobs follow the Host header or serve.public_url.
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )


def api_keys(text: str) -> list[str]:
    """Keys of a list with commas; spaces around them do not count."""
    return [key for part in text.split(",") if (key := part.strip())]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises: SettingsError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        raise SettingsError(f"serve.host={host}, serve.port={port}: cannot listen there: {error.strerror}.") from error
    listener.setblocking(False)
    return listener


class _Server(uvicorn.Server):
    """One that leaves the signals to `_run`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def leave(self, number: int) -> None:
        """Answer what is in flight and leave; a person who asks again, by Ctrl-C, does not wait for that."""
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


async def _run(server: _Server, service: Service, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(service.deployments.reload_all())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.leave, number)
    loop.add_signal_handler(signal.SIGHUP, reload)
    host, port = listener.getsockname()[:2]
    print(f"serving: http://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)
    await server.serve(sockets=[listener])
