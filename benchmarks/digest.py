"""Shows whether a change altered any number: digests of 50 losses and of samples at a fixed seed.

Run it before and after a change that should alter nothing, on the same machine: the lines are
equal, or the change did more than it says. Float32, one thread.

python benchmarks/digest.py
"""

import hashlib
from tempfile import TemporaryDirectory

import torch

from inkling import RECIPES, TextToImage, fit, override

_SETTINGS = ["train.steps=50", "train.budget=0", "train.precision=float32", "train.previews=0"]
_RUNS = {
    "digits": ["train.batch=32"],
    "shapes": ["train.batch=8", "train.optimiser=adamw", "train.accumulation=2"],
    "mnist-class-l1 (small)": ["train.batch=8", "data.name=digits", "data.size=8"],
}
_PROMPTS = {"shapes": ["a small red circle above a large blue square", ""]}


def main() -> None:
    """Train, sample, and print the digests."""
    torch.set_num_threads(1)
    for name, settings in _RUNS.items():
        recipe = RECIPES[name.split()[0]]
        if "small" in name:
            from inkling.config.recipes import small

            recipe = small(recipe)
        losses = []
        for progress in fit(override(recipe, [*_SETTINGS, *settings]), device_name="cpu"):
            losses.append(progress.loss.detach().double())
        with TemporaryDirectory() as folder:
            progress.state.save(folder)
            pipeline = TextToImage.load(folder, "cpu")
        images = pipeline(_PROMPTS.get(name, ["seven", ""]), seeds=[3, 4], sampler="ddpm", steps=6)
        each = (torch.stack(losses), images)
        marks = [hashlib.sha256(part.numpy().tobytes()).hexdigest()[:12] for part in each]
        print(f"{name:24} loss {marks[0]} (last {losses[-1]:.6f})  samples {marks[1]}")


if __name__ == "__main__":
    main()
