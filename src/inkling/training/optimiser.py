"""How weights are updated: AdamW and, optionally, Muon, under one learning-rate schedule."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.nn.utils import clip_grad_norm_, get_total_norm

from inkling.config.train import Train
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
        scaler: of the losses in float16, whose gradients come multiplied by its scale (Micikevicius
            et al. 2018, section 3.2); None in other precisions. Nobody else updates it.
    """

    def __init__(self, train: Train, objective: Objective, scaler: GradScaler | None):
        learning = {n: p for n, p in objective.model.named_parameters() if p.requires_grad}
        hidden = (
            {id(p) for p in objective.hidden_matrices()} if train.optimiser == "muon" else set()
        )
        self.matrices = [p for p in learning.values() if id(p) in hidden]
        # Only AdamW's gradients are clipped: Muon's step has one length whatever its gradient's.
        self.clipped = [p for p in learning.values() if id(p) not in hidden]
        beta1, beta2 = train.betas
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                self.clipped,
                train.lr,
                betas=(beta1, beta2),
                weight_decay=train.weight_decay,
                fused=True,
            )
        ]
        if self.matrices:
            self.optimisers.append(Muon(self.matrices, train.muon_lr))
        self.scaler = scaler
        self.peaks = [optimiser.param_groups[0]["lr"] for optimiser in self.optimisers]
        self.limit = train.clip or math.inf
        self.names = {id(p): name for name, p in learning.items()}

    def step(self, factor: float, loss: Tensor, threads: int = 1) -> tuple[Tensor, bool]:
        """Update at this fraction of the peak learning rates, unless something is not finite.

        Args:
            factor: the fraction.
            loss: [] of the step.
            threads: over which Muon's matrices are shared out.

        Returns:
            The gradient norm [] of AdamW's parameters before clipping, and whether the weights
            were updated. Processes agree on it, because they have the same gradients.
        """
        if self.scaler:
            for optimiser in self.optimisers:
                self.scaler.unscale_(optimiser)
        norm = full_tensor(clip_grad_norm_(self.clipped, self.limit))
        watched = norm + loss
        if self.matrices:
            watched = watched + full_tensor(
                get_total_norm([p.grad for p in self.matrices if p.grad is not None])
            )
        finite = bool(torch.isfinite(watched))
        for optimiser, peak in zip(self.optimisers, self.peaks, strict=True):
            optimiser.param_groups[0]["lr"] = peak * factor
            if isinstance(optimiser, Muon):
                optimiser.threads = threads
            if finite:
                optimiser.step()
            optimiser.zero_grad()
        if self.scaler:
            self.scaler.update()  # also after a step that is skipped: a smaller scale comes next
        return norm, finite

    def counters(self) -> dict[str, Any]:
        """What a resumed run needs apart from `tensors`, JSON-able."""
        return {"scaler": self.scaler.state_dict() if self.scaler else {}}

    def tensors(self) -> dict[str, Tensor]:
        """The optimisers' states, by optimiser, parameter and field."""
        return {
            f"{number}.{self.names[id(p)]}.{key}": gather_to_rank0(torch.as_tensor(value))
            for number, optimiser in enumerate(self.optimisers)
            for p, state in optimiser.state.items()
            for key, value in state.items()
        }

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Take back what `tensors` and `counters` gave, in the memory layout of the parameters."""
        if self.scaler and counters.get("scaler"):
            self.scaler.load_state_dict(counters["scaler"])
        for number, optimiser in enumerate(self.optimisers):
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
