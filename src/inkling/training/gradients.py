"""The gradients of a step: of all at once, part by part, or of parts in threads."""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from inkling.config.train import Train
from inkling.core.rng import stream
from inkling.nets.dropout import dropout_from
from inkling.system.threads import LEAST_ROWS, in_threads, slices
from inkling.training.epochs import StepLosses
from inkling.training.objective import Objective
from inkling.training.state import TrainState


def accumulate_gradients(state: TrainState) -> StepLosses:
    """Add up the gradients of the next step; its losses over all processes."""
    accelerator = state.accelerator
    parts = state.parts()
    total = torch.zeros(3, device=accelerator.device)  # mean loss, low loss, low pictures
    for rows in parts:
        if state.threads > 1:
            total += _in_threads(state, rows)
            continue
        # Processes reduce gradients once a step, after the last part; DDP decides in the forward.
        with state.gradient_sync(rows is parts[-1]):
            # FSDP gathers weights inside the objective, so autocast must be on around it.
            with accelerator.autocast() if state.sharded else nullcontext():
                part = _losses(state, rows)
            loss = part.each.mean() / len(parts)
            accelerator.backward(loss)
        total += part.sums(loss.detach())
    over_processes: Tensor = accelerator.reduce(total, "mean")
    return StepLosses(over_processes[0], over_processes[1:])


class _Part(NamedTuple):
    """The losses of some rows."""

    each: Tensor
    """[b] of each row, with its graph."""
    low: Tensor
    """[b] or []: 1 where the row has low noise."""

    def sums(self, loss: Tensor) -> Tensor:
        """[3]: what this part adds to the mean loss, its loss and pictures at low noise."""
        each = self.each.detach().float()
        return torch.stack([loss, (each * self.low).sum(), self.low.sum()])


def _losses(state: TrainState, rows: slice) -> _Part:
    inputs = state.objective.inputs(state.gradient_step(rows))
    with _dropout(state, rows):
        losses = state.prepared(*inputs)
    return _Part(losses, state.objective.low_noise(inputs))


def _dropout(state: TrainState, rows: slice) -> AbstractContextManager[None]:
    """Masks that follow from seed, step and first row, whatever else draws random numbers."""
    if not state.objective.dropout:
        return nullcontext()
    seed, device = state.recipe.train.seed, state.accelerator.device
    return dropout_from(stream(seed, "dropout", state.step, rows.start, device=device))


def _in_threads(state: TrainState, rows: slice) -> Tensor:
    """Add the gradients of these rows, in parts that each have a thread; the [3] sums."""
    learning = state.learning
    batch = state.recipe.train.batch

    def work(part: slice) -> tuple[tuple[Tensor | None, ...], Tensor]:
        losses = _losses(state, part)
        loss = losses.each.sum() / batch
        found = torch.autograd.grad(loss, learning, allow_unused=True)
        return found, losses.sums(loss.detach())

    results = in_threads(work, slices(rows, state.threads))
    for slopes, _ in results:  # in the order of the parts, so that sums are the same each time
        for parameter, slope in zip(learning, slopes, strict=True):
            if slope is not None:
                before = parameter.grad
                parameter.grad = slope if before is None else before.add_(slope)
    sums: Tensor = sum(part for _, part in results)  # type: ignore[assignment]
    return sums


def threads_for(objective: Objective, train: Train, processes: int) -> int:
    """Threads that each compute a part of the rows at hand.

    Args:
        objective: what is learnt.
        train: the number wanted, and the batch.
        processes: over which the batch is shared out already.
    """
    on_cpu = next(objective.parameters()).device.type == "cpu"
    if not on_cpu or processes > 1 or objective.needs_whole_batch:
        return 1
    rows = train.batch // train.accumulation
    return min(train.threads or torch.get_num_threads(), max(1, rows // LEAST_ROWS))
