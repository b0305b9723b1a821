"""One optimiser step, and how long it takes."""

import time
from typing import NamedTuple

from torch import Tensor

from inkling.system.threads import one_thread_in_operations
from inkling.training.gradients import accumulate_gradients
from inkling.training.state import TrainState


class Step(NamedTuple):
    """What is known of a step."""

    loss: Tensor
    """[] mean training loss of the batch."""
    grad_norm: Tensor
    """[] gradient norm of AdamW's parameters before clipping."""


def take_step(state: TrainState, factor: float) -> Step:
    """Take the next optimiser step of a run.

    Args:
        state: of the run; changed.
        factor: of the peak learning rates.

    Raises:
        UserError: too many steps in a row had a loss or gradient that is not finite.
    """
    with one_thread_in_operations(state.threads > 1):
        losses = accumulate_gradients(state)
        norm, finite = state.optimisers.step(factor, losses.mean, state.threads)
        state.epochs.add(losses, finite)
        state.finish_step(finite)
    return Step(losses.mean, norm)


def step_seconds(state: TrainState) -> float:
    """Seconds of a step, the shortest of three after a first one; nothing is learnt.

    Args:
        state: of a run that has not begun.
    """
    seconds, scaler = [], state.optimisers.scaler
    scale = scaler.state_dict() if scaler is not None else {}
    for step in range(4):
        state.step = step
        started = time.monotonic()
        with one_thread_in_operations(state.threads > 1):
            loss = accumulate_gradients(state).mean
            state.optimisers.step(0.0, loss, state.threads)
        loss.item()  # waits for the device
        seconds.append(time.monotonic() - started)
    state.step = 0
    if scaler is not None:
        scaler.load_state_dict(scale)
    return min(seconds[1:])
