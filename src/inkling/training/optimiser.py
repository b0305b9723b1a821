"""How weights are updated: AdamW and, optionally, Muon, under one learning-rate schedule."""

import math

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.utils import get_total_norm

from inkling.config.recipe import Train
from inkling.core.muon import Muon
from inkling.system.distributed import distribute_like, full_tensor, gather_to_rank0
from inkling.training.objective import Objective


def learning_rate_factor(
    step: int, total: int | None, warmup: int, decay: float, curve: str = "linear"
) -> float:
    """Fraction of the peak learning rate at `step`, counted from 0: up, level, down to zero.

    `curve` is "linear" or "cosine" (Loshchilov & Hutter 2017, eq. 5).
    """
    if total is not None:
        warmup = min(warmup, total // 4)
    rise = min(1.0, (step + 1) / (warmup + 1))
    if total is None or decay == 0:
        return rise
    left = min(1.0, (total - step) / (decay * total))
    return rise * (left if curve == "linear" else (1 - math.cos(math.pi * left)) / 2)


class Optimisers:
    """AdamW for everything, or Muon for the hidden matrices and AdamW for the rest.

    Args:
        train: rates and kinds.
        objective: declares which parameters are hidden matrices.
        accelerator: prepared optimisers belong to it.
    """

    def __init__(self, train: Train, objective: Objective, accelerator: Accelerator):
        learning = {n: p for n, p in objective.model.named_parameters() if p.requires_grad}
        hidden = (
            {id(p) for p in objective.hidden_matrices()} if train.optimiser == "muon" else set()
        )
        self.matrices = [p for p in learning.values() if id(p) in hidden]
        # Only AdamW's gradients are clipped: Muon's step has one length whatever its gradient's.
        self.clipped = [p for p in learning.values() if id(p) not in hidden]
        beta1, beta2 = train.betas
        self.plain: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                self.clipped,
                train.lr,
                betas=(beta1, beta2),
                weight_decay=train.weight_decay,
                fused=True,
            )
        ]
        if self.matrices:
            self.plain.append(Muon(self.matrices, train.muon_lr))
        self.accelerator = accelerator
        self.prepared = [accelerator.prepare(optimiser) for optimiser in self.plain]
        self.peaks = [optimiser.param_groups[0]["lr"] for optimiser in self.plain]
        self.limit = train.clip or math.inf
        self.names = {id(p): name for name, p in learning.items()}

    def step(self, factor: float, loss: Tensor) -> tuple[Tensor, bool]:
        """Update at this fraction of the peak learning rates, unless something is not finite.

        Returns:
            The gradient norm [] of AdamW's parameters before clipping, and whether the weights
            were updated. Processes agree on it, because they have the same gradients.
        """
        norm = full_tensor(self.accelerator.clip_grad_norm_(self.clipped, self.limit))
        watched = norm + loss
        if self.matrices:
            watched = watched + full_tensor(
                get_total_norm([p.grad for p in self.matrices if p.grad is not None])
            )
        finite = bool(torch.isfinite(watched))
        for optimiser, peak in zip(self.prepared, self.peaks, strict=True):
            optimiser.param_groups[0]["lr"] = peak * factor
            if finite:
                optimiser.step()
            optimiser.zero_grad()
        return norm, finite

    def tensors(self) -> dict[str, Tensor]:
        """The optimisers' states, by optimiser, parameter and field."""
        return {
            f"{number}.{self.names[id(p)]}.{key}": gather_to_rank0(torch.as_tensor(value))
            for number, optimiser in enumerate(self.plain)
            for p, state in optimiser.state.items()
            for key, value in state.items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `tensors` gave, in the memory layout of the parameters."""
        for number, optimiser in enumerate(self.plain):
            for p in optimiser.param_groups[0]["params"]:
                prefix = f"{number}.{self.names[id(p)]}."
                found = {
                    k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
                }
                if found:
                    optimiser.state[p] = {key: _laid_out(v, p) for key, v in found.items()}


def _laid_out(tensor: Tensor, pattern: Tensor) -> Tensor:
    """The values of a tensor, with the strides and the device of a parameter of its shape."""
    if tensor.shape != pattern.shape:
        return tensor.to(pattern.device)
    return torch.empty_like(pattern).copy_(distribute_like(tensor, pattern)).detach()
