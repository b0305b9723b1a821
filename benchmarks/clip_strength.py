"""How strongly must a CLIP guide? Digits right against the strength of guidance of the mean.

    inkling train mnist-clip --small --steps 3000 --data FOLDER --out runs/ddpm
    inkling train clip-mnist --data FOLDER --out runs/clip
    inkling train judge-mnist --data FOLDER --out runs/judge
    python benchmarks/clip_strength.py runs/ddpm runs/clip runs/judge --out strength.png

Step size, inner steps and interval are those of the recipe `mnist-clip`, whose own strength is 2.
"""

from pathlib import Path

import click
import numpy as np
from msgspec.structs import replace
from torch import Tensor

from inkling import TextToImage
from inkling.config.recipes import RECIPES
from inkling.data.captions import NUMBERS
from inkling.evaluate.intervals import of_a_share
from inkling.evaluate.judge import Judge
from inkling.runs.preview import by_prompt
from inkling.sampling.clip_guidance import load_guide
from inkling.system.disk import saved
from inkling.visualize import grids
from inkling.visualize.style import COLOURS, MARKERS, drawn, styled

RECOMMENDED = RECIPES["mnist-clip"].sample.clip
WORDS = ("two", "five", "nine")


def sampled(
    pipeline: TextToImage, clip: Path, strength: float, steps: int, words: list[str], count: int
) -> Tensor:
    """`count` pictures of each word, uint8 [N, C, H, W]."""
    settings = replace(RECOMMENDED, model=str(clip), strength=strength, steps=steps)
    guide = load_guide(settings, words, pipeline.device) if strength else None
    captions = [word if guide else "" for word in words for _ in range(count)]
    return pipeline(
        captions, seeds=range(len(captions)), guide=guide, sampler="ddpm", steps=steps, batch=100
    )


Found = dict[str, list[tuple[float, float, float]]]
"""(share, lower and upper end of its interval) at each strength, by word."""


def draw(strengths: list[float], shares: Found, out: Path) -> None:
    """Share of each word with its interval, against strength."""
    with styled():
        figure, axis = drawn(6.2, 3.8)
        for (word, found), colour, marker in zip(shares.items(), COLOURS, MARKERS, strict=False):
            share, low, high = 100 * np.array(found).T
            axis.plot(strengths, share, color=colour, marker=marker, label=word)
            axis.fill_between(strengths, low, high, color=colour, alpha=0.12)
        axis.axvline(RECOMMENDED.strength, color="grey", linestyle=":")
        axis.set_xscale("symlog", linthresh=0.1, linscale=0.3)
        axis.set_xlim(-0.01, 1.15 * max(strengths))
        axis.set_xticks(strengths, [f"{each:g}" for each in strengths])
        axis.set_xlabel("strength")
        axis.set_title("digits as prompted, % (with 95 % intervals)")
        axis.legend()
        saved(figure.savefig, out)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("clip", type=click.Path(path_type=Path))
@click.argument("judge", type=click.Path(path_type=Path))
@click.option("--strengths", default="0,0.06,0.12,0.25,0.5,1,2,4,8", show_default=True)
@click.option("--steps", default=100, show_default=True, help="Solver steps; the recipe has 1000.")
@click.option("--count", default=50, show_default=True, help="Pictures of each word.")
@click.option("--words", default=",".join(WORDS), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("strength.png"))
@click.option("--sheet", type=click.Path(path_type=Path), help="Pictures of the last strength.")
def main(
    run: Path,
    clip: Path,
    judge: Path,
    strengths: str,
    steps: int,
    count: int,
    words: str,
    out: Path,
    sheet: Path | None,
) -> None:
    """Sample, judge, print, draw."""
    pipeline, reader = TextToImage.load(run), Judge.load(judge)
    wanted, levels = words.split(","), [*map(float, strengths.split(","))]
    shares: Found = {word: [] for word in wanted}
    for strength in levels:
        images = sampled(pipeline, clip, strength, steps, wanted, count)
        seen = reader.examine(images)[1].reshape(len(wanted), count)
        for word, row in zip(wanted, seen, strict=True):
            right = row == NUMBERS.index(word) if word in NUMBERS else np.zeros(count, bool)
            interval = of_a_share(int(right.sum()), count)
            shares[word].append((float(right.mean()), interval.low, interval.high))
            others = ", ".join(f"{NUMBERS[d]} {n}" for d, n in enumerate(np.bincount(row)) if n)
            print(f"strength {strength:g}  {word!r}: {right.mean():.1%}  ({others})", flush=True)
    draw(levels, shares, out)
    if sheet:
        rows = by_prompt(images.numpy(), wanted)
        grids.save(grids.sheet([(name, each[:12]) for name, each in rows], cell=56), sheet)


if __name__ == "__main__":
    main()
