"""Classifier-free guidance: the same noise at rising scales, and away from a negative prompt.

python examples/guidance.py [STEPS]
"""

import sys

from inkling import RECIPES, TextToImage, fit, override
from inkling.visualize import grids

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 600
for progress in fit(override(RECIPES["digits"], [f"train.steps={steps}", "train.previews=0"])):
    if progress.step % 100 == 0:
        print(f"step {progress.step}  loss {progress.loss.item():.3f}")
progress.state.save("runs/guidance")

pipeline = TextToImage.load("runs/guidance")
prompts, seeds = ["three"] * 10, range(10)
rows = [
    (f"scale {scale:g}", pipeline(prompts, seeds=seeds, scale=scale).numpy())
    for scale in (0.0, 1.0, 1.5, 3.0, 8.0)
]
away = pipeline(prompts, seeds=seeds, scale=3.0, negative_prompt="eight")
rows.append(("scale 3, away from eight", away.numpy()))
grids.save(grids.sheet(rows), "runs/guidance.png")
print("look at runs/guidance.png")
