"""The jumps that a student learns, and what it learns of each from its teacher's trajectories."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from inkling.core.jumps import jump_target, state_at
from inkling.training.teacher import Trajectories


class Kept(NamedTuple):
    """What a student needs of N trajectories."""

    noise: Tensor
    """[N, C, H, W] float16: where they start."""
    states: Tensor
    """[N, L, C, H, W] float16: at the levels between which the student jumps; the first is 0."""
    captions: Tensor
    """[N] int64: which caption each has."""


class JumpTable(NamedTuple):
    """All jumps of all numbers of calls, J of them."""

    sigma: Tensor
    """[J] where they begin."""
    sigma_next: Tensor
    """[J] where they end."""
    begins: Tensor
    """[J] int64: the state in `Kept.states` that they begin with; -1: pure noise."""
    ends: Tensor
    """[J] int64: the state that they end in."""
    levels: tuple[float, ...]
    """Of `Kept.states`, rising from 0."""
    until: Tensor
    """[J] cumulative frequency."""

    @classmethod
    def between(cls, ways: Sequence[Sequence[float]]) -> Self:
        """The jumps along some ways, each the noise levels of one number of calls, falling.

        Each way is learnt equally often, whatever its length.
        """
        jumps = [
            (level, after, first)
            for way in ways
            for level, after, first in zip(
                way, [*way[1:], 0.0], [True] + [False] * (len(way) - 1), strict=True
            )
        ]
        inner = {level for level, _, first in jumps if not first}
        levels = tuple(sorted({0.0} | inner))
        frequency = torch.tensor([1 / len(way) for way in ways for _ in way])
        return cls(
            torch.tensor([level for level, _, _ in jumps]),
            torch.tensor([after for _, after, _ in jumps]),
            torch.tensor([-1 if first else levels.index(level) for level, _, first in jumps]),
            torch.tensor([levels.index(after) for _, after, _ in jumps]),
            levels,
            frequency.cumsum(0) / len(ways),
        )

    def keep(self, found: Trajectories, noise: Tensor, sigmas: Tensor, captions: Tensor) -> Kept:
        """What the jumps need of trajectories that went through these levels [S + 1]."""
        sigmas = sigmas.to(found.states)
        states = [state_at(found.states, sigmas, level) for level in self.levels]
        return Kept(noise.half(), torch.stack(states, 1).half(), captions)

    def choose(self, u: Tensor) -> Tensor:
        """A jump for each of these numbers in [0, 1)."""
        return torch.searchsorted(self.until, u, right=True).clamp(max=len(self.sigma) - 1)

    def examples(self, kept: Kept, jump: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(noisy, target [N, C, H, W], sigma [N]) of a jump [N] along each trajectory."""
        device = kept.noise.device
        sigma, after = self.sigma[jump].to(device), self.sigma_next[jump].to(device)
        begins, ends = self.begins[jump].to(device), self.ends[jump].to(device)
        row = torch.arange(len(jump), device=device)
        inner = kept.states[row, begins.clamp(min=0)].float()
        start = sigma.view(-1, 1, 1, 1) * kept.noise
        noisy = torch.where((begins < 0).view(-1, 1, 1, 1), start, inner)
        landed = kept.states[row, ends].float()
        return noisy, jump_target(noisy, landed, sigma, after), sigma
