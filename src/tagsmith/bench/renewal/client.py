"""A service of the store, and a client that asks it throughout."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tagsmith.core.files import shipped_folder


class Client(threading.Thread):
    """Asks without a pause, from when the service is ready.

    Attributes:
        asked: number of requests.
        missed: what came back instead of an answer, one line each.
    """

    def __init__(self, url: str, pause: float):
        super().__init__(daemon=True)
        self.url, self.pause = url, pause
        self.asked, self.missed = 0, list[str]()
        self.done = threading.Event()

    def run(self) -> None:
        """Ask until `done` is set."""
        session = requests.Session()
        ready = False
        while not self.done.wait(self.pause):
            try:
                answer = session.post(f"{self.url}/predict", json={"inputs": "a sentence"}, timeout=30)
                problem = "" if answer.ok else f"{answer.status_code} {answer.text[:200]}"
            except requests.RequestException as error:
                problem = repr(error)
            ready = ready or not problem
            if ready:
                self.asked += 1
                if problem:
                    self.missed.append(problem)


@contextmanager
def asked_throughout(store: Path, pause: float = 0.1) -> Iterator[Client]:
    """Serve a store in a process of its own, which logs into `service.log` beside it, and ask while the block runs.

    Raises:
        RuntimeError: the service does not start.
    """
    script = shipped_folder("scripts") / "serve.py"
    settings = [f"serve.deployments={{production: {store}}}", "serve.port=0", "serve.threads=1", "serve.jobs=null"]
    command = [sys.executable, str(script), *settings, "serve.watch_seconds=0.2"]
    with store.with_name("service.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        if not line.startswith("serving: "):
            raise RuntimeError(f"{script}: expected the address of the service, found {line!r}")
        client = Client(line.removeprefix("serving: ").strip().rstrip("/"), pause)
        client.start()
        yield client
        client.done.set()
        client.join()
    finally:
        process.terminate()
        process.wait()
