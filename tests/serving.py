"""A service in a thread, on a free port, for real clients."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import requests
import uvicorn
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tagsmith.config.settings import ServeSettings
from tagsmith.core.local_http import listen
from tagsmith.serve.app import Service
from tagsmith.serve.service import server_config
from tagsmith.serve.traces import Traces

KEY = "a-key-of-the-tests"


class Served:
    """A running service; `url` has no trailing slash."""

    def __init__(self, service: Service, server: uvicorn.Server, loop: asyncio.AbstractEventLoop, port: int):
        self.service, self.server, self.loop, self.port = service, server, loop, port
        self.url = f"http://127.0.0.1:{port}"
        self.http = requests.Session()
        # As every client does: a connection that the service closes while it is reused says nothing about the service.
        again = Retry(2, allowed_methods={"GET", "HEAD"}, respect_retry_after_header=False)
        self.http.mount("http://", HTTPAdapter(max_retries=again))
        self.http.headers["Ocp-Apim-Subscription-Key"] = KEY

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the event loop of the service."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def get(self, place: str, **more: Any) -> requests.Response:
        return self.http.get(self.url + place, timeout=30, **more)

    def post(self, place: str, **more: Any) -> requests.Response:
        return self.http.post(self.url + place, timeout=30, **more)


@contextlib.contextmanager
def serving(
    deployments: dict[str, Path], keys: Sequence[str] = (KEY,), traces: Traces | None = None, **settings: Any
) -> Iterator[Served]:
    """Serve bundles as the project `news` while the block runs; by default with jobs in memory, without watching."""
    changed = {"project": "news", "jobs": None, "watch_seconds": 0.0, "threads": 1, **settings}
    service = Service(ServeSettings(deployments={n: str(p) for n, p in deployments.items()}, **changed), keys, traces)
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(server_config(service))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        yield Served(service, server, loop, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(30)
        loop.close()
        assert not thread.is_alive()
