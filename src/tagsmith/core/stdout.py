"""Standard output, whose reader may have enough."""

import io
import sys
from typing import Any


class _Output(io.FileIO):
    """What nobody reads any more goes nowhere."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            return memoryview(content).nbytes


def let_readers_go() -> None:
    """From now on a reader of standard output that has enough, such as `head`, stops no work."""
    told = sys.stdout
    if isinstance(told, io.TextIOWrapper) and told is sys.__stdout__:
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Output(told.fileno(), "w", closefd=False)),
            told.encoding,
            told.errors,
            line_buffering=told.line_buffering,
            write_through=told.write_through,
        )
