"""Emoji that a model has seen, and emoji that it has not: which of all is each sample nearest to?

    python benchmarks/emoji_glyphs.py --out RUN [--budget 20m] [--data FONT.ttf]

Trains the recipe `emoji` with a tenth of the compositions of a name and a skin tone held out,
unless there is a run, and scores samples of captions that it was trained on and of those that it
was not. Draws both beside the real ones.
"""

import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import torch

from inkling import TextToImage
from inkling.data import Options, Pictures, read
from inkling.evaluate.emoji import recognised
from inkling.visualize import grids

HOLD_OUT = 0.1
SHOWN = 12


def captions_of(pictures: Pictures) -> list[str]:
    """The first caption of each picture."""
    return [pictures.groups[group][0] for group in pictures.group.tolist()]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The run.")
@click.option("--data", default="", help="A font; else the computer's own.")
@click.option("--budget", default="20m", show_default=True)
@click.option("--count", default=1000, show_default=True, help="Seen captions.")
@click.option("--scale", "scales", multiple=True, type=float, help="Guidance; else the run's own.")
@click.option("--set", "assignments", multiple=True)
def main(
    out: Path,
    data: str,
    budget: str,
    count: int,
    scales: tuple[float, ...],
    assignments: tuple[str, ...],
) -> None:
    """Train, sample, recognise, print."""
    if not (out / "model.safetensors").exists():
        settings = [f"data.hold_out={HOLD_OUT}", *assignments]
        command = ["train", "emoji", "--out", str(out), "--budget", budget]
        command += ["--data", data] if data else []
        command += [part for each in settings for part in ("--set", each)]
        subprocess.run([sys.executable, "-m", "inkling", *command], check=True)
    pipeline = TextToImage.load(out)
    size = pipeline.card.size[0]
    known = read("emoji", data, options=Options(size=size))
    parts = {
        "seen": read("emoji", data, options=Options(size=size, hold_out=HOLD_OUT)),
        "held out": read("emoji", data, "held_out", Options(size=size, hold_out=HOLD_OUT)),
    }
    row = {caption: number for number, caption in enumerate(captions_of(known))}
    click.echo(f"{pipeline.card.steps} steps, {pipeline.card.seconds:.0f} s; {len(known):,} emoji")
    click.echo(f"{'captions':10} {'scale':>6} {'samples':>8} {'own':>7} {'name':>7} {'tone':>7}")
    for name, pictures in parts.items():
        rows = np.random.default_rng(0).permutation(len(pictures))[:count]
        captions = [captions_of(pictures)[number] for number in rows]
        for scale in scales or (pipeline.recipe.sample.scale,):
            samples = pipeline(captions, seeds=range(len(captions)), scale=scale)
            found = recognised(samples, [row[caption] for caption in captions], known)
            click.echo(
                f"{name:10} {scale:6g} {len(captions):8,} {found.own:7.1%} {found.name:7.1%} "
                f"{found.tone:7.1%}"
            )
        real = pictures.at(torch.from_numpy(rows[:SHOWN])).numpy()
        shown = [("real", real), (f"{name}, scale {scale:g}", samples[:SHOWN].numpy())]
        path = out / f"{name.replace(' ', '-')}.png"
        grids.save(grids.sheet(shown, cell=64), path)
        click.echo(f"{path}: {'; '.join(captions[:SHOWN])}")


if __name__ == "__main__":
    main()
