"""One model sharded over the processes of a launch: each holds a part of every weight, its gradient and Adam's moments.

The weights of a layer are gathered while the layer computes, and freed afterwards. Rajbhandari et al., ZeRO,
arXiv 1910.02054; Zhao et al., PyTorch FSDP, arXiv 2304.11277; torch's `fully_shard` does the work. Checkpoints and the
run's weights hold gathered tensors, so that sharded and unsharded trainings resume from each other's.
"""

import logging
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

log = logging.getLogger("tagsmith")


def shard(encoder: Any, head: nn.Module, accelerator: Accelerator) -> None:
    """Keep only this process's part of the weights of an encoder and a head, on its device.

    From here on all processes must make the same number of forward passes: each gathers weights from all of them.
    """
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    layers = [layer for part in encoder.modules() if isinstance(part, nn.ModuleList) for layer in part]
    # The innermost modules first; the encoder itself holds what is outside its layers. They move to the device in turn.
    for part in (*reversed(layers), encoder.get_input_embeddings(), encoder, head):
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
    weights = [*encoder.parameters(), *head.parameters()]
    mine, total = sum(share.to_local().numel() for share in weights), sum(share.numel() for share in weights)
    log.info(f"weights sharded over {accelerator.num_processes} processes: {mine:,} of {total:,} on the main one")


def is_sharded(model: nn.Module) -> bool:
    """Whether the weights are sharded over the processes."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def gather(value: Any, keep: bool) -> Any:
    """Sharded tensors gathered on the CPU, anything else unchanged; every process must call this.

    Args:
        value: a tensor or anything else, or a nested dictionary of these.
        keep: whether this process keeps gathered tensors; if not, they are None.
    """
    if isinstance(value, dict):
        return {name: gather(inside, keep) for name, inside in value.items()}
    if not isinstance(value, DTensor):
        return value
    gathered = value.full_tensor()
    return gathered.detach().cpu() if keep else None


def set_weights(model: nn.Module, weights: dict[str, Tensor], strict: bool = False) -> None:
    """Set the named weights to unsharded tensors; if the model is sharded, to those of the main process.

    Raises:
        RuntimeError: a tensor has another shape, or (`strict`) the names are not those of the model.
    """
    if not is_sharded(model):
        model.load_state_dict(weights, strict=strict)
        return
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=strict)
    set_model_state_dict(model, dict(weights), options=options)


def set_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Set an optimiser to a state of unsharded tensors, the same on every process."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    sharded = {
        i: {name: _shard_like(parameters[i], value) for name, value in values.items()}
        for i, values in state["state"].items()
    }
    optimizer.load_state_dict(state | {"state": sharded})


def _shard_like(parameter: Tensor, value: Tensor) -> Tensor:
    if not isinstance(parameter, DTensor) or value.shape != parameter.shape:
        return value
    mesh, placements = parameter.device_mesh, parameter.placements
    # Cloned: a shard is only a view, which would keep the complete tensor in memory.
    return distribute_tensor(value.to(parameter.device), mesh, placements, src_data_rank=None).clone()
