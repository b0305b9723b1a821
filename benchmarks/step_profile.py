"""Where the time of a training step goes.

    python benchmarks/step_profile.py [RECIPE] [--data FOLDER] [--set train.batch=128]

Prints the speed of training beside the fastest convolution of the machine, then the operations in
groups, and the time in which none was running. The training loop is run as it is, in all of its
threads. On the CPU only.
"""

import re
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from peak import convolution_peak, flops
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from inkling import RECIPES, override
from inkling.config.recipe import Recipe
from inkling.config.recipes import small
from inkling.training.loop import Progress, fit
from inkling.training.prepare import prepare
from inkling.training.state import TrainState

WARM_UP = 8
OPTIMISER = "optimiser, clipping, averages"
GROUPS = {
    OPTIMISER: r"_foreach_|_fused_|linalg_vector_norm|lerp",
    "convolution, backward": r"conv\w*backward",
    "convolution, forward": r"conv(?!ert)",
    "normalisation": r"norm",
    "matrix products": r"::(mm|bmm|addmm|baddbmm|matmul|linear|dot|mv)$|attention|mkldnn_linear",
    "casts and copies": r"::(copy_|to|_to_copy|clone|contiguous|cat|stack|fill_|zero_|zeros|pad"
    r"|constant_pad_nd|slice_backward|reorder)$",
    "pointwise and sums": r"::(add|sub|rsub|mul|div|neg|pow|exp|log|sqrt|rsqrt|square|silu|gelu"
    r"|sigmoid|tanh|relu|sin|cos|where|clamp|clamp_min|clamp_max|abs|maximum|minimum|addcmul"
    r"|addcdiv|erfinv|ndtri|sum|mean|var|softmax|_softmax|threshold|logical_\w+|bitwise_\w+"
    r"|eq|ne|lt|le|gt|ge)(_?|_backward|_backward_data)$",
    "other": "",
}
"""What belongs to a group: a pattern of the operation's name; the first that fits counts."""


class Profile(NamedTuple):
    """What was recorded of some steps, in seconds a step."""

    by_operation: dict[tuple[str, str], float]
    """By group and name, added up over threads, without what an operation calls."""
    running: float
    """In which at least one operation was running."""
    wall: float


def is_operation(event: FunctionEvent) -> bool:
    """Whether it is an operation, and not a mark around several or a step of the autograd engine.

    The latter may run Python, as the optimisers do.
    """
    return "::" in event.name and not event.name.startswith("autograd::")


def group_of(event: FunctionEvent) -> str:
    """The group of an operation; all that runs inside an optimiser is the optimiser's."""
    above = event.cpu_parent
    while above is not None:
        if above.name.startswith("Optimizer."):
            return OPTIMISER
        above = above.cpu_parent
    return next(name for name, pattern in GROUPS.items() if re.search(pattern, event.name))


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of (start, end)."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def recorded(run: Iterator[Progress], steps: int) -> Profile:
    """Let a run go on for some steps, and record them in all threads."""
    everywhere = torch._C._profiler._ExperimentalConfig(profile_all_threads=True)
    begun = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU], experimental_config=everywhere) as found:
        for _ in range(steps):
            next(run)
        wall = time.perf_counter() - begun
    events: Any = found.events()
    by_operation: Counter[tuple[str, str]] = Counter()
    spans = []
    for event in events:
        if is_operation(event):
            own = event.self_cpu_time_total / 1e6 / steps
            by_operation[group_of(event), event.name] += own
            spans.append((event.time_range.start, event.time_range.end))
    return Profile(dict(by_operation), covered(spans) / 1e6 / steps, wall / steps)


def timed(run: Iterator[Progress], steps: int) -> list[float]:
    """Seconds of each of some steps."""
    taken = []
    for _ in range(steps):
        begun = time.perf_counter()
        next(run)
        taken.append(time.perf_counter() - begun)
    return taken


def forward_flops(state: TrainState) -> float:
    """Floating-point operations of the loss of a picture, captions included."""
    batch = state.recipe.train.batch
    inputs = state.objective.inputs(state.gradient_step(slice(0, batch)))
    return flops(lambda: state.objective(*inputs)) / batch


def print_profile(found: Profile, top: int) -> None:
    """Print the groups, the longest operations, and what is left."""
    total = sum(found.by_operation.values())

    def row(name: str, seconds: float) -> None:
        click.echo(f"{name:36} {seconds * 1e3:9.2f} {seconds / total:7.1%}")

    click.echo(f"\n{'operations, added up over threads':36} {'ms a step':>9} {'share':>7}")
    for group in GROUPS:
        row(group, sum(own for (of, _), own in found.by_operation.items() if of == group))
    row("all", total)
    click.echo("\nof these")
    longest = sorted(found.by_operation.items(), key=lambda each: -each[1])
    for (group, name), seconds in longest[:top]:
        row(f"{name.removeprefix('aten::')} ({group})"[:36], seconds)
    outside = found.wall - found.running
    click.echo(
        f"\na step while recorded {found.wall * 1e3:.2f} ms"
        f"\nsome operation running {found.running * 1e3:.2f} ms, on average "
        f"{total / found.running:.2f} at a time"
        f"\nno operation running {outside * 1e3:.2f} ms, {outside / found.wall:.1%}: Python, the "
        "autograd engine, and recording itself"
    )


@click.command()
@click.argument("name", metavar="[RECIPE]", default="mnist")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the data set.")
@click.option("--set", "assignments", multiple=True, help="A setting, such as train.batch=128.")
@click.option(
    "--steps", default=20, show_default=True, help="To record, and to time before and after."
)
@click.option("--top", default=12, show_default=True, help="Operations to name.")
@click.option("--small", "is_small", is_flag=True, help="The recipe in a size for a trial.")
def main(
    name: str,
    data: Path | None,
    assignments: tuple[str, ...],
    steps: int,
    top: int,
    is_small: bool,
) -> None:
    """Train for a few steps, and print where the time went."""
    recipe: Recipe = small(RECIPES[name]) if is_small else RECIPES[name]
    settings = [f"train.steps={WARM_UP + 3 * steps}", "train.previews=0", *assignments]
    recipe = override(recipe, settings + ([f"data.path={data}"] if data else []))
    state = prepare(recipe, device_name="cpu")
    precision, batch = state.card.precision, state.recipe.train.batch
    work = forward_flops(state)
    peak, shape = convolution_peak(getattr(torch, precision), batch=batch)
    threads = torch.get_num_threads()

    run = fit(recipe, device_name="cpu")
    timed(run, WARM_UP)
    before, found, after = timed(run, steps), recorded(run, steps), timed(run, steps)
    step = statistics.median(before + after)
    rate = 3 * work * batch / step
    click.echo(
        f"{recipe.name}, batch {batch}, {precision}, {threads} threads"
        f"\n{batch / step:10.1f} pictures/s, {step * 1e3:.2f} ms a step (median)"
        f"\n{work / 1e9:10.4f} GFLOP a picture, forwards"
        f"\n{rate / 1e9:10.1f} GFLOP/s, counting three forward passes"
        f"\n{peak / 1e9:10.1f} GFLOP/s of the fastest 3x3 convolution ({shape})"
        f"\n{rate / peak:10.1%} of it"
    )
    print_profile(found, top)


if __name__ == "__main__":
    main()
