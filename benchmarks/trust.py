"""Whether a run can be trusted: killed again and again, left alone for long, and what safety costs.

python benchmarks/trust.py kills --out FOLDER     25 SIGKILLs at random moments, then compare bits
python benchmarks/trust.py long --out FOLDER      100,000 steps: memory, step time, size of the log
python benchmarks/trust.py cost --out FOLDER --data MNIST    with and without states and validation
python benchmarks/trust.py eta --out FOLDER --data MNIST     the time to go, said and true
"""

import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
import psutil
import torch
from safetensors.torch import load_file

from inkling.config.overrides import override
from inkling.config.recipe import Recipe
from inkling.config.recipes import DIGITS, MNIST
from inkling.models import checkpoint
from inkling.models.checkpoint import FILE, checkpoints
from inkling.runs.session import run
from inkling.training.loop import fit

TINY = [
    "net.widths=16,16",
    "net.embedding=32",
    "net.head_width=8",
    "text.width=16",
    "text.heads=2",
    "text.vocabulary_size=300",
    "train.batch=8",
    "train.budget=0",
]


@click.group()
def cli() -> None:
    """Four trials of the trust that a run deserves."""


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--count", default=25, show_default=True, help="Kills.")
def kills(out: Path, count: int) -> None:
    """Kill one run at random moments, resume it each time, and compare with one left alone."""
    settings = [*TINY, "train.steps=2000", "train.checkpoint_every=3", "net.dropout=0.1"]
    words = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "inkling", "train", "digits", *words]
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run([*command, "--out", str(out / "whole")], check=True, capture_output=True)
    torn, chances, done, unreadable, partial = out / "torn", random.Random(0), 0, 0, 0
    while not (torn / FILE).exists():
        arguments = [*command, "--out", str(torn), "--resume"]
        with subprocess.Popen(
            arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as process:
            try:
                process.wait(3 + 2 * chances.random() if done < count else None)
            except subprocess.TimeoutExpired:
                process.kill()
                done += 1
        partial += len(list(torn.rglob(".*.partial")))
        for file in checkpoints(torn):
            try:
                checkpoint.read(file)
            except ValueError:
                unreadable += 1
    whole, other = (load_file(folder / FILE) for folder in (out / "whole", torn))
    equal = all(torch.equal(whole[name], other[name]) for name in whole)
    print(f"{done} kills ({partial} while a file was being written), {unreadable} unreadable files")
    print(f"final weights and averages {'equal to the last bit' if equal else 'DIFFER'}")


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--steps", default=100_000, show_default=True)
def long(out: Path, steps: int) -> None:
    """Train a tiny model for long, and look at memory, step time and the log."""
    shutil.rmtree(out, ignore_errors=True)
    smallest = ["text.encoder=label", "net.widths=8", "net.blocks=1", "net.attention=false"]
    smallest += ["net.middle=0", "net.template=0", "train.batch=4", "train.optimiser=adamw"]
    settings = [*TINY, *smallest, f"train.steps={steps}", "train.checkpoint_every=10s"]
    recipe = override(DIGITS, settings)
    process, memory, times = psutil.Process(), [], []
    since, part = time.monotonic(), steps // 20
    for update in run(recipe, out, device_name="cpu"):
        step = update.progress.step
        if step % part == 0:
            memory.append(process.memory_info().rss / 1e6)
            times.append((time.monotonic() - since) / part * 1e3)
            since = time.monotonic()
            print(f"step {step:7}  {memory[-1]:7.1f} MB  {times[-1]:6.3f} ms a step", flush=True)
    first, last = (statistics.mean(part) for part in (memory[2:6], memory[-4:]))
    print(f"memory {first:.1f} to {last:.1f} MB: {last / first - 1:+.2%} (bar: 2 %)")
    first, last = (statistics.median(part) for part in (times[1:10], times[-10:]))
    print(f"step   {first:.3f} to {last:.3f} ms: {last / first - 1:+.2%} (bar: 5 %)")
    print(f"log    {(out / 'metrics.jsonl').stat().st_size / 1e3:.0f} kB")


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="MNIST's files.")
@click.option("--steps", default=800, show_default=True)
def cost(out: Path, data: Path, steps: int) -> None:
    """The default recipe with and without states, validation and metrics, in turns."""
    shutil.rmtree(out, ignore_errors=True)
    common = [f"train.steps={steps // 4}", "train.budget=0", f"data.path={data}"]
    bare = override(MNIST, [*common, "train.previews=0", "train.checkpoint_every=9h"])
    safe = override(MNIST, [*common, "train.previews=0", "train.checkpoint_every=15s"])
    spent: dict[str, float] = {"bare": 0.0, "safe": 0.0}
    for turn in range(4):
        for name, recipe in (
            (("bare", bare), ("safe", safe))
            if turn % 2
            else (
                ("safe", safe),
                ("bare", bare),
            )
        ):
            spent[name] += _timed(recipe, out / f"{name}-{turn}")
    held, state = _single_times(safe, out)
    ratio = spent["safe"] / spent["bare"]
    print(
        f"{steps} steps: {spent['bare']:.1f} s bare, {spent['safe']:.1f} s with a state every 15 s"
    )
    print(f"ratio {ratio:.4f}, within what the machine drifts; so each piece by itself:")
    print(f"one validation {held:.2f} s, one state {state:.2f} s")
    share = (6 * held + 5 * state) / 300
    print(f"six validations and five states are {share:.2%} of a run of five minutes (bar: 3 %)")


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="MNIST's files.")
@click.option("--steps", default=1500, show_default=True)
def eta(out: Path, data: Path, steps: int) -> None:
    """The time to go that a run of a step count shows after a minute, against how long it took."""
    shutil.rmtree(out, ignore_errors=True)
    recipe = override(MNIST, [f"train.steps={steps}", "train.budget=0", f"data.path={data}"])
    said = None
    for update in run(recipe, out, device_name="cpu"):
        progress = update.progress
        if said is None and progress.seconds > 60:
            assert progress.eta is not None, "a step count is known from the start"
            said, since = progress.eta, time.monotonic()
    assert said is not None, "the run took less than a minute; give it more --steps"
    true = time.monotonic() - since
    print(f"after a minute {said:.1f} s to go, in truth {true:.1f} s: {said / true - 1:+.1%}")


def _timed(recipe: Recipe, out: Path) -> float:
    """Seconds from the tenth step to the last."""
    begun = 0.0
    for update in run(recipe, out, device_name="cpu"):
        if update.progress.step == 10:
            begun = time.monotonic()
    return time.monotonic() - begun


def _single_times(recipe: Recipe, out: Path) -> tuple[float, float]:
    """Seconds of one validation, and of writing one training state."""
    last = None
    for last in fit(override(recipe, ["train.steps=2"]), device_name="cpu"):  # noqa: B007
        pass
    assert last is not None
    last.state.validate()
    begun = time.monotonic()
    last.state.validate()
    held = time.monotonic() - begun
    begun = time.monotonic()
    checkpoint.save(out / "state.safetensors", last.state.training_checkpoint())
    return held, time.monotonic() - begun


if __name__ == "__main__":
    cli()
