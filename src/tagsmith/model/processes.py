"""The processes of a launch: what the main one does alone, how the others learn of it, one training after another."""

import atexit
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

T = TypeVar("T")


@atexit.register
def leave_group() -> None:
    """Close the connections to the other processes of a launch while Python is still whole.

    A thread of gloo that would do so later, while Python ends, at times aborts a process that has done all its work
    (pytorch/pytorch#190489): accelerate then calls the launch failed.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _forget_accelerator() -> None:
    """Let the next Accelerator of this process have a device and a precision of its own.

    accelerate keeps both for the life of a process and refuses others; a sweep trains several times in one, and what
    was trained in bf16 is evaluated in fp32. What the processes of a launch share stays where there are several.
    """
    if is_initialized():
        AcceleratorState._reset_state(reset_partial_state=AcceleratorState().num_processes == 1)


def resolved_precision(wanted: Precision, cpu: bool) -> Precision:
    """What `auto` means on this machine: bf16 where the GPU, or the CPU that takes its place, multiplies in it.

    Older GPUs only emulate bf16, which is slower than fp32. So are CPUs without matrix units for it (AMX): a training
    step of MiniLM took 0.6 times as long as in fp32 with them, 1.5 times with AVX-512's bf16 alone, 3.4 times with
    neither (one machine, of which torch used less and less).
    """
    if wanted is not Precision.auto:
        return wanted
    if not cpu and not parse_flag_from_env("ACCELERATE_USE_CPU") and torch.cuda.is_available():
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bf16 = bool(torch.cpu.get_capabilities().get("amx_bf16"))
    return Precision.bf16 if has_bf16 else Precision.fp32


def start_accelerator(cpu: bool, precision: Precision = Precision.fp32, **options: Any) -> Accelerator:
    """An Accelerator; where this is a container, with as many threads on the CPU as its share of the cores is worth.

    torch starts one for each core that it sees: where few of them may be used at a time, threads that wait for each
    other at every product use that up. OMP_NUM_THREADS goes before it.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), cores()))
    _forget_accelerator()
    resolved = resolved_precision(precision, cpu)
    return Accelerator(cpu=cpu, mixed_precision="no" if resolved is Precision.fp32 else resolved.value, **options)


def refuse_launch() -> None:
    """Raises: SettingsError where accelerate has been told to spread the weights, which `train.shard` does.

    To be called before there is an Accelerator. Its FSDP leaves encoders that transformers loads without weights on all
    but one process, spreads them only with the optimiser, too late for the head's start, and on CPUs not at all.
    """
    for name in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        if parse_flag_from_env(f"ACCELERATE_USE_{name}"):
            raise SettingsError(
                f"accelerate launch: expected --multi_gpu, found {name}; launch with --multi_gpu, and have the weights "
                "spread by train.shard=true."
            )


def from_main(value: Any, accelerator: Accelerator) -> Any:
    """The main process's value, on every process; all of them must call this."""
    return broadcast_object_list([value])[0] if accelerator.num_processes > 1 else value


def on_main(accelerator: Accelerator, action: Callable[[], T]) -> T | None:
    """Run `action` on the main process; where it fails, the other processes leave with the same exit status.

    All processes must call this. Elsewhere than on the main one it gives None.
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
