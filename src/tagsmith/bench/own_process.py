"""Run a function in a fresh interpreter, so that its imports, caches and peak memory are its own; busy neighbours."""

import time

started = time.perf_counter()
"""When this interpreter began, before it imported what the function needs."""

import os  # noqa: E402
import pickle  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, TypeVar  # noqa: E402

T = TypeVar("T")


class ProcessKilled(Exception):
    """The process ended without a result."""


def in_own_process(function: Callable[..., T], *arguments: Any) -> T:
    """The result of a function that a fresh interpreter runs; what it prints goes to standard error.

    The interpreter ends with this process, however this process ends.

    Raises:
        ProcessKilled: the interpreter was killed, for example because the memory was exhausted.
        Exception: whatever the function raises.
    """
    command = [sys.executable, "-m", "tagsmith.bench.own_process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump((function, arguments), process.stdin)
            process.stdin.flush()
            answer = process.stdout.read()
        except BaseException:
            process.kill()
            raise
    if not answer:
        raise ProcessKilled(f"{function.__module__}.{function.__name__}: exit status {process.returncode}")
    result, error = pickle.loads(answer)
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
"""A process that keeps a core busy until its parent ends."""


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep so many processes busy meanwhile, each in a session of its own, like those of another user."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            started.append(subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True))
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def peak_memory() -> float:
    """The most resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # Of this interpreter alone: getrusage includes the process that forked it.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def answer_call() -> None:
    """Run the function that standard input names, and write its result to what was standard output."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Libraries print to standard output, which is for the result.
    function, arguments = pickle.load(sys.stdin.buffer)

    def end_with_parent() -> None:
        # Not sys.stdin, whose lock a waiting thread holds when the interpreter ends.
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    result = error = None
    try:
        result = function(*arguments)
    except Exception as raised:
        raised.add_note(f"In its own process:\n{traceback.format_exc()}")
        error = raised
    except KeyboardInterrupt:
        os._exit(1)
    pickle.dump((result, error), output)
    output.close()


if __name__ == "__main__":
    # The function imports this module by its name, as a second one, which is given the time of the first.
    from tagsmith.bench import own_process

    own_process.started = started
    own_process.answer_call()
