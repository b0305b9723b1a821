"""The records of a run's metrics, read back: whatever a kill or another program left there."""

import json
import math
from pathlib import Path
from typing import Any

_RECORD = {"step", "total", "loss", "grad_norm", "images_per_second", "seconds"}
"""Numbers that every line of `metrics.jsonl` has; the total may be unknown."""


def read_metrics(out: Path) -> list[dict[str, Any]]:
    """The records of a run's `metrics.jsonl`; lines that are cut off or no records are left out."""
    path = out / "metrics.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text("utf-8", errors="replace").splitlines()
    return [record for line in lines if (record := _record(line)) is not None]


def _record(line: str) -> dict[str, Any] | None:
    """The record in a line, if it is one."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not found.keys() >= _RECORD:
        return None
    numbers = [found[name] for name in _RECORD - {"total"}]
    numbers += [found["total"] or 0, found.get("validation_loss", 0)]
    typed = all(isinstance(each, int | float) for each in numbers)
    typed = typed and isinstance(found.get("loss_by_sigma", {}), dict)
    clocks = ("step", "seconds", "images_per_second")
    return found if typed and all(math.isfinite(found[name]) for name in clocks) else None
