"""The log of a script: lines on stderr."""

import logging
import sys
from typing import Any


class StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what sys.stderr is at that moment: a live progress bar puts itself in its place."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        pass


def log_to_stderr() -> None:
    """Have what the package logs on stderr, with the time where no person looks on."""
    log = logging.getLogger("tagsmith")
    log.setLevel(logging.INFO)
    log.propagate = False
    handler = StderrHandler()
    handler.setFormatter(logging.Formatter("%(message)s" if sys.stderr.isatty() else "%(asctime)s %(message)s"))
    log.handlers = [handler]
