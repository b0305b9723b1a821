"""Muon: momentum with orthogonalised updates of weight matrices (Jordan et al. 2024).

For hidden matrices and flattened convolutions. Vectors, embeddings, the first and the last layer
are trained by AdamW instead.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from inkling.system.distributed import distribute_like, full_tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration: small singular values grow fast, all end in 0.7 .. 1.2."""


def orthogonalised(matrix: Tensor, iterations: int = 5) -> Tensor:
    """The matrix [M, N] with its singular values moved close to 1, by Newton-Schulz iterations.

    Every iterate is a polynomial in the Gram matrix times the input. So the iteration runs on the
    small Gram matrix, and the long side is multiplied twice in all, not twice an iteration.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    total = torch.eye(len(gram), dtype=x.dtype, device=x.device)
    for _ in range(iterations):
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)  # b G + c G^2
        factor.diagonal().add_(a)
        total = factor @ total
        gram = factor @ gram @ factor
    even: Tensor = total @ x
    return even.T if tall else even


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalised updates, for parameters [outputs, inputs, ...]."""

    def __init__(self, matrices: Iterable[Tensor], lr: float = 0.02, momentum: float = 0.95):
        super().__init__(list(matrices), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update the parameters from their gradients."""
        assert closure is None, "Muon takes gradients, not a closure"
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                average: Tensor = state["momentum"]
                average.lerp_(p.grad, 1 - group["momentum"])
                # A sharded matrix is gathered first: orthogonalisation needs all of it.
                ahead = full_tensor(p.grad.lerp(average, group["momentum"])).reshape(len(p), -1)
                update = orthogonalised(ahead)
                # A tall matrix takes a larger step, so that outputs change equally at every shape.
                scale = max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
                p.add_(distribute_like(update.reshape(p.shape), p), alpha=-group["lr"] * scale)
