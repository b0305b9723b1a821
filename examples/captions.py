"""Captions of one's own: arrays and sentences become `Pictures`, and a recipe trains on them.

Here digits are described by parity and size instead of by their names.

python examples/captions.py [STEPS]
"""

import sys

import torch

from inkling import RECIPES, TextToImage, data, fit, override
from inkling.data import Pictures
from inkling.visualize import grids

digits = data.read("digits")
parity = ("an even digit", "an odd digit")
size = ("below five", "five or more")
sentences = [
    (
        parity[label % 2],
        f"{parity[label % 2]}, {size[label >= 5]}",
        f"a digit {size[label >= 5]}",
    )
    for label in range(10)
]
pictures = Pictures(
    images=digits.pixels(),  # uint8 [N, 1, 8, 8]
    group=digits.labels,  # [N]: which group of sentences describes each picture
    groups=tuple(sentences),
    labels=torch.full((len(digits),), -1),
)

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 800
recipe = override(RECIPES["digits"], [f"train.steps={steps}", "train.previews=0"])
for progress in fit(recipe, pictures=pictures.split(100, seed=0)):
    if progress.step % 100 == 0:
        print(f"step {progress.step}  loss {progress.loss.item():.3f}")
progress.state.save("runs/captions")
pipeline = TextToImage.load("runs/captions")
prompts = ["an even digit", "an odd digit, below five", "a digit five or more"]
rows = [(prompt, pipeline([prompt] * 10, seeds=range(10)).numpy()) for prompt in prompts]
grids.save(grids.sheet(rows), "runs/captions.png")
print("look at runs/captions.png")
