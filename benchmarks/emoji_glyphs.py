"""Emoji that a model has seen, and emoji that it has not: which of all is each sample nearest to?

    python benchmarks/emoji_glyphs.py --out RUN [--budget 20m] [--data FONT.ttf]

Trains the recipe `emoji`, which holds out a tenth of the compositions of a name and a skin tone,
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
from inkling.data import read_pictures
from inkling.evaluate.emoji import every_picture, recognised
from inkling.visualize import grids

SHOWN = 12


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
        command = ["train", "emoji", "--out", str(out), "--budget", budget]
        command += ["--data", data] if data else []
        command += [part for each in assignments for part in ("--set", each)]
        subprocess.run([sys.executable, "-m", "inkling", *command], check=True)
    pipeline = TextToImage.load(out)
    kept = pipeline.recipe.data
    known = every_picture(kept)
    parts = {
        "seen": read_pictures(kept),
        "held out": read_pictures(kept, "held_out"),
    }
    click.echo(f"{pipeline.card.steps} steps, {pipeline.card.seconds:.0f} s; {len(known):,} emoji")
    click.echo(f"{'captions':10} {'scale':>6} {'samples':>8} {'itself':>7} {'name':>7} {'tone':>7}")
    for name, pictures in parts.items():
        rows = np.random.default_rng(0).permutation(len(pictures))[:count]
        names = pictures.names()
        captions = [names[number] for number in rows]
        for scale in scales or (pipeline.recipe.sample.scale,):
            samples = pipeline(captions, seeds=range(len(captions)), scale=scale)
            found = recognised(captions, samples, known)
            click.echo(
                f"{name:10} {scale:6g} {len(captions):8,} {found.itself:7.1%} {found.name:7.1%} "
                f"{found.tone:7.1%}"
            )
        real = pictures.at(torch.from_numpy(rows[:SHOWN])).numpy()
        shown = [("real", real), (f"{name}, scale {scale:g}", samples[:SHOWN].numpy())]
        path = out / f"{name.replace(' ', '-')}.png"
        grids.save(grids.sheet(shown, cell=64), path)
        click.echo(f"{path}: {'; '.join(captions[:SHOWN])}")


if __name__ == "__main__":
    main()
