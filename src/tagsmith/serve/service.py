"""The server process: the address it listens on, the signals it handles, its graceful shutdown."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator

import uvicorn

from tagsmith.config.settings import ServeSettings
from tagsmith.core.errors import SettingsError
from tagsmith.core.local_http import is_loopback, listen
from tagsmith.serve.app import Service
from tagsmith.serve.logs import log_as_json
from tagsmith.serve.protocol import MAX_HEAD_BYTES, limited_protocol
from tagsmith.serve.requests import DISCARDED_BYTES
from tagsmith.serve.traces import traces_from_environment

log = logging.getLogger("tagsmith.serve")

KEYS = "TAGSMITH_API_KEYS"


def serve(settings: ServeSettings) -> None:
    """Serve until SIGTERM or SIGINT, then answer the requests in flight. SIGHUP reloads all bundles.

    Raises:
        SettingsError: the service cannot listen on the address, or would expose it without a key; or it cannot send
            traces.
        TagsmithError: a bundle or the job file cannot be used.
    """
    keys = api_keys(os.environ.get(KEYS, ""))
    if not keys and not settings.sagemaker and not is_loopback(settings.host):
        raise SettingsError(
            f"serve.host={settings.host} is reachable from other machines, but {KEYS} holds no key; "
            f"set it to one or more keys, separated by commas, or listen on 127.0.0.1."
        )
    if not keys and settings.authoring is not None:
        raise SettingsError(f"serve.authoring={settings.authoring}: needs keys, but {KEYS} holds none; set it.")
    listener = listen(settings.host, settings.port, "serve.")
    with listener:
        log_as_json()
        # What has been imported stays; searching it for garbage would stop all requests for 50 ms now and then. Not
        # after the bundles are loaded, as a replaced one is garbage.
        gc.freeze()
        service = Service(settings, keys, traces_from_environment() if settings.traces else None)
        config = server_config(service)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_run(_Server(config), service, listener))
    log.info("stopped")


def server_config(service: Service) -> uvicorn.Config:
    """The configuration of uvicorn for the app."""
    settings = service.settings
    max_request_bytes = int(settings.max_body_mib * (1 << 20)) + DISCARDED_BYTES + 2 * MAX_HEAD_BYTES
    return uvicorn.Config(
        service.app,
        http=limited_protocol(max_request_bytes, settings.max_seconds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # No log names the client, and links to jobs follow the Host header or serve.public_url.
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )


def api_keys(text: str) -> list[str]:
    """The keys of a list separated by commas, without surrounding spaces."""
    return [key for part in text.split(",") if (key := part.strip())]


class _Server(uvicorn.Server):
    """A server whose signals are handled by `_run`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self, number: int) -> None:
        """Answer the requests in flight and exit; a second signal, if it is SIGINT, exits without waiting for them."""
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
        loop.add_signal_handler(number, server.stop, number)
    loop.add_signal_handler(signal.SIGHUP, reload)
    host, port = listener.getsockname()[:2]
    print(f"serving: http://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)
    await server.serve(sockets=[listener])
