"""How close does a student of few calls come to its teacher? Scored by an independent judge.

    python benchmarks/few_calls.py --data MNIST --teacher RUN --judge JUDGE --out runs/student

Distils the teacher (unless there is a student), samples 200 pictures a digit in each way, and
prints the table: accuracy, and Fréchet distance and recall as ratios. Then it samples 1,000
pictures from the shell, start-up and file included. Nothing is asserted.
"""

from pathlib import Path

import click
import numpy as np
from mnist import EACH, margin, run_cli, some_of_each

from inkling import TextToImage
from inkling.config.recipe import Recipe
from inkling.data import read
from inkling.evaluate.judge import Judge
from inkling.evaluate.metrics import frechet, score
from inkling.models import checkpoint
from inkling.sampling.calls import network_calls


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of MNIST; else downloaded.")
@click.option("--teacher", type=click.Path(path_type=Path), required=True)
@click.option("--judge", "judge_path", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The student.")
@click.option("--calls", default="1,2,4")
@click.option("--budget", default="3m")
@click.option("--scale", type=float, help="Guidance of the teacher.")
@click.option("--shell/--no-shell", default=True, help="Time 1,000 pictures from the shell.")
def main(
    data: Path | None,
    teacher: Path,
    judge_path: Path,
    out: Path,
    calls: str,
    budget: str,
    scale: float | None,
    shell: bool,
) -> None:
    """Distil, sample, judge, print."""
    if not (out / "model.safetensors").exists():
        options = [] if data is None else ["--data", data]
        options += [] if scale is None else ["--scale", scale]
        seconds = run_cli(
            "distil", teacher, "--out", out, "--calls", calls, "--budget", budget, *options
        )
        click.echo(f"\ndistilled in {seconds:.1f} s of wall time, imports and all")
    judge = Judge.load(judge_path)
    test, train = read("mnist", str(data), "test"), read("mnist", str(data), "train")
    reference, _ = judge.examine(test.pixels())
    real, _ = judge.examine(some_of_each(train, 0, EACH).pixels())
    others, verdicts = judge.examine(some_of_each(train, EACH, EACH).pixels())
    asked = np.repeat(np.arange(10), EACH)
    floor = frechet(others, reference)
    known = score(others, verdicts, asked, reference, real)

    recipe = checkpoint.read_recipe(checkpoint.locate(out))
    assert isinstance(recipe, Recipe), "a student is a denoiser"
    assert recipe.distil is not None, "it has a teacher"
    taught = recipe.distil.sample
    ways = [("teacher", TextToImage.load(teacher), taught)]
    student = TextToImage.load(out)
    ways += [("student", student, each.settings) for each in reversed(student.card.by_calls)]
    click.echo(
        f"\n{EACH * 10:,} pictures a row; real pictures: Frechet {floor:.2f}, "
        f"recall {known.recall:.3f}"
    )
    click.echo(f"{'':8} {'calls':>5} {'prompt acc.':>14} {'Frechet':>8} {'x real':>7} "
               f"{'x teacher':>9} {'recall x real':>13}")  # fmt: skip
    usual = None
    for name, pipeline, settings in ways:
        captions = [caption for caption in pipeline.classes for _ in range(EACH)]
        images = pipeline(captions, seeds=range(len(captions)), settings=settings)
        features, seen = judge.examine(images)
        found = score(features, seen, asked, reference, real)
        usual = usual or found
        number = network_calls(settings, recipe.diffusion.noise)
        half = margin(found.accuracy, EACH * 10)
        click.echo(
            f"{name:8} {number:5} {found.accuracy:8.2%} ±{half:4.1%} {found.frechet:8.2f} "
            f"{found.frechet / floor:7.2f} {found.frechet / usual.frechet:9.2f} "
            f"{found.recall / known.recall:13.2f}"
        )
    if not shell:
        return
    words = [*student.classes, "--count", 1000 // len(student.classes)]
    for name, run, options in (
        ("teacher", teacher, []),
        *(("student", out, ["--calls", each.calls]) for each in student.card.by_calls),
    ):
        file = out / "shell.npz"
        seconds = run_cli("sample", run, *words, *options, "--out", file)
        file.unlink()
        click.echo(f"1,000 pictures from the shell, {name} {' '.join(map(str, options))}: "
                   f"{seconds:.2f} s")  # fmt: skip


if __name__ == "__main__":
    main()
