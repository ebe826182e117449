"""A script's standard streams and its log, on stderr and in files; a stdout whose reader may close it early."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ONLY_FILE = {"only_file": True}
"""For a line of the log that stderr need not have, since the script prints it."""


class StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever sys.stderr is at that moment, because a live progress bar replaces it."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        pass


def log_to_stderr() -> None:
    """Write the package's log to stderr; lines carry the time unless stderr is a terminal.

    Lines with `extra=ONLY_FILE` are left out: what a script prints as its result, or as its error.
    """
    log = logging.getLogger("tagsmith")
    log.setLevel(logging.INFO)
    log.propagate = False
    handler = StderrHandler()
    handler.setFormatter(logging.Formatter("%(message)s" if sys.stderr.isatty() else "%(asctime)s %(message)s"))
    handler.addFilter(lambda line: not getattr(line, "only_file", False))
    log.handlers = [handler]


@contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """While the block runs, also append the package's log to a file, with times."""
    log = logging.getLogger("tagsmith")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


class _Output(io.FileIO):
    """Discards what is written after the reader has closed the pipe."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            return memoryview(content).nbytes


def ignore_closed_stdout() -> None:
    """From now on a reader that closes standard output early, such as `head`, neither stops work nor raises.

    The default action of SIGPIPE would end the process in the middle of its work; see README.md.
    """
    stdout = sys.stdout
    if isinstance(stdout, io.TextIOWrapper) and stdout is sys.__stdout__:
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Output(stdout.fileno(), "w", closefd=False)),
            stdout.encoding,
            stdout.errors,
            line_buffering=stdout.line_buffering,
            write_through=stdout.write_through,
        )
