"""`inkling sample`."""

from pathlib import Path
from typing import Any

import click

from inkling.cli.options import DEVICE
from inkling.errors import UserError
from inkling.overrides import choices
from inkling.recipe import SamplerName


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("prompts", nargs=-1)
@click.option(
    "--count", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures per prompt."
)
@click.option("--steps", type=click.IntRange(min=1), help="Solver steps.")
@click.option("--sampler", help=f"One of {', '.join(choices(SamplerName))}.")
@click.option("--scale", type=float, help="Classifier-free guidance; 1 is none.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the first picture; the next ones count on.",
)
@click.option("--prompts-file", type=click.Path(path_type=Path), help="More prompts, one a line.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="FILE.png or FILE.npz; default RUN/drawn.png."
)
@click.option(
    "--weights",
    type=click.Choice(["ema", "raw"]),
    default="ema",
    show_default=True,
    help="Averaged or last weights.",
)
@DEVICE
def sample(
    run: Path,
    prompts: tuple[str, ...],
    count: int,
    steps: int | None,
    sampler: str | None,
    scale: float | None,
    seed: int,
    prompts_file: Path | None,
    out: Path | None,
    weights: str,
    device: str,
) -> None:
    """Draw PROMPTS with the model in RUN; without a prompt, draw whatever comes.

    Sampler, steps and scale default to what the checkpoint recommends.

    \b
    inkling sample runs/mnist "a handwritten seven"
    inkling sample runs/mnist zero one two --count 200 --scale 1 --out digits.npz
    """
    out = out or (run if run.is_dir() else run.parent) / "drawn.png"
    if out.suffix not in (".png", ".npz"):
        raise UserError(f"--out {out} should end in .png (a sheet) or .npz (arrays)")
    wanted = [*prompts, *(_lines(prompts_file) if prompts_file else ())] or [""]

    from inkling import console
    from inkling.generate import TextToImage

    artist = TextToImage.load(run, device, weights)
    settings = artist.settings(sampler, steps, scale)
    captions = [prompt for prompt in wanted for _ in range(count)]
    seeds = list(range(seed, seed + len(captions)))
    calls = "one call" if settings.scale == 1 else "two calls"
    console.say(
        f"{len(captions)} pictures on {artist.device}: {settings.sampler}, {settings.steps} steps, "
        f"scale {settings.scale:g} ({calls} a solver evaluation)"
    )
    images = _drawn(artist, captions, seeds, settings)
    if console.speaks():
        _write(out, images, wanted, captions, seeds, count)
        click.echo(out)


def _drawn(artist: Any, captions: list[str], seeds: list[int], settings: Any) -> Any:
    """All pictures, uint8 [N, C, H, W]; of several processes each draws its share.

    A picture follows from its seed, so it does not matter who draws it.
    """
    import numpy as np
    from accelerate import PartialState
    from accelerate.utils import gather_object

    from inkling import console

    several = console.processes() > 1
    state = PartialState(cpu=artist.device.type == "cpu") if several else None
    rank, count = (state.process_index, state.num_processes) if state else (0, 1)
    mine = range(rank, len(captions), count)
    batches = artist.batches(
        [captions[row] for row in mine],
        seeds=[seeds[row] for row in mine],
        sampler=settings.sampler,
        steps=settings.steps,
        scale=settings.scale,
    )
    drawn = console.collect(batches, len(mine), artist.shape)
    if not several:
        return drawn
    whole = np.empty((len(captions), *artist.shape), np.uint8)
    for row, part in enumerate(gather_object([drawn])):
        whole[row::count] = part
    return whole


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read prompts from {path}: {error}") from None


def _write(
    out: Path, images: Any, prompts: list[str], captions: list[str], seeds: list[int], count: int
) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".npz":
            import numpy as np

            np.savez_compressed(
                out,
                images=images.transpose(0, 2, 3, 1),
                prompts=np.array(captions, dtype=np.str_),
                seeds=np.array(seeds, dtype=np.int64),
            )
        else:
            from inkling.visualize import grids

            rows = [(p, images[i * count : (i + 1) * count]) for i, p in enumerate(prompts)]
            grids.save(grids.sheet(rows), out)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from None
