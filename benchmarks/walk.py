"""How far one has to read: the files that a recipe, a batch and a caption visit.

python benchmarks/walk.py

Counts the files of inkling that are entered while a run is prepared, while the gradients of one
batch are computed, and while a prompt is sampled, and how often a call goes up a layer.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import inkling
from inkling import RECIPES, TextToImage, override
from inkling.training.gradients import accumulate_gradients
from inkling.training.prepare import prepare

_HOUSE = Path(inkling.__file__).parent
_LAYERS = (
    ("errors", "contracts", "settings", "pixels", "lazy"),
    ("system",),
    ("core", "nets", "text", "data"),
    ("config",),
    ("models",),
    ("training", "sampling"),
)


def _layer(file: str) -> int:
    room = Path(file).relative_to(_HOUSE).parts[0].removesuffix(".py")
    return next((i for i, rooms in enumerate(_LAYERS) if room in rooms), len(_LAYERS))


def walked(work: Callable[[], Any]) -> tuple[int, int]:
    """(files entered, calls from a file to one of a higher layer) while some work is done."""
    files: set[str] = set()
    climbs: set[tuple[str, str]] = set()

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        here, caller = frame.f_code.co_filename, frame.f_back
        if event != "call" or not here.startswith(str(_HOUSE)):
            return
        files.add(here)
        there = caller.f_code.co_filename if caller else ""
        if there.startswith(str(_HOUSE)) and _layer(here) > _layer(there):
            climbs.add((there, here))

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
    return len(files), len(climbs)


def main() -> None:
    """Print the counts."""
    settings = ["train.steps=1", "train.batch=8", "net.widths=16,16", "net.head_width=16"]
    recipe = override(RECIPES["digits"], settings)
    kept: dict[str, Any] = {}

    def train() -> None:
        kept["state"] = prepare(recipe, device_name="cpu")

    train()  # once before, so that imports do not count
    TextToImage(kept["state"].model.eval(), recipe, kept["state"].card)(["seven"], seeds=[0])
    rows = {"a recipe becomes a run": walked(train)}
    rows["a batch"] = walked(lambda: accumulate_gradients(kept["state"]))
    state = kept["state"]
    pipeline = TextToImage(state.model.eval(), state.recipe, state.card)
    rows["a prompt becomes a picture"] = walked(lambda: pipeline(["seven"], seeds=[0]))
    for name, (files, climbs) in rows.items():
        print(f"{name:28} {files:3} files, {climbs:2} calls up a layer")


if __name__ == "__main__":
    main()
