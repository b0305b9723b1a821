"""Weights shared out over processes: each keeps its rows and gathers the others' as it goes (FSDP;
Zhao et al. 2023). Tensors that are not shared out pass through unchanged.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(model: nn.Module, parts: Iterable[nn.Module], place: torch.device) -> None:
    """Share the weights of a model out over all processes, in place.

    Args:
        model: on the device already, alike on every process.
        parts: modules whose weights are gathered together, just before they are needed.
        place: the device.
    """
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    mesh = init_device_mesh(place.type, (dist.get_world_size(),))
    for part in parts:
        if next(part.parameters(), None) is not None:
            fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)


def exchange(model: nn.Module, wanted: bool) -> None:
    """Whether the next backward pass shares out its gradients, or keeps them to add to."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(wanted)


def local(tensor: Tensor) -> Tensor:
    """The rows of a tensor that this process keeps, without a copy."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """All rows of a tensor. Every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def collected(tensor: Tensor) -> Tensor:
    """All rows of a tensor in the first process's memory, none in the others'; all must ask."""
    if not isinstance(tensor, DTensor):
        return tensor
    every = tensor.full_tensor()
    return every.cpu() if dist.get_rank() == 0 else every.new_empty(0, device="cpu")


def like(values: Tensor, pattern: Tensor) -> Tensor:
    """Values that every process has whole, shared out as `pattern` is."""
    if not isinstance(pattern, DTensor):
        return values
    return distribute_tensor(
        values.to(pattern.device), pattern.device_mesh, pattern.placements, src_data_rank=None
    )
