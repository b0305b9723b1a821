"""How fast batches are made: beside a training step, in pictures a second at 32x32, and by one of
several processes.

python benchmarks/feeding.py --data FOLDER_OF_MNIST
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch

from inkling.config.overrides import override
from inkling.config.recipes import MNIST, RECIPES
from inkling.data import Pictures, read
from inkling.data.pictures import Feed
from inkling.training.loop import fit
from inkling.training.objective import GradientStep
from inkling.training.prepare import prepare


def seconds(work: Callable[[int], object], times: int) -> float:
    """Median seconds of one call, after a few to warm up."""
    for call in range(5):
        work(call)
    taken = []
    for call in range(times):
        begun = time.perf_counter()
        work(call)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def feeding(pictures: Pictures, batch: int, times: int = 200) -> float:
    """Median seconds to make a batch: order, wording, mirroring, pixels."""
    feed, wording = Feed(pictures, 0), torch.rand(batch)
    mirrored = wording < 0.5 if pictures.mirror else None
    return seconds(lambda call: feed.batch(call * batch, wording, mirrored), times)


def step_time(data: Path) -> float:
    """Median seconds of a training step of the default recipe."""
    settings = ["train.steps=40", "train.budget=0", "train.previews=0", f"data.path={data}"]
    taken, before = [], time.perf_counter()
    for progress in fit(override(MNIST, settings)):
        now = time.perf_counter()
        if progress.step > 10:
            taken.append(now - before)
        before = now
    return statistics.median(taken)


def inputs_time(name: str, processes: int, batch: int = 256) -> float:
    """Median seconds in which one of several processes makes its inputs of a step."""
    settings = [f"train.batch={batch}", "train.steps=1", f"data.name={name}", "data.validation=0"]
    state = prepare(override(RECIPES["shapes"], settings), device_name="cpu")
    rows = slice(0, batch // processes)
    return seconds(lambda step: state.objective.inputs(GradientStep(step, 0.0, batch, rows)), 20)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="MNIST's files.")
def main(data: Path) -> None:
    """Print how long feeding takes."""
    mnist = read("mnist", str(data))
    batch = MNIST.train.batch
    fed, step = feeding(mnist, batch), step_time(data)
    print(f"mnist, batch {batch}: feeding {fed * 1e3:.3f} ms, step {step * 1e3:.1f} ms: ", end="")
    print(f"{fed / step:.2%} of a step (bar: under 3 %)")
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        mapped = np.memmap(Path(folder, "p"), np.uint8, "w+", shape=(50_000, 3, 32, 32))
        mapped[:] = generator.integers(0, 256, mapped.shape, dtype=np.uint8)
        plain = Pictures(
            images=torch.from_numpy(np.asarray(mapped).copy()),
            group=torch.arange(50_000) % 10,
            groups=tuple((f"class {label}", f"a {label}") for label in range(10)),
            labels=torch.arange(50_000) % 10,
        )
        kinds = {
            "in memory": plain,
            "memory-mapped": Pictures(
                torch.from_numpy(mapped), plain.group, plain.groups, plain.labels
            ),
            "in memory, mirrored": Pictures(
                plain.images, plain.group, plain.groups, plain.labels, mirror=True
            ),
            "shapes, rendered": read("shapes"),
        }
        for name, pictures in kinds.items():
            for size in (64, 256):
                rate = size / feeding(pictures, size, 50)
                print(f"32x32 {name:20} batch {size:3}: {rate:9,.0f} pictures/s")
    print("bar: 50,000 pictures/s at 32x32")
    for name in ("digits", "shapes"):
        alone = inputs_time(name, 1)
        print(f"{name}: pictures, noise and captions of a batch of 256, milliseconds a process:")
        for processes in (1, 2, 4, 8):
            taken = inputs_time(name, processes)
            print(f"  {processes} processes {taken * 1e3:7.2f} ms, {taken / alone:.2f} of one")


if __name__ == "__main__":
    main()
