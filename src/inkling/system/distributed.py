"""Several processes: ranks, broadcast and reduction, and weights sharded over them (FSDP; Zhao et
al. 2023). Tensors that are not sharded pass through unchanged. Depends on torch only.
"""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeGuard

import torch
import torch.distributed as dist
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_main_process() -> bool:
    """Whether this process has rank 0, which prints messages and writes files."""
    return os.environ.get("RANK", "0") == "0"


def process_count() -> int:
    """The number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def agreed_numbers(device: torch.device, *numbers: float) -> tuple[float, ...]:
    """The numbers of rank 0 on every process, so that all processes decide the same."""
    if process_count() == 1:
        return numbers
    kind = torch.float32 if device.type == "mps" else torch.float64
    shared = torch.tensor(numbers, dtype=kind, device=device)
    dist.broadcast(shared, src=0)
    return tuple(shared.tolist())


def any_process(device: torch.device, flag: bool) -> bool:
    """Whether the flag is set on any process."""
    if process_count() == 1:
        return flag
    count = torch.tensor(float(flag), device=device)
    dist.all_reduce(count)
    return bool(count > 0)


def gather_rows(rows: Tensor) -> Tensor:
    """The rows [B / P, ...] of all processes in order, [B, ...], with gradients to each."""
    if process_count() == 1:
        return rows
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(rows))  # type: ignore[no-untyped-call]


def leave() -> None:
    """Destroy the process group, if there is one; otherwise torch aborts on exit."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def shard(model: nn.Module, units: Iterable[nn.Module], device: torch.device) -> None:
    """Shard the weights of a model over all processes, in place.

    Args:
        model: already on the device, with equal weights on every process.
        units: modules whose weights are gathered together, just before they are needed.
        device: the device of the model.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for unit in units:
        if next(unit.parameters(), None) is not None:
            fully_shard(unit, mesh=mesh)
    frozen = {parameter for parameter in model.parameters() if not parameter.requires_grad}
    fully_shard(model, mesh=mesh, ignored_params=frozen)


def set_gradient_sync(model: nn.Module, wanted: bool) -> None:
    """Whether the next backward pass of a sharded model reduces gradients, or only adds to them."""
    if process_count() == 1:
        return
    from torch.distributed.fsdp import FSDPModule

    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(wanted)


def _sharded(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Whether a tensor is sharded. torch imports half a second of modules to know the type."""
    return type(tensor).__name__ == "DTensor"


def to_local(tensor: Tensor) -> Tensor:
    """The rows of a tensor that this process stores, without a copy."""
    return tensor.to_local() if _sharded(tensor) else tensor


def full_tensor(tensor: Tensor) -> Tensor:
    """All rows of a tensor. Every process must call this."""
    return tensor.full_tensor() if _sharded(tensor) else tensor


def gather_to_rank0(tensor: Tensor) -> Tensor:
    """All rows of a tensor on rank 0's CPU, no rows on other ranks. Every process must call it."""
    if not _sharded(tensor):
        return tensor
    full = tensor.full_tensor()
    return full.cpu() if dist.get_rank() == 0 else full.new_empty(0, device="cpu")


def distribute_like(values: Tensor, pattern: Tensor) -> Tensor:
    """Values that every process has in full, sharded like `pattern`."""
    if not _sharded(pattern):
        return values
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(
        values.to(pattern.device), pattern.device_mesh, pattern.placements, src_data_rank=None
    )
