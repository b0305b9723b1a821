"""A data set of one's own: `find` gives its pictures, an entry in `DATASETS` names it.

Rings and discs of any size, with a sentence each, made when they are read.

python examples/custom_data.py [STEPS]
"""

import sys

import numpy as np

from inkling import RECIPES, TextToImage, fit, override
from inkling.data import DATASETS, Dataset
from inkling.data.source import Item, Source
from inkling.visualize import grids

KINDS = ("a small ring", "a large ring", "a small disc", "a large disc")


def draw(kind: int, rng: np.random.Generator) -> np.ndarray:
    """White on black, uint8 [16, 16]."""
    radius = (3.0, 6.0)[kind % 2] + rng.uniform(-0.5, 0.5)
    centre = 7.5 + rng.uniform(-1.5, 1.5, 2)
    y, x = np.mgrid[:16, :16]
    distance = np.hypot(y - centre[0], x - centre[1])
    ink = np.clip(radius + 0.5 - distance, 0, 1)
    if kind < 2:
        ink *= np.clip(distance - radius + 1.5, 0, 1)
    return (255 * ink).astype(np.uint8)


def find(folder, split, options) -> Source:
    """The pictures of a split, not yet decoded."""

    def items():
        rng = np.random.default_rng(0 if split == "train" else 1)
        for number in range(2000):
            kind = number % 4
            yield Item(f"picture {number}", draw(kind, rng), captions=(KINDS[kind],))

    return Source(items, 2000, files=[], stamp="rings 1")


DATASETS["rings"] = Dataset(
    title="rings and discs",
    find=find,
    licence="CC0",
    citation="this file",
    size=16,
    channels=1,
    mirror=True,
)

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
settings = ["data.name=rings", f"train.steps={steps}", "train.previews=0"]
for progress in fit(override(RECIPES["digits"], settings)):
    if progress.step % 100 == 0:
        print(f"step {progress.step}  loss {progress.loss.item():.3f}")
progress.state.save("runs/rings")
pipeline = TextToImage.load("runs/rings")
rows = [(kind, pipeline([kind] * 8, seeds=range(8)).numpy()) for kind in KINDS]
grids.save(grids.sheet(rows), "runs/rings.png")
print("look at runs/rings.png")
