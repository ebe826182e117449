"""One model spread over the processes of a launch: each holds a share of every weight, its gradient and Adam's moments.

A layer's weights are gathered while the layer computes, and let go of again. Rajbhandari et al., ZeRO,
arXiv 1910.02054; Zhao et al., PyTorch FSDP, arXiv 2304.11277; torch's `fully_shard` does the work. What is gathered for
a checkpoint, or for the run's weights, is what a model in one piece has: either goes on from the other's.
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
    """Leave this process its share of an encoder's and a head's weights, on its device.

    From here on the processes must make the same number of forward passes: each of them gathers weights from all.
    """
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    layers = [layer for part in encoder.modules() if isinstance(part, nn.ModuleList) for layer in part]
    # The innermost first; the encoder is left what stands between its layers. All are moved to the device one by one.
    for part in (*reversed(layers), encoder.get_input_embeddings(), encoder, head):
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
    weights = [*encoder.parameters(), *head.parameters()]
    mine, all_of_them = sum(share.to_local().numel() for share in weights), sum(share.numel() for share in weights)
    log.info(f"weights spread over {accelerator.num_processes} processes: {mine:,} of {all_of_them:,} on the main one")


def is_sharded(model: nn.Module) -> bool:
    """Whether the weights are spread over the processes."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def whole(value: Any, keep: bool) -> Any:
    """Tensors that are spread as whole ones on the CPU, what is not spread as it is; every process must call this.

    Args:
        value: a tensor or anything else, or a dictionary of such, or of dictionaries.
        keep: whether this process wants them; None stands in their place where it does not.
    """
    if isinstance(value, dict):
        return {name: whole(inside, keep) for name, inside in value.items()}
    if not isinstance(value, DTensor):
        return value
    gathered = value.full_tensor()
    return gathered.detach().cpu() if keep else None


def set_weights(model: nn.Module, weights: dict[str, Tensor], strict: bool = False) -> None:
    """Set the weights of these names to whole tensors; where they are spread, to those of the main process.

    Raises:
        RuntimeError: a tensor does not fit, or (`strict`) the names are not those of the model.
    """
    if not is_sharded(model):
        model.load_state_dict(weights, strict=strict)
        return
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=strict)
    set_model_state_dict(model, dict(weights), options=options)


def set_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Set an optimiser to a state of whole tensors, the same on every process."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    spread = {
        i: {name: _spread_like(parameters[i], value) for name, value in values.items()}
        for i, values in state["state"].items()
    }
    optimizer.load_state_dict(state | {"state": spread})


def _spread_like(parameter: Tensor, value: Tensor) -> Tensor:
    if not isinstance(parameter, DTensor) or value.shape != parameter.shape:
        return value
    mesh, placements = parameter.device_mesh, parameter.placements
    # Cloned, as a share is only a view and would keep all of the tensor in memory.
    return distribute_tensor(value.to(parameter.device), mesh, placements, src_data_rank=None).clone()
