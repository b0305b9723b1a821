"""`inkling sample`."""

from contextlib import nullcontext
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from inkling.cli.options import DEVICE, PATH, SEED, WEIGHTS, Interval, Verb, clip_guidance
from inkling.errors import UserError
from inkling.system.disk import check_writable, free_file, saved

if TYPE_CHECKING:
    from inkling.config.sample import Sample
    from inkling.sampling.clip_guidance import Guide
    from inkling.sampling.pipeline import TextToImage


@click.command(cls=Verb)
@click.argument("run", type=PATH)
@click.argument("prompts", nargs=-1)
@click.option("--like", multiple=True, type=PATH, help="A picture as prompt, for a model of "
              "text.encoder=vision.")  # fmt: skip
@click.option(
    "--count", type=click.IntRange(min=1), default=8, show_default=True, help="Pictures per prompt."
)
@click.option("--steps", type=click.IntRange(min=1), help="Solver steps.")
@click.option("--calls", type=click.IntRange(min=1), metavar="N", help="Settings that were "
              "tuned or distilled for at most N network calls a picture.")  # fmt: skip
@click.option("--best", is_flag=True, help="The best of these settings.")
@click.option("--sampler", help="One of `inkling list samplers`.")
@click.option(
    "--eta", type=click.FloatRange(0, 1), help="Fresh noise in the steps of ddim; 0 is none."
)
@click.option("--scale", type=float, help="Classifier-free guidance; 1 is none.")
@click.option("--interval", "guided_levels", type=Interval(), metavar="LOW,HIGH",
              help="It guides where LOW < sigma <= HIGH, such as 0.3,10.")  # fmt: skip
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Of the first picture; the next ones count on.",
)
@click.option("--prompts-file", type=PATH, help="More prompts, one a line.")
@click.option(
    "--out",
    type=PATH,
    help="FILE.png or FILE.npz; default RUN/samples.png, then samples-2.png, ...",
)
@WEIGHTS
@click.option("--not", "avoid", help="A negative prompt; guidance leads away from it.")
@click.option(
    "--mix", "mixes", multiple=True, metavar="A=0.5,B=0.5", help="A weighted sum of prompts."
)
@click.option(
    "--between", type=click.IntRange(min=2), help="Steps from the first prompt to the last."
)
@clip_guidance
@click.option(
    "--judge",
    type=PATH,
    help="A judge that reads the samples, instead of the CLIP.",
)
@DEVICE
def sample(
    run: Path,
    prompts: tuple[str, ...],
    like: tuple[Path, ...],
    count: int,
    steps: int | None,
    calls: int | None,
    best: bool,
    sampler: str | None,
    eta: float | None,
    scale: float | None,
    guided_levels: tuple[float, float] | None,
    seed: int,
    prompts_file: Path | None,
    out: Path | None,
    weights: str,
    avoid: str | None,
    mixes: tuple[str, ...],
    between: int | None,
    guidance: dict[str, Any],
    judge: Path | None,
    device: str,
) -> None:
    """Sample PROMPTS with the model in RUN; without a prompt, sample unconditionally.

    Sampler, steps and scale default to what the checkpoint recommends, with and without a CLIP.

    \b
    inkling sample runs/mnist "a handwritten seven"
    inkling sample runs/mnist zero one two --count 200 --scale 1 --out digits.npz
    inkling sample runs/mnist three --not "a handwritten eight" --scale 2
    inkling sample runs/mnist zero eight --between 9
    inkling sample runs/mnist seven --calls 5
    inkling sample runs/ddpm two --clip runs/clip-mnist
    inkling sample runs/variations --like three.png
    """
    from inkling.runs.outputs import check_output

    usual = (run if run.is_dir() else run.parent) / "samples.png"
    if out is not None and out.suffix not in (".png", ".npz"):
        raise UserError(f"--out {out} should end in .png (a sheet) or .npz (arrays)")
    if out is not None:
        check_output(out)
    check_writable(out or usual)
    plain = [*prompts, *(_lines(prompts_file) if prompts_file else ())]
    if plain and like:
        raise UserError("a model reads texts or pictures: give prompts or --like, not both")

    from inkling.sampling.parallel import sample_all
    from inkling.sampling.pipeline import TextToImage
    from inkling.system.distributed import is_main_process, process_count
    from inkling.system.progress import bar

    pipeline = TextToImage.load(run, device, weights)
    wanted = _wanted([*plain, *like], mixes, between)
    guide = _guide(pipeline, guidance, plain, mixed=bool(mixes or between), like=bool(like))
    titles = [_named(prompt) for prompt in wanted]
    known = pipeline.named(wanted, guide)
    first = [pipeline.picture(p).numpy() if isinstance(p, Path) else None for p in wanted]
    reader = None
    if guide or judge:
        from inkling.evaluate import class_shares

        reader = class_shares.reader_for(guide, plain, judge)
    settings = pipeline.settings(
        guided=guide is not None,
        calls=calls,
        best=best,
        sampler=sampler,
        steps=steps,
        eta=eta,
        scale=scale,
        interval=guided_levels,
        negative_prompt=avoid,
    )
    captions = [prompt for prompt in known for _ in range(count)]
    # On the way between two prompts every picture starts from the same noise.
    seeds = [seed + (row % count if between else row) for row in range(len(captions))]
    _announce(pipeline, settings, [""] if guide else known, len(captions))
    mine = -(-len(captions) // process_count())
    with bar("sampling", mine) as advance:
        images = sample_all(pipeline, captions, seeds, settings, guide, advance=advance)
    if is_main_process():
        with free_file(usual) if out is None else nullcontext(out) as file:
            _write(file, images.numpy(), titles, first, seeds)
        click.echo(file)
    if reader:
        without = sample_all(pipeline, [""] * len(captions), seeds, settings)
        if is_main_process():
            click.echo(class_shares.table(reader, plain, images, without))


def _guide(
    pipeline: "TextToImage", guidance: dict[str, Any], plain: list[str], *, mixed: bool, like: bool
) -> "Guide | None":
    """The CLIP that was asked for, or that the recipe recommends for these prompts.

    Raises:
        UserError: a CLIP, and prompts that it cannot read; or as `guide_for`.
    """
    from inkling.sampling.clip_guidance import guide_for

    if guidance and mixed:
        raise UserError("a CLIP guides towards plain prompts; leave --mix and --between out")
    if guidance and like:
        raise UserError("a CLIP reads prompts in words; leave --like out, or --clip")
    recommended = pipeline.recipe.sample.clip
    return guide_for(recommended, guidance, [] if mixed else plain, pipeline.device)


def _announce(pipeline: "TextToImage", settings: "Sample", read: list[Any], count: int) -> None:
    """Say how many pictures are sampled, and how."""
    from inkling.runs import console
    from inkling.sampling.calls import advice

    unguided = settings.scale == 1 or all(each == settings.negative_prompt for each in read)
    calls = "one call" if unguided else "two calls"
    console.say(
        f"{count} pictures on {pipeline.device}: {settings.sampler}, {settings.steps} steps, "
        f"scale {settings.scale:g} ({calls} a solver evaluation)"
    )
    if said := advice(settings):
        console.say(f"note: {said}")


def _wanted(plain: list[Any], mixes: tuple[str, ...], between: int | None) -> list[Any]:
    """What to sample: prompts, mixtures, or the way from one prompt to another.

    Raises:
        UserError: not two prompts to go between, or a mixture that cannot be read.
    """
    if between is None:
        return [*plain, *map(_mixture, mixes)] or [""]
    if mixes:
        raise UserError("--between goes from one prompt to another; leave --mix out")
    if len(plain) != 2:
        raise UserError(f"--between {between} takes exactly two prompts, from and to")
    from inkling.sampling.prompts import between as on_the_way

    return on_the_way(plain[0], plain[1], between)


def _mixture(text: str) -> dict[str, float]:
    """The captions and weights of "zero=0.5,eight=0.5"; a weight left out is 1, and those of one
    caption are summed.

    Raises:
        UserError: a part without a caption, or a weight that is no number or stands behind a colon.
    """
    parts: dict[str, float] = {}
    for part in text.split(","):
        caption, sign, weight = part.rpartition("=")
        name = (caption if sign else part).strip()
        number = _number(weight) if sign else 1.0
        colon = not sign and _number(part.rpartition(":")[2]) is not None and ":" in part
        if number is None or colon or not (name or sign):
            raise UserError(
                f"--mix takes captions and weights, such as zero=0.5,eight=0.5; got {text!r}"
            )
        parts[name] = parts.get(name, 0.0) + number
    return parts


def _number(text: str) -> float | None:
    """A finite number; None if the text is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _named(prompt: Any) -> str:
    """A prompt, a picture or a mixture as text."""
    if isinstance(prompt, Path):
        return f"like {prompt.name}"
    if isinstance(prompt, str):
        return prompt
    return " + ".join(f"{weight:.2g} {_named(part)}" for part, weight in prompt.items() if weight)


def _lines(path: Path) -> list[str]:
    """The prompts in a file, one a line.

    Raises:
        UserError: it cannot be read, or holds none.
    """
    from inkling.data.sources.labels import lines

    try:
        found = [line.strip() for line in lines(path.read_text("utf-8-sig")) if line.strip()]
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text; --prompts-file takes one prompt a line") from None
    except OSError as error:
        raise UserError(f"cannot read prompts from {path}: {error.strerror}") from None
    if not found:
        raise UserError(
            f"there is no prompt in {path}; write one a line, or leave --prompts-file out"
        )
    return found


def _write(out: Path, images: Any, prompts: list[str], first: list[Any], seeds: list[int]) -> None:
    """Write a sheet with a row for each prompt, its picture first if it has one; or arrays."""
    if out.suffix == ".npz":
        import numpy as np

        arrays = {
            "images": images.transpose(0, 2, 3, 1),
            "prompts": np.repeat(np.array(prompts, dtype=np.str_), len(images) // len(prompts)),
            "seeds": np.array(seeds, dtype=np.int64),
        }
        saved(lambda temporary: np.savez_compressed(temporary, **arrays), out)
        return
    from inkling.runs.preview import by_prompt
    from inkling.visualize import grids

    grids.save(grids.sheet(by_prompt(images, prompts, first)), out)
