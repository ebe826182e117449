"""Scripts and functions in processes forked from one that has done the slow imports: 0.1 s instead of 8."""

import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any

PRELOADED = [
    "tagsmith.config.hydra_door", "tagsmith.train.train_run", "tagsmith.evaluate.evaluate_run",
    "tagsmith.evaluate.analysis.analyse_run", "tagsmith.export.export_run",
    "tagsmith.classify.files.classify_files", "tagsmith.improve.improve_run", "tagsmith.bench.kills",
    "tagsmith.bench.renewal.chain_kills",
    # What torch.onnx.export imports when it is called: three seconds.
    "torch.onnx._internal.exporter._compat", "onnxscript.function_libs.torch_lib.ops",
    "torch._functorch.aot_autograd", "torch._inductor.pattern_matcher",
    "tests.preloaded",
]  # fmt: skip
"""Modules that take seconds to import; a process forked from one that has imported them starts immediately."""


SERVER = "TAGSMITH_TESTS_FORKSERVER"
"""The environment variable with the address of the server that the processes of pytest-xdist share."""


def started_server() -> str:
    """Start the server that forks processes, if this process has none; returns its address."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    forkserver._forkserver.ensure_running()
    return str(vars(forkserver._forkserver)["_forkserver_address"])


def use_server_of_parent() -> None:
    """Let a process of pytest-xdist use the server that its parent has started, if it has.

    The client of multiprocessing is given the address, and a file instead of the pipe whose end tells the server that
    its owner is gone.
    """
    if address := os.environ.get(SERVER):
        client = vars(forkserver._forkserver)
        client |= {"_forkserver_address": address, "_forkserver_alive_fd": os.open(os.devnull, os.O_RDONLY)}
        client["ensure_running"] = resource_tracker.ensure_running


def forkserver_context() -> Any:
    """The context of processes forked from the one server; whoever starts it decides what it has imported."""
    started_server()
    return multiprocessing.get_context("forkserver")


def start_forked(
    function: Callable[..., object], *arguments: Any, folder: Path, written: Sequence[Path], **variables: str
) -> Any:
    """Call a function in `folder`, in a process that is returned; its output and errors go to the two files."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **variables}
    process = forkserver_context().Process(target=_call, args=(function, arguments, folder, environment, *written))
    process.start()
    return process


def run_forked(
    function: Callable[..., object], *arguments: Any, folder: Path, processes: int = 1, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Call a function in `folder` and wait for it; with several processes, accelerate takes them for those of a launch.

    The exit status is the first that is not 0; output and errors are those of all processes, one after the other.
    """
    sizes: dict[str, str] = {}
    if processes > 1:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        sizes = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        sizes |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
    with tempfile.TemporaryDirectory() as name:
        started: list[tuple[Any, list[Path]]] = []
        for rank in range(processes):
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}
            written = [Path(name, f"{kind}-{rank}") for kind in ("stdout", "stderr")]
            process = start_forked(function, *arguments, folder=folder, written=written, **sizes, **place, **variables)
            started.append((process, written))
        for process, _ in started:
            process.join(300)
        running = [process for process, _ in started if process.exitcode is None]
        for process in running:
            process.kill()
        out, err = ("".join(files[i].read_text(encoding="utf-8") for _, files in started) for i in range(2))
    assert not running, f"{function.__name__}{arguments}: still running after 300 s\n{err}"
    status = next((process.exitcode for process, _ in started if process.exitcode), 0)
    return subprocess.CompletedProcess([function.__name__, *map(str, arguments)], status, out, err)


def run_script(path: Path, overrides: list[str]) -> None:
    """Become `python PATH OVERRIDE ...`."""
    sys.argv = [str(path), *overrides]
    sys.path.insert(0, str(path.parent))
    runpy.run_path(str(path), run_name="__main__")


def _call(
    function: Callable[..., object],
    arguments: tuple[Any, ...],
    folder: Path,
    environment: dict[str, str],
    out: Path,
    err: Path,
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    function(*arguments)
