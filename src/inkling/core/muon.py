"""Muon: momentum whose update of every weight matrix is made orthogonal (Jordan et al. 2024).

For hidden matrices and flattened convolutions. Vectors, embeddings, the first and the last layer
belong to AdamW beside it.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from inkling.system.distributed import distribute_like, full_tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration: it lifts small singular values fast and leaves all in 0.7 .. 1.2."""


def orthogonalised(matrix: Tensor, iterations: int = 5) -> Tensor:
    """The matrix [M, N] with its singular values brought near 1, by Newton-Schulz products.

    Every iterate is a polynomial in the Gram matrix times the start, so only the small Gram side
    is iterated: the long side is multiplied twice, not twice an iteration.
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
    """Nesterov momentum, orthogonalised; parameters of two or more axes, the first one outputs."""

    def __init__(self, matrices: Iterable[Tensor], lr: float = 0.02, momentum: float = 0.95):
        super().__init__(list(matrices), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update from the gradients at hand."""
        assert closure is None, "the training loop holds the gradients; there is no closure"
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                average: Tensor = state["momentum"]
                average.lerp_(p.grad, 1 - group["momentum"])
                # Sharded weights are made orthogonal whole.
                ahead = full_tensor(p.grad.lerp(average, group["momentum"])).reshape(len(p), -1)
                update = orthogonalised(ahead)
                # A tall matrix gets a larger step, so that outputs change alike at every shape.
                scale = max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
                p.add_(distribute_like(update.reshape(p.shape), p), alpha=-group["lr"] * scale)
