"""Do sentences compose? Two runs on `shapes`, one on all combinations, one with a tenth held out.

python benchmarks/shapes.py --out FOLDER [--budget 300]

The exact judge first reads 10,000 freshly drawn pictures, so that a share below 100 % is the
model's. Held out are pairs of colour and shape: the second run never saw, say, a red circle.
"""

import random
from pathlib import Path

import click
import torch

from inkling import TextToImage
from inkling.config.overrides import override
from inkling.config.recipes import RECIPES
from inkling.data import Options, read
from inkling.data.sets.shapes import Scene, held_out_pairs, scenes
from inkling.evaluate.shapes import Faithfulness, faithfulness
from inkling.runs.console import follow
from inkling.runs.session import run

HOLD_OUT = 0.1
FRESH = 10_000


def judged_itself() -> float:
    """Share of freshly drawn pictures that the judge reads right in everything."""
    fresh = read("shapes", split="test", options=Options(limit=FRESH))
    known = scenes(0.0, held=False)
    right = [
        faithfulness([known[group] for group in fresh.group[rows]], fresh.at(rows)).everything
        for rows in torch.split(torch.arange(FRESH), 1000)
    ]
    return sum(right) / len(right)


def draw(model: TextToImage, asked: list[Scene], scale: float) -> Faithfulness:
    """What a model makes of these scenes, every second one said the other way round."""
    captions = [scene.sentences()[row % 2] for row, scene in enumerate(asked)]
    return faithfulness(asked, model(captions, seeds=range(len(asked)), scale=scale))


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the runs.")
@click.option("--budget", default=300.0, show_default=True, help="Seconds for each run.")
@click.option("--count", default=500, show_default=True, help="Pictures a row.")
def main(out: Path, budget: float, count: int) -> None:
    """Train both runs where they are not there yet, and print the table."""
    print(f"the judge reads {judged_itself():.2%} of {FRESH:,} fresh pictures right in everything")
    print("held out:", ", ".join(" ".join(pair) for pair in sorted(held_out_pairs(HOLD_OUT))))
    print(
        f"{'':36}{'colour':>8}{'shape':>8}{'size':>8}{'relation':>10}{'all':>8}{'unreadable':>12}"
    )
    for name, share in (("all combinations", 0.0), (f"{HOLD_OUT:.0%} held out", HOLD_OUT)):
        folder = out / name.replace(" ", "-").replace("%", "")
        if not (folder / "model.safetensors").exists():
            settings = [f"train.budget={budget}", f"data.hold_out={share}"]
            follow(run(override(RECIPES["shapes"], settings), folder), folder)
        model = TextToImage.load(folder)
        for kind, held in (("seen combinations", False), ("held-out combinations", True)):
            asked = list(scenes(HOLD_OUT, held=held))
            random.Random(0).shuffle(asked)
            for scale in (1.0, model.recipe.sample.scale):
                score = draw(model, asked[:count], scale)
                row = f"{name}: {kind}, {scale:g}"
                shares = (score.colour, score.shape, score.size, score.relation, score.everything)
                print(f"{row:44}" + "".join(f"{x:8.1%}" for x in (*shares, score.unreadable)))


if __name__ == "__main__":
    main()
