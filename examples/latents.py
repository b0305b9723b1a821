"""Latent diffusion: a codec learns to compress pictures, a denoiser learns its latents.

python examples/latents.py [STEPS]
"""

import sys

from inkling import RECIPES, TextToImage, fit, override
from inkling.config.codec_recipe import CodecRecipe
from inkling.data import Data
from inkling.visualize import grids

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 800
digits = Data(name="digits")

codec = CodecRecipe(name="codec-digits", source="this example", data=digits)
for progress in fit(override(codec, [f"train.steps={steps}", "autoencoder.latent_channels=4"])):
    if progress.step % 100 == 0:
        print(f"step {progress.step}  loss {progress.loss.item():.3f}")
progress.state.save("runs/codec")
print(f"codec: {progress.state.validate().text}")

settings = ["data.codec=runs/codec", f"train.steps={steps}", "train.previews=0", "net.positions=4"]
for progress in fit(override(RECIPES["digits"], settings)):
    if progress.step % 100 == 0:
        print(f"step {progress.step}  loss {progress.loss.item():.3f}")
progress.state.save("runs/latents")

pipeline = TextToImage.load("runs/latents")  # the codec's weights came along
rows = [(name, pipeline([name] * 8, seeds=range(8)).numpy()) for name in pipeline.classes]
grids.save(grids.sheet(rows), "runs/latents.png")
print("look at runs/latents.png")
