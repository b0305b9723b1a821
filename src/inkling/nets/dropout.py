"""Dropout whose masks come from a generator of the thread at hand, not from torch's global one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

_thread = threading.local()


@contextmanager
def dropout_from(generator: torch.Generator) -> Iterator[None]:
    """Within it, dropout in this thread draws its masks from a generator on the model's device."""
    before = _generator()
    _thread.generator = generator
    try:
        yield
    finally:
        _thread.generator = before


def _generator() -> torch.Generator | None:
    """Of this thread; None: torch's global one."""
    generator: torch.Generator | None = getattr(_thread, "generator", None)
    return generator


def with_same_masks(part: Callable[..., Any]) -> Callable[..., Any]:
    """A function that may be called twice, and draws the masks of its first call both times."""
    generator = _generator()
    if generator is None:  # torch replays its own
        return part
    replayed = generator.clone_state()
    calls = count()

    def called(*arguments: Any) -> Any:
        if next(calls) == 0:
            return part(*arguments)
        with dropout_from(replayed):
            return part(*arguments)

    return called


class Dropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014): each value is zero with probability `p`, others grow."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not self.p:
            return input
        kept = torch.empty_like(input).bernoulli_(1 - self.p, generator=_generator())
        return input * kept.div_(1 - self.p)
