"""How well does `inkling train mnist --budget 5m` sample? One run, scored by an independent judge.

    python benchmarks/mnist.py --data FOLDER --out runs/benchmark

Trains a judge on the real pictures (unless there is one) and a model (unless there is one), samples
200 pictures a digit in each way, and prints the table. Nothing is timed but the training, and
nothing is asserted. A call is one evaluation of the network for one picture; guidance costs two.
"""

import math
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import torch

from inkling import TextToImage
from inkling.data import Pictures, read
from inkling.evaluate.judge import Judge
from inkling.evaluate.metrics import Scores, frechet, score
from inkling.sampling.calls import network_calls

EACH = 200


def run_cli(*arguments: object) -> float:
    """Run an inkling command; return its wall time in seconds."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "inkling", *map(str, arguments)], check=True)
    return time.monotonic() - started


def some_of_each(pictures: Pictures, first: int, each: int) -> Pictures:
    """`each` pictures of every class from the `first` on, class by class."""
    rows = [torch.where(pictures.labels == label)[0][first : first + each] for label in range(10)]
    return pictures.take(torch.cat(rows))


def margin(share: float, count: int) -> float:
    """Half the 95 % interval of a share (normal approximation with a floor of one count)."""
    return 1.96 * math.sqrt(max(share * (1 - share), 1 / count) / count)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of MNIST; else downloaded.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/benchmark"))
@click.option("--budget", default="5m")
@click.option("--seed", default=0)
@click.option("--set", "assignments", multiple=True)
@click.option("--judge", "judge_path", type=click.Path(path_type=Path), default=None)
@click.option("--scale", default=1.6, help="Guidance of the guided rows.")
@click.option("--steps", default=10, help="Solver steps, at most 10: guided rows take two calls.")
def main(
    data: Path | None,
    out: Path,
    budget: str,
    seed: int,
    assignments: tuple[str, ...],
    judge_path: Path | None,
    scale: float,
    steps: int,
) -> None:
    """Train, draw, judge, print."""
    judge_path = judge_path or out.parent / "judge-mnist"
    folder = [] if data is None else ["--data", data]
    if not judge_path.exists():
        run_cli("train", "judge-mnist", *folder, "--out", judge_path)
    if not (out / "model.safetensors").exists():
        settings = [part for assignment in assignments for part in ("--set", assignment)]
        arguments = ["train", "mnist", *folder, "--out", out, "--budget", budget, "--seed", seed]
        seconds = run_cli(*arguments, *settings)
        click.echo(f"\ntrained in {seconds:.1f} s of wall time, imports and all")

    judge, pipeline = Judge.load(judge_path), TextToImage.load(out)
    card = pipeline.card
    click.echo(
        f"{card.steps} steps, {card.steps * pipeline.recipe.train.batch:,} pictures, "
        f"{card.seconds:.0f} s on {card.device}, {card.precision}"
    )
    test, train = read("mnist", str(data), "test"), read("mnist", str(data), "train")
    reference, seen = judge.examine(test.pixels())
    click.echo(f"judge: {(seen == test.labels.numpy()).mean():.2%} of the real test pictures right")
    real, _ = judge.examine(some_of_each(train, 0, EACH).pixels())
    others, verdicts = judge.examine(some_of_each(train, EACH, EACH).pixels())
    asked = np.repeat(np.arange(10), EACH)
    floor = frechet(others, reference)

    click.echo(f"\n{EACH * 10:,} pictures a row, {EACH} a digit; accuracy with its 95 % interval")
    click.echo(f"{'':34} {'calls':>5} {'prompt acc.':>14} {'Frechet':>8} {'x real':>7} "
               f"{'recall':>7} {'precision':>9}")  # fmt: skip

    def row(name: str, calls: int, found: Scores) -> None:
        half = margin(found.accuracy, EACH * 10)
        click.echo(
            f"{name:34} {calls:5} {found.accuracy:8.2%} ±{half:4.1%} {found.frechet:8.2f} "
            f"{found.frechet / floor:7.2f} {found.recall:7.3f} {found.precision:9.3f}"
        )

    row("real training pictures", 0, score(others, verdicts, asked, reference, real))
    plain = [name for name in pipeline.classes for _ in range(EACH)]
    held_out = [
        train.held_out[digit][i % len(train.held_out[digit])]
        for digit in range(10)
        for i in range(EACH)
    ]
    for name, captions, guidance in (
        ("no guidance", plain, 1.0),
        ("guidance 1.5", plain, 1.5),
        (f"guidance {scale:g}", plain, scale),
        ("held-out phrasings, guidance 1.5", held_out, 1.5),
    ):
        way = pipeline.settings(steps=steps, scale=guidance)
        images = pipeline(captions, seeds=range(len(captions)), settings=way)
        features, verdicts = judge.examine(images)
        calls = network_calls(way, pipeline.recipe.diffusion.noise)
        row(name, calls, score(features, verdicts, asked, reference, real))


if __name__ == "__main__":
    main()
