"""CLIPs on the command line: training one, and guiding with one."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from inkling.errors import UserError, UserNote

if TYPE_CHECKING:
    from inkling.models.clip import Guide
    from inkling.sampling.pipeline import TextToImage

PREFIX = "clip-"
"""What comes before the name of a set trains a CLIP on it."""
_SPOKEN = 10.0
"""Seconds from one line to the next."""


def train_clip(
    name: str, out: Path | None, assignments: Sequence[str], device: str, started: float
) -> int:
    """Train a CLIP on the captioned set behind `clip-`; the exit code.

    Raises:
        UserError: the folder is taken, no such set, or no captions in it.
    """
    from inkling.config.overrides import override
    from inkling.runs import console
    from inkling.runs.auto_recipe import located
    from inkling.training.contrastive import fit_clip, recipe_for_clip, retrieval

    short, data = located(name.removeprefix(PREFIX))
    recipe = override(recipe_for_clip(f"{PREFIX}{short}", data), assignments)
    out = out or Path("runs", recipe.name)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already; nothing was changed. Choose another --out")
    if console.processes() > 1:
        raise UserError("a CLIP is trained by one process; start inkling train without a launcher")
    last, spoken = None, started
    for last in fit_clip(recipe, device_name=device, started=started):
        now = time.monotonic()
        if now - spoken > _SPOKEN or last.step == last.total:
            spoken = now
            eta = "measuring speed" if last.eta is None else f"{console.duration(last.eta)} to go"
            console.say(f"step {last.step}/{last.total or '?'}  loss {float(last.loss):.4f}  {eta}")
    assert last is not None, "a run has at least one step"
    facts: dict[str, Any] = {"steps": last.step, "seconds": round(last.seconds, 1)}
    last.save(out, facts)
    console.say(f"{last.step} steps, {last.seconds:.0f} s, into {out}")
    split, pictures = _to_test(recipe)
    share = retrieval(last.clip, pictures)
    last.save(out, facts | {f"retrieval_{split}": round(share, 5)})
    click.echo(
        f"{share:.2%} of {split} pictures find their own caption among "
        f"{min(10, len(pictures.classes) or 10)}"
    )
    return 0


def _to_test(recipe: Any) -> tuple[str, Any]:
    """("test" or "training", pictures) to measure retrieval on: the test split if there is one."""
    from inkling.data import DATASETS
    from inkling.models.build import read_pictures

    if "test" not in DATASETS[recipe.data.name].splits:
        return "training", read_pictures(recipe.data)
    try:
        return "test", read_pictures(recipe.data, "test")
    except UserError:  # a folder of one's own need not have a test split
        return "training", read_pictures(recipe.data)


def guide_asked(
    artist: "TextToImage", where: str | None, strength: float | None, form: str | None
) -> bool:
    """Whether the user asked for guidance by a CLIP.

    Raises:
        UserError: settings of guidance, and no CLIP.
    """
    if not (where or artist.recipe.sample.clip.model) and (strength, form) != (None, None):
        raise UserError("--strength and --form say how a CLIP guides; name one with --clip")
    return where is not None or strength is not None or form is not None


def guide_for(
    artist: "TextToImage",
    prompts: Sequence[str],
    where: str | None,
    strength: float | None,
    form: str | None,
) -> "Guide | None":
    """The CLIP that reads the prompts, if one was asked for, or the recipe has one.

    Raises:
        UserError: no CLIP there, no such form, or settings without a CLIP.
    """
    import warnings

    from msgspec.structs import replace

    from inkling.config.recipe import Clip as Settings
    from inkling.models.clip import Clip, Guide

    settings = artist.recipe.sample.clip
    where = where or settings.model
    if not where or not any(prompts):
        return None
    if form is not None:
        forms = _forms()
        if form not in forms:
            raise UserError(f"there is no form {form!r}; choose among {', '.join(forms)}")
        settings = replace(settings, form=form)
    if strength is not None:
        settings = replace(settings, strength=strength)
    assert isinstance(settings, Settings)
    clip = Clip.load(where, artist.device)
    for prompt in filter(clip.strange, prompts):
        known = ", ".join(map(repr, clip.known.classes[:10]))
        warnings.warn(
            f"{prompt!r} has no meaning for the pictures that this CLIP learnt from, so what is "
            f"drawn has none either; it knows {known or 'other words'}",
            UserNote,
            stacklevel=2,
        )
    return Guide(clip, settings)


def _forms() -> tuple[str, ...]:
    from typing import get_type_hints

    from inkling.config.overrides import choices
    from inkling.config.recipe import Clip

    return choices(get_type_hints(Clip)["form"])


class Reader(NamedTuple):
    """Who says what was drawn, and the names that it knows."""

    title: str
    names: tuple[str, ...]
    verdicts: Callable[[Any], Any]
    """uint8 [N, C, H, W] arrays to places in `names`, [N]."""


def reader_for(guide: "Guide | None", prompts: Sequence[str], judge: Path | None) -> Reader | None:
    """The judge, or else the CLIP itself; None without guidance.

    Raises:
        UserError: a judge without guidance, or no judge there.
    """
    import torch

    if guide is None:
        if judge is not None:
            raise UserError("--judge says what a CLIP's guidance draws; name one with --clip")
        return None
    clip = guide.clip
    known = clip.known.classes
    if judge is None:
        names = known or tuple(dict.fromkeys(prompts))
        return Reader(
            "the CLIP", names, lambda images: clip.verdicts(torch.from_numpy(images), names).numpy()
        )
    from inkling.evaluate.judge import Judge

    loaded = Judge.load(judge)
    count = int(loaded.settings["classes"])  # type: ignore[call-overload]
    names = known if len(known) == count else tuple(f"class {place}" for place in range(count))
    return Reader(
        f"the judge {judge}", names, lambda images: loaded.examine(torch.from_numpy(images))[1]
    )


def shares(reader: Reader, prompts: Sequence[str], guided: Any, unguided: Any) -> str:
    """What was drawn, as shares of the known names, beside what comes without guidance."""
    import numpy as np

    each = len(guided) // len(prompts)
    parts = [(p, guided[row * each : (row + 1) * each]) for row, p in enumerate(prompts)]
    lines = [
        f"what {reader.title} sees, in % of {each} pictures a prompt",
        f"{'':>16} " + " ".join(f"{name[:9]:>9}" for name in reader.names),
    ]
    for label, images in (*parts, ("unguided", unguided)):
        counts = np.bincount(reader.verdicts(images), minlength=len(reader.names))
        lines.append(
            f"{label[:16]:>16} " + " ".join(f"{count / len(images):9.0%}" for count in counts)
        )
    return "\n".join(lines)
