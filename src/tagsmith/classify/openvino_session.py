"""A graph in OpenVINO, compiled once and then read from the cache folder.

OpenVINO's own cache (CACHE_DIR) names a compiled graph by the path of the graph and writes it in place, so that a
process that has mapped it would see another one after a bundle is replaced. Here its name is made of the content.
"""

import ctypes
import hashlib
import mmap
import os
from collections import deque
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import openvino

from tagsmith.classify.engine import BF16
from tagsmith.classify.prediction import Floats
from tagsmith.core.errors import DataError
from tagsmith.core.files import atomic_path, cache_folder, digest

CACHED_BYTES = 2 * 2**30
"""Largest size of all compiled graphs in the cache folder; the least recently used are removed."""

Content = mmap.mmap | None
"""The file of a compiled graph that a model reads; None: it holds its own."""

_alive: "WeakSet[OpenVinoSession]" = WeakSet()


class OpenVinoSession:
    """A graph that several threads may call concurrently; in a forked process it can neither be called nor freed.

    Args:
        path: the ONNX file.
        at_once: the number of concurrent calls.
        threads: threads of each call.
        precision: fp32 or bf16.

    Attributes:
        widths: the last dimension of each output, by its name.
        metadata: of the graph; none is kept in a compiled one.

    Raises:
        DataError: the file is not a graph.
    """

    def __init__(self, path: Path, at_once: int, threads: int, precision: str):
        self._core = openvino.Core()
        config = {
            "NUM_STREAMS": at_once,
            "INFERENCE_NUM_THREADS": at_once * threads,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == BF16 else "f32",
            "ENABLE_CPU_PINNING": False,  # Threads bound to a core wait for whatever else runs there.
        }
        self._model, content = _compiled(self._core, path, config)
        self.widths = {
            output.get_any_name(): output.get_partial_shape()[-1].get_length() for output in self._model.outputs
        }
        self.metadata: dict[str, str] = {}
        self._free: deque[openvino.InferRequest] = deque()
        self._content = content  # The model reads it, but does not hold it. The last attribute is the last to be freed.
        _alive.add(self)

    def run(self, names: list[str], inputs: dict[str, Any]) -> list[Floats]:
        """The outputs with these names."""
        try:
            request, new = self._free.pop(), False
        except IndexError:  # At most as many as there are concurrent calls, unless Ctrl-C loses one.
            request, new = self._model.create_infer_request(), True
        found = request.infer(inputs, share_inputs=True)
        outputs = [np.asarray(found[name]) for name in names]
        self._free.append(request)
        if new and self._content is not None:
            _unload(self._content)  # The first call has copied weights into the order in which it reads them.
        return outputs


def _compiled(core: openvino.Core, path: Path, config: dict[str, Any]) -> tuple[openvino.CompiledModel, Content]:
    """The compiled graph, from the cache folder if it is there; without a folder that can be written, compiled anew."""
    about = [digest(path), openvino.get_version(), config["INFERENCE_PRECISION_HINT"]]
    about += [str(core.get_property("CPU", name)) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    try:
        place = cache_folder().expanduser() / "openvino" / f"{hashlib.sha256(repr(about).encode()).hexdigest()}.blob"
        place.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder.
        return _compile(core, path, config), None
    try:
        os.utime(place)  # The time of the last use.
        return _mapped(core, place, config)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a damaged file; ValueError: an empty one.
        pass
    compiled = _compile(core, path, config)
    try:
        with atomic_path(place) as temporary:
            temporary.write_bytes(compiled.export_model().getbuffer())
        _remove_old(place.parent)
        return _mapped(core, place, config)  # Less memory than what compiling leaves.
    except (OSError, RuntimeError):
        return compiled, None


def _compile(core: openvino.Core, path: Path, config: dict[str, Any]) -> openvino.CompiledModel:
    try:
        return core.compile_model(path, "CPU", config)
    except RuntimeError as error:  # OpenVINO raises nothing narrower.
        raise DataError(f"{path}: expected a graph that OpenVINO can load: {error}") from error


def _mapped(core: openvino.Core, place: Path, config: dict[str, Any]) -> tuple[openvino.CompiledModel, Content]:
    """Load a compiled graph whose constants stay in the file: processes share them, and memory that runs short."""
    with place.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    tensor = openvino.Tensor(np.frombuffer(content, np.uint8), shared_memory=True)
    model = core.import_model(tensor, "CPU", config)
    _unload(content)  # All constants have been read once, in search of denormals.
    return model, content


def _unload(content: mmap.mmap) -> None:
    """Give up the memory of a mapped file, where the system can; what is read again is loaded again."""
    if hasattr(mmap, "MADV_DONTNEED"):
        content.madvise(mmap.MADV_DONTNEED)


def _remove_old(folder: Path) -> None:
    """Remove the least recently used compiled graphs; processes that have mapped one keep it."""
    total = 0
    files = [(path.stat(), path) for path in folder.glob("*.blob")]
    for stat, path in sorted(files, key=lambda entry: -entry[0].st_mtime):
        total += stat.st_size
        if total > CACHED_BYTES:
            path.unlink(missing_ok=True)


def _keep_in_child() -> None:
    """Never free these in a forked process: they would wait for threads that do not exist there, or abort it."""
    for session in _alive:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_in_child)
