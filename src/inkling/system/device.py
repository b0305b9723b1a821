"""The choice of device and precision."""

import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch

from inkling.errors import UserError, unknown_name

CHOICES = ("auto", "cuda", "mps", "cpu")


def choose(name: str = "auto") -> torch.device:
    """The device of that name; "auto" takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        UserError: an unknown name, or a device that this machine lacks.
    """
    if name not in CHOICES:
        raise UserError(unknown_name(name, CHOICES, "device"))
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, present in available.items() if present)
    if not available[name]:
        choices = ", ".join(kind for kind, present in available.items() if present)
        raise UserError(
            f"this machine has no {name} device for torch; choose among auto, {choices}"
        )
    return torch.device(name)


def precision(wanted: str, device: torch.device) -> str:
    """The network's precision as Accelerate names it: "bf16", "fp16" or "no".

    "auto" takes bfloat16 where the hardware supports it natively, and float16 with loss scaling on
    CUDA devices without native bfloat16.

    Raises:
        UserError: float16 on a device without loss scaling.
    """
    if wanted == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
        fallback = "float16" if device.type == "cuda" else "float32"
        wanted = "bfloat16" if native else fallback
    if wanted == "float16" and device.type != "cuda":
        raise UserError(
            f"the precision float16 needs a CUDA device, this is {device.type}; use auto, "
            "float32 or bfloat16"
        )
    return {"bfloat16": "bf16", "float16": "fp16", "float32": "no"}[wanted]


def autocast(wanted: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """What puts a network's arithmetic into a precision: a context manager at every call.

    Raises:
        UserError: as `precision`.
    """
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision(wanted, device))
    if dtype is None:
        return nullcontext
    # A weight is cast once a call anyway, and the cache is one for all threads.
    return partial(torch.autocast, device.type, dtype, cache_enabled=device.type != "cpu")


def usable_cores() -> int:
    """The number of CPU cores that this process may use: by its affinity and its container."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(allowed, _container_cores() or allowed))


def _container_cores(groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The CPU limit of a control group of version 2 or 1, rounded up; None without a limit."""
    try:
        quota, period = (groups / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (groups / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (groups / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return None
    try:
        cores = -(-int(quota) // int(period))
    except (ValueError, ZeroDivisionError):  # "max": no limit
        return None
    return cores if cores > 0 else None


def room(device: torch.device) -> float:
    """Bytes that training images may take on a device: half of the free memory.

    On the CPU there is no limit, since the images are memory-mapped.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 2
    if device.type == "mps":
        return torch.mps.recommended_max_memory() / 2
    return float("inf")


def describe(device: torch.device) -> str:
    """A short description of the device for messages."""
    if device.type == "cuda":
        return f"CUDA, {torch.cuda.get_device_name(device)}"
    if device.type == "mps":
        return f"Apple MPS, {platform.machine()}"
    return f"CPU, {torch.get_num_threads()} threads"
