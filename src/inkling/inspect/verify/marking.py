"""An answer to an exercise, compared with the exact one and with the usual mistakes."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from inkling.inspect.verify.check import Check

_CLOSE = 1e-4
"""Of the largest exact value: answers may compute in float32."""
_LONGEST = 90
"""Characters of another error in a line of the report."""
Answer = Callable[..., Any]


class Exercise(NamedTuple):
    """A function to write."""

    task: str
    """Its signature, and what it returns."""
    exact: Answer
    arguments: Callable[[torch.Generator], tuple[Any, ...]]
    """Random arguments."""
    mistakes: Mapping[str, Answer]
    """What is usually written in its place, with a hint; found by its values."""


def compared(name: str, exercise: Exercise, answer: Answer) -> Iterator[Check]:
    """An answer against the exact one, on three draws of arguments."""
    task, exact, arguments, mistakes = exercise
    for case in range(3):
        given = arguments(torch.Generator().manual_seed(case))
        title = f"{name} {case + 1}"
        try:
            found = _values(answer(*given))
        except Exception as error:  # an answer may fail in any way
            said = f"{type(error).__name__}: {error}".split("\n")[0][:_LONGEST]
            yield Check(title, f"raised {said}; the task is {task}", ok=False)
            return
        right = _values(exact(*given))
        if found.shape != right.shape:
            shapes = f"shape {list(found.shape)}, where {list(right.shape)} was due"
            yield Check(title, f"{shapes}; the task is {task}", ok=False)
            return
        off, ok = _apart(found, right)
        hints = [
            hint for hint, wrong in mistakes.items() if _apart(found, _values(wrong(*given)))[1]
        ]
        hint = f"; {hints[0]}" if hints and not ok else ""
        measured = f"off by {off:.0e}{hint}" if math.isfinite(off) else "it is not finite"
        yield Check(title, measured, ok)


def _apart(found: Tensor, right: Tensor) -> tuple[float, bool]:
    """The largest difference, and whether it is none."""
    if found.shape != right.shape:
        return math.inf, False
    off = (found - right).abs().max().item()
    return off, off <= _CLOSE * max(1.0, right.abs().max().item())


def _values(answer: Any) -> Tensor:
    """A tensor, array, number or tuple of them as one float64 tensor."""
    if isinstance(answer, Tensor):
        return answer.detach().double().cpu()
    if isinstance(answer, tuple | list):
        return torch.stack([_values(each) for each in answer])
    return torch.as_tensor(np.asarray(answer, dtype=np.float64))
