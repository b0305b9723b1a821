"""What a machine can do: the arithmetic of a call, and the fastest convolutions.

Imported by the other benchmarks; needs torch alone.
"""

import time
from collections.abc import Callable
from itertools import product

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

CHANNELS, SIDES = (64, 128, 256), (14, 28)


def flops(call: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions of a call."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        call()
    return int(counter.get_total_flops())


def convolution_peak(
    precision: torch.dtype,
    device: torch.device | str = "cpu",
    *,
    batch: int = 64,
    seconds: float = 0.5,
) -> tuple[float, str]:
    """The most FLOP/s of a 3x3 convolution forwards and backwards, and its shape in words.

    Torch uses as many threads as it is set to.

    Args:
        precision: of weights, inputs and gradients.
        device: where.
        batch: pictures of a call.
        seconds: to spend on each shape; the fastest call counts.
    """
    found = []
    for channels, side in product(CHANNELS, SIDES):
        rate = _rate(precision, torch.device(device), batch, channels, side, seconds)
        found.append((rate, f"{channels} channels of {side}x{side}"))
    return max(found)


def _rate(
    precision: torch.dtype,
    device: torch.device,
    batch: int,
    channels: int,
    side: int,
    seconds: float,
) -> float:
    """FLOP/s of one shape: the backward pass is twice the forward one."""
    net = nn.Conv2d(channels, channels, 3, padding=1).to(device, precision)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(batch, channels, side, side, device=device, dtype=precision)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    towards = torch.randn_like(x)
    work = 3 * 2 * 9 * channels**2 * side**2 * batch
    fastest, ends = float("inf"), time.monotonic() + seconds
    while time.monotonic() < ends:
        begun = _now(device)
        net(x).backward(towards)
        fastest = min(fastest, _now(device) - begun)
    return work / fastest


def _now(device: torch.device) -> float:
    """The time in seconds, with everything done that the device was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
