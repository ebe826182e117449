"""The processes of a launch and their devices: the Accelerator, and what the main process does for the others."""

import atexit
import ctypes
import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, is_initialized
from accelerate.utils import broadcast_object_list, parse_flag_from_env

from tagsmith.config.settings import Precision
from tagsmith.core.cores import cores
from tagsmith.core.errors import SettingsError, TagsmithError
from tagsmith.model.neighbours import yield_to_neighbours

T = TypeVar("T")

KEPT_MEMORY = 2**30
"""Bytes of freed memory that this process keeps at most."""


@atexit.register
def close_group() -> None:
    """Close the connections to the other processes of a launch before Python shuts down.

    Otherwise a thread of gloo does it during the shutdown, and sometimes aborts a process that has finished its work
    (pytorch/pytorch#190489): accelerate then reports a failed launch.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _forget_accelerator() -> None:
    """Let the next Accelerator of this process have another device and precision.

    accelerate keeps both for the life of a process; but a sweep trains several times in one process, and models
    trained in bf16 are evaluated in fp32. With several processes, the state that they share is kept.
    """
    if is_initialized():
        AcceleratorState._reset_state(reset_partial_state=AcceleratorState().num_processes == 1)


def resolved_precision(wanted: Precision, cpu: bool) -> Precision:
    """What `auto` means on this machine: bf16 if the GPU, or without one the CPU, has matrix units for it, else fp32.

    Older GPUs, and CPUs without AMX, only emulate bf16, which is slower than fp32 (see the README).
    """
    if wanted is not Precision.auto:
        return wanted
    if not cpu and not parse_flag_from_env("ACCELERATE_USE_CPU") and torch.cuda.is_available():
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bf16 = bool(torch.cpu.get_capabilities().get("amx_bf16"))
    return Precision.bf16 if has_bf16 else Precision.fp32


def start_accelerator(cpu: bool, precision: Precision = Precision.fp32, **options: Any) -> Accelerator:
    """An Accelerator; in a container, with as many CPU threads as its share of the cores.

    torch starts one thread per visible core: if only a few cores may be used, the threads spend them waiting for each
    other. OMP_NUM_THREADS overrides it. How they wait depends on who else uses the cores, see `neighbours`.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), cores()))
    yield_to_neighbours()
    keep_freed_memory()
    _forget_accelerator()
    resolved = resolved_precision(precision, cpu)
    return Accelerator(cpu=cpu, mixed_precision="no" if resolved is Precision.fp32 else resolved.value, **options)


def keep_freed_memory() -> None:
    """Keep up to `KEPT_MEMORY` of freed memory for the next tensors; does nothing without glibc.

    By default it goes back to the kernel, which clears it before each reuse (see the README).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError):  # Another C library; Windows.
        return
    # M_MMAP_THRESHOLD, of which some versions refuse more than 32 MiB, then M_TRIM_THRESHOLD (man mallopt): alone, the
    # latter would leave all above 128 KiB to the kernel.
    if mallopt(-3, KEPT_MEMORY):
        mallopt(-1, KEPT_MEMORY)


def refuse_launch() -> None:
    """Raises: SettingsError if accelerate is launched to shard the weights, which `train.shard` does instead.

    Call it before creating an Accelerator. With its FSDP, transformers loads the encoder's weights in one process only;
    it shards with the optimiser, too late for the head's start, and not on CPUs.
    """
    for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if parse_flag_from_env(f"ACCELERATE_USE_{name}"):
            raise SettingsError(
                f"accelerate launch: expected --multi_gpu, found {name}; launch with --multi_gpu and train.shard=true."
            )


def from_main(value: Any, accelerator: Accelerator) -> Any:
    """The value of the main process, on every process; all of them must call this."""
    return broadcast_object_list([value])[0] if accelerator.num_processes > 1 else value


def on_main(accelerator: Accelerator, action: Callable[[], T]) -> T | None:
    """Run `action` on the main process while the others wait; if it fails, they exit with the same status.

    All processes must call this. It returns None on all but the main one.
    """
    result: T | None = None
    error: Exception | None = None
    if accelerator.is_main_process:
        try:
            result = action()
        except Exception as raised:
            error = raised
    status = from_main(getattr(error, "exit_status", TagsmithError.exit_status) if error else None, accelerator)
    if error is not None:
        raise error
    if status is not None:
        raise SystemExit(status)
    return result
