"""Muon: momentum with orthogonalised updates of weight matrices (Jordan et al. 2024).

For hidden matrices and flattened convolutions. Vectors, embeddings, the first and the last layer
are trained by AdamW instead.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from inkling.system.distributed import distribute_like, full_tensor
from inkling.system.threads import in_threads, shared_out

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration: small singular values grow fast, all end in 0.7 .. 1.2."""


def orthogonalised(matrices: Sequence[Tensor], iterations: int = 5) -> list[Tensor]:
    """Each matrix [M, N] with its singular values moved close to 1, by Newton-Schulz iterations.

    Every iterate is a polynomial in the Gram matrix times the input. So the iteration runs on the
    small Gram matrix, and the long side is multiplied twice in all, not twice an iteration. Gram
    matrices of one size are iterated as one batch, whatever their long sides.
    """
    wide = [each.T if each.shape[0] > each.shape[1] else each for each in matrices]
    wide = [each / (each.norm() + 1e-7) for each in wide]
    by_size: dict[int, list[int]] = {}
    for index, each in enumerate(wide):
        by_size.setdefault(len(each), []).append(index)
    even = list(wide)
    for alike in by_size.values():
        grams = torch.stack([wide[index] @ wide[index].T for index in alike])
        for index, polynomial in zip(alike, _polynomial(grams, iterations), strict=True):
            even[index] = polynomial @ wide[index]
    pairs = zip(matrices, even, strict=True)
    return [e.T if matrix.shape[0] > matrix.shape[1] else e for matrix, e in pairs]


def _polynomial(gram: Tensor, iterations: int) -> Tensor:
    """What the iterations multiply matrices with, from their Gram matrices [K, M, M]."""
    a, b, c = _COEFFICIENTS
    total = None
    for iteration in range(iterations):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)  # b G + c G^2
        factor.diagonal(dim1=1, dim2=2).add_(a)
        total = factor if total is None else factor @ total
        if iteration + 1 < iterations:
            gram = factor @ gram @ factor
    assert total is not None, "at least one iteration"
    return total


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalised updates, for parameters [outputs, inputs, ...].

    Args:
        matrices: the parameters.
        lr: learning rate.
        momentum: of the average of gradients.
        threads: over which the matrices are shared out.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        threads: int = 1,
    ):
        super().__init__(list(matrices), {"lr": lr, "momentum": momentum})
        self.threads = threads

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update the parameters from their gradients."""
        assert closure is None, "Muon takes gradients, not a closure"
        for group in self.param_groups:
            learning = [p for p in group["params"] if p.grad is not None]
            for p in learning:
                if not self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            shares = shared_out([_cost(p) for p in learning], self.threads)
            update = partial(self._update, lr=group["lr"], momentum=group["momentum"])
            in_threads(update, [[learning[index] for index in share] for share in shares])

    @torch.no_grad()  # which holds in one thread only
    def _update(self, learning: Sequence[Tensor], lr: float, momentum: float) -> None:
        slopes = [p.grad for p in learning]
        averages = [self.state[p]["momentum"] for p in learning]
        torch._foreach_lerp_(averages, slopes, 1 - momentum)  # type: ignore[arg-type]
        ahead = torch._foreach_lerp(slopes, averages, momentum)  # type: ignore[arg-type]
        # A sharded matrix is gathered first: orthogonalisation needs all of it.
        flat = [_flat(full_tensor(each)) for each in ahead]
        for p, even in zip(learning, orthogonalised(flat), strict=True):
            # A tall matrix takes a larger step, so that outputs change equally at every shape.
            scale = max(1.0, even.shape[0] / even.shape[1]) ** 0.5
            p.add_(distribute_like(_unflat(even, p), p), alpha=-lr * scale)


def _flat(weight: Tensor) -> Tensor:
    """[outputs, ...] as a matrix whose columns lie in the order of the memory: their order does not
    matter, and filters in channels_last need no copy.
    """
    return weight.movedim(1, -1).flatten(1) if weight.ndim == 4 else weight.flatten(1)


def _unflat(matrix: Tensor, pattern: Tensor) -> Tensor:
    """Undo `_flat`."""
    if pattern.ndim != 4:
        return matrix.view(pattern.shape)
    outside, inside, height, width = pattern.shape
    return matrix.view(outside, height, width, inside).movedim(-1, 1)


def _cost(weight: Tensor) -> float:
    """Multiplications that orthogonalising a weight takes, about."""
    short, long = sorted((len(weight), weight.numel() // len(weight)))
    return 17 * short**3 + 2 * short**2 * long
