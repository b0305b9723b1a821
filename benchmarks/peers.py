"""The same task in the same time: inkling beside diffusers and denoising-diffusion-pytorch.

    python benchmarks/peers.py --data FOLDER --judge RUN --out runs/peers --budget 5m

MNIST by digit, one after the other, never at once. Each trains for the same time with the threads
that torch takes by itself, then samples 1,000 pictures in each of its ways, and one judge reads
them. A peer runs at its usual small size, and at the width that needs as many operations a picture
as inkling; in the fastest of bfloat16 or float32, with channels last or not, which is tried first
and not counted. They predict v, unless told otherwise. Previews of inkling are off, since the
others have none. What was measured before is read from --out and not repeated.

The peers have an environment of their own (docs/scaling.md says how to make it).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from peak import convolution_peak
from rich.console import Console
from rich.table import Table
from step_profile import forward_flops

from inkling import RECIPES, TextToImage, override
from inkling.config.cadence import seconds_of
from inkling.data import Pictures, read
from inkling.evaluate.judge import Judge
from inkling.evaluate.metrics import frechet, score
from inkling.runs.metrics import read_metrics
from inkling.training.prepare import prepare

USUAL = {"diffusers": 32, "lucidrains": 32}
"""Widths: that of diffusers' course on MNIST; half of lucidrains' example, which has colours."""
WITHIN = 1.1
"""How much worse than its best distance a way of sampling may be, to be as good."""

STEADY = 0.9
"""The part of the machine's peak below which it was not quiet."""
LAUNCHER = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
open(sys.argv[1], "w").write(str(peak * (1 if sys.platform == "darwin" else 1024)))
sys.exit(status)
"""
"""Starts a command from a small process. Linux counts the memory of the process that starts
another to the peak of the new one, and this one has held all of MNIST and a judge."""

Numbers = dict[str, Any]
"""What was measured of one system, JSON-able."""


def once(path: Path, task: Numbers, measure: Callable[[], Numbers]) -> Numbers:
    """What was measured before of the same task, or is now, and is kept in a file.

    Raises:
        click.ClickException: what the file has was measured of another task.
    """
    asked = json.loads(json.dumps(task, default=str))
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"task": asked} | measure(), indent=1))
    found: Numbers = json.loads(path.read_text())
    if found["task"] != asked:
        raise click.ClickException(
            f"{path} was measured with {found['task']}, and now {asked} is asked for; take another "
            "--out, or the same options"
        )
    return found


def launched(command: list[str], path: Path, environment: dict[str, str] | None = None) -> int:
    """Run a command; the most bytes of memory that it held, which `path` keeps."""
    launcher = [sys.executable, "-c", LAUNCHER, str(path), *command]
    subprocess.run(launcher, check=True, env=environment)
    return int(path.read_text())


def in_peers_python(python: Path, path: Path, task: Numbers) -> Numbers:
    """What the worker answers to a task, which it reads from `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(task, default=str))
    worker = Path(__file__).with_name("peers_worker.py")
    quiet = os.environ | {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}
    quiet.pop("PYTHONPATH", None)  # it is for our environment
    launched([str(python), str(worker), str(path)], path.with_suffix(".memory"), quiet)
    answer: Numbers = json.loads(path.with_suffix(".out.json").read_text())
    return answer


def peer_numbers(
    python: Path, folder: Path, task: Numbers, seconds: float, target: float
) -> Numbers:
    """Train and sample a peer.

    Args:
        python: of the peers' environment.
        folder: for tasks, answers and samples.
        task: what is the same for all peers, its name, and its width if that is fixed.
        seconds: to try each precision and layout.
        target: 10^9 operations a picture that set its width, if that is not fixed.
    """
    if "width" not in task:
        fitted = in_peers_python(
            python, folder / "fit.json", task | {"what": "fit", "gflop": target}
        )
        task = task | {"width": fitted["width"]}
    tried = in_peers_python(
        python, folder / "speed.json", task | {"what": "speed", "seconds": seconds}
    )
    form = {name: tried[name] for name in ("precision", "channels_last")}
    rates = "; ".join(f"{form} {rate:.0f}" for form, rate in tried["rates"].items())
    click.echo(f"{folder.name}: width {task['width']}, pictures/s {rates}")
    found = in_peers_python(
        python, folder / "run.json", task | form | {"what": "run", "out": folder}
    )
    rate = found["steps"] * task["batch"] / found["seconds"]
    return found | form | {"width": task["width"], "pictures_per_second": rate}


def inkling_numbers(folder: Path, task: Numbers, data: Path, gflop: float) -> Numbers:
    """Train inkling's recipe `mnist` through the command line, and sample it here."""
    run = folder / "run"
    options = [
        *("--data", data, "--out", run, "--budget", f"{task['budget']:g}s"),
        *("--seed", task["seed"], "--set", "train.previews=0"),
        *("--set", f"train.batch={task['batch']}"),
    ]
    command = [sys.executable, "-m", "inkling", "train", "mnist", *map(str, options)]
    folder.mkdir(parents=True, exist_ok=True)
    memory = launched(command, folder / "train.memory")
    pipeline = TextToImage.load(run, "cpu")
    card, last = pipeline.card, read_metrics(run)[-1]
    captions = [name for name in pipeline.classes for _ in range(task["each"])]
    pipeline(captions[::100], seeds=range(len(captions[::100])), steps=2)  # to warm up
    rows: list[Numbers] = []
    for calls, scale in product(task["calls"], task["scales"]):
        steps = calls if scale == 1 else calls // 2
        begun = time.monotonic()
        images = pipeline(captions, seeds=range(len(captions)), steps=steps, scale=scale)
        seconds = time.monotonic() - begun
        file = f"samples-{len(rows)}.npz"
        np.savez(folder / file, images=images.numpy())
        sampler = pipeline.recipe.sample.sampler
        rows.append(
            {"calls": calls, "scale": scale, "sampler": sampler, "seconds": seconds, "file": file}
        )
    return {
        "steps": card.steps,
        "seconds": card.seconds,
        "memory": memory,
        "gflop": gflop,
        "parameters": card.parameters,
        "precision": card.precision,
        "pictures_per_second": last["images_per_second"],
        "samples": rows,
    }


def beside_peaks(measure: Callable[[], Numbers]) -> Numbers:
    """What is measured of a system, and the machine's peak before and after it."""
    before = measured_peak()
    found = measure()
    return found | {"peaks": [before, measured_peak()]}


def scored(folder: Path, rows: list[Numbers], reader: Callable[[torch.Tensor], Numbers]) -> None:
    """Add the scores to every way of sampling."""
    for row in rows:
        with np.load(folder / row["file"]) as arrays:
            row |= reader(torch.from_numpy(arrays["images"]))


def reader_of(judge: Judge, data: Path, each: int) -> Callable[[torch.Tensor], Numbers]:
    """Scores of samples, `each` a digit, digit by digit: accuracy, distance, recall."""
    test, train = read("mnist", str(data), "test"), read("mnist", str(data), "train")
    reference, _ = judge.examine(test.pixels())
    real, _ = judge.examine(_some_of_each(train, 0, each).pixels())
    others, _ = judge.examine(_some_of_each(train, each, each).pixels())
    floor = frechet(others, reference)
    asked = np.repeat(np.arange(10), each)

    def reader(images: torch.Tensor) -> Numbers:
        features, predicted = judge.examine(images)
        found = score(features, predicted, asked, reference, real)
        return {"accuracy": found.accuracy, "times_real": found.frechet / floor,
                "recall": found.recall}  # fmt: skip

    return reader


def _some_of_each(pictures: Pictures, first: int, each: int) -> Pictures:
    """`each` pictures of every digit from the `first` on, digit by digit."""
    rows = [torch.where(pictures.labels == digit)[0][first : first + each] for digit in range(10)]
    return pictures.take(torch.cat(rows))


def chosen(rows: list[Numbers]) -> tuple[Numbers, Numbers]:
    """(the best of those with the fewest calls, the fastest about as good as the best of all)."""
    fewest = min(row["calls"] for row in rows)
    best = min(row["times_real"] for row in rows)
    as_good = [row for row in rows if row["times_real"] <= WITHIN * best]
    return (
        min((row for row in rows if row["calls"] == fewest), key=lambda row: row["times_real"]),
        min(as_good, key=lambda row: row["seconds"]),
    )


def training_table(systems: dict[str, Numbers], peak: Numbers, batch: int) -> Table:
    """How fast each learned."""
    table = Table(
        title=f"training, batch {batch}; peak: {peak['flops'] / 1e9:.0f} GFLOP/s in "
        f"{peak['precision']}, {peak['shape']}, {peak['threads']} threads"
    )
    columns = ("parameters", "precision", "steps", "seconds", "pictures/s", "of inkling")
    more = ("GFLOP a picture", "GFLOP/s", "of peak", "peak memory")
    for heading in ("", *columns, *more):
        table.add_column(heading, justify="right" if heading else "left")
    ours = systems.get("inkling")
    for name, found in systems.items():
        speed = found["pictures_per_second"]
        rate = 3 * found["gflop"] * speed * 1e9
        table.add_row(
            name,
            f"{found['parameters'] / 1e6:.2f}M",
            found["precision"] + ", channels last" * found.get("channels_last", False),
            f"{found['steps']:,}",
            f"{found['seconds']:.1f}",
            f"{speed:.0f}",
            f"{speed / ours['pictures_per_second']:.2f}" if ours else "",
            f"{found['gflop']:.4f}",
            f"{rate / 1e9:.1f}",
            f"{rate / peak['flops']:.1%}",
            f"{found['memory'] / 1e6:,.0f} MB",
        )
    return table


def sampling_table(systems: dict[str, Numbers], each: int) -> Table:
    """How well and how fast each samples: with few calls, and as well as it can."""
    table = Table(title=f"{each * 10:,} samples; each system's best way with the fewest calls, and "
                  "the fastest way within 10 % of its own best distance")  # fmt: skip
    columns = ("calls", "sampler", "scale", "accuracy", "x real", "of inkling", "recall")
    for heading in ("", *columns, "seconds", "of inkling"):
        table.add_column(heading, justify="right" if heading else "left")
    ours = chosen(systems["inkling"]["samples"]) if "inkling" in systems else None
    for number, kind in enumerate(("few calls", "its best")):
        for name, found in systems.items():
            row = chosen(found["samples"])[number]
            beside = ours[number] if ours else None
            table.add_row(
                f"{name}, {kind}",
                str(row["calls"]),
                row["sampler"],
                f"{row['scale']:g}",
                f"{row['accuracy']:.1%}",
                f"{row['times_real']:.2f}",
                f"{row['times_real'] / beside['times_real']:.2f}" if beside else "",
                f"{row['recall']:.3f}",
                f"{row['seconds']:.2f}",
                f"{row['seconds'] / beside['seconds']:.2f}" if beside else "",
            )
        table.add_section()
    return table


def speed_of(peak: Numbers) -> float:
    """FLOP/s of a peak."""
    found: float = peak["flops"]
    return found


def measured_peak() -> Numbers:
    """The fastest convolution in either precision, on all threads."""
    rates = {}
    for precision in (torch.float32, torch.bfloat16):
        rates[str(precision).removeprefix("torch.")] = convolution_peak(precision)
    precision_name = max(rates, key=lambda name: rates[name])
    flops, shape = rates[precision_name]
    return {"flops": flops, "shape": shape, "precision": precision_name,
            "threads": torch.get_num_threads()}  # fmt: skip


def pictures_file(data: Path, path: Path) -> Path:
    """The training pictures of MNIST as arrays, for those that do not know inkling."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        train = read("mnist", str(data), "train")
        np.savez(path, images=train.pixels().numpy(), labels=train.labels.numpy())
    return path


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="MNIST's files.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/peers"))
@click.option("--judge", "judge_path", type=click.Path(path_type=Path), required=True,
              help="A run of `inkling train judge-mnist`.")  # fmt: skip
@click.option("--budget", default="5m", show_default=True, help="For each to train.")
@click.option("--peer", "peers", multiple=True, help="Who takes part; all, if not given.",
              type=click.Choice(["inkling", *USUAL]))  # fmt: skip
@click.option("--size", "sizes", multiple=True, type=click.Choice(["usual", "matched"]),
              help="Of the peers: their usual width, or that of our operations; both.")  # fmt: skip
@click.option("--peers-python", type=click.Path(path_type=Path, exists=True), required=True,
              help="The interpreter of the peers' environment.")  # fmt: skip
@click.option("--batch", default=64, show_default=True)
@click.option("--lr", default=1e-3, show_default=True, help="Peak rate of the peers.")
@click.option(
    "--prediction",
    type=click.Choice(["v", "noise"]),
    default="v",
    show_default=True,
    help="Of the peers: their examples predict noise, which few calls sample badly.",
)
@click.option("--calls", multiple=True, type=int, default=(10, 20, 50), show_default=True)
@click.option("--scale", "scales", multiple=True, type=float, default=(1.0, 1.5),
              show_default=True, help="Of guidance; 1 is none.")  # fmt: skip
@click.option("--each", default=100, show_default=True, help="Samples a digit.")
@click.option("--trial", default=5.0, show_default=True, help="Seconds to try each precision.")
@click.option("--seed", default=0, show_default=True)
def main(
    data: Path,
    out: Path,
    judge_path: Path,
    budget: str,
    peers: tuple[str, ...],
    sizes: tuple[str, ...],
    peers_python: Path,
    batch: int,
    lr: float,
    prediction: str,
    calls: tuple[int, ...],
    scales: tuple[float, ...],
    each: int,
    trial: float,
    seed: int,
) -> None:
    """Train all, sample all, judge all, print."""
    judge = Judge.load(judge_path)
    task = {"budget": seconds_of(budget), "batch": batch, "seed": seed, "each": each,
            "calls": sorted(calls), "scales": scales}  # fmt: skip
    recipe = override(RECIPES["mnist"], [f"data.path={data}", f"train.batch={batch}"])
    gflop = forward_flops(prepare(recipe, device_name="cpu")) / 1e9

    names = peers or ("inkling", *USUAL)
    systems: dict[str, Numbers] = {}
    if "inkling" in names:
        folder = out / "inkling"
        systems["inkling"] = once(
            folder / "numbers.json",
            task,
            lambda: beside_peaks(lambda: inkling_numbers(folder, task, data, gflop)),
        )
    file = pictures_file(data, (out / "mnist.npz").resolve())
    for size, name in product(sizes or ("usual", "matched"), USUAL):
        if name not in names:
            continue
        folder = (out / f"{name}-{size}").resolve()
        given = task | {"peer": name, "data": file, "lr": lr, "prediction": prediction}
        given |= {"width": USUAL[name]} if size == "usual" else {}
        systems[f"{name}, {size}"] = once(
            folder / "numbers.json",
            given,
            partial(
                beside_peaks,
                partial(peer_numbers, peers_python, folder, given, trial, gflop),
            ),
        )

    reader = reader_of(judge, data, each)
    for name, found in systems.items():
        scored(out / name.replace(", ", "-"), found["samples"], reader)
    console = Console(width=150)
    peak = max((each for found in systems.values() for each in found["peaks"]), key=speed_of)
    console.print(training_table(systems, peak, batch))
    for name, found in systems.items():
        if min(map(speed_of, found["peaks"])) < STEADY * speed_of(peak):
            before, after = (speed_of(each) / 1e9 for each in found["peaks"])
            console.print(
                f"{name}: the machine was slower then ({before:.0f} GFLOP/s before, {after:.0f} "
                f"after); delete its folder in {out} and measure again on a quiet machine"
            )
    console.print(sampling_table(systems, each))


if __name__ == "__main__":
    main()
