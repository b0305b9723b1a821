"""Every figure of a run by name: what `inkling plot` draws, and `inkling report` shows.

A figure is a function from what was asked to a file. A new one is one function and one entry in
`PLOTS`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch

from inkling.core.noise import SCHEDULES
from inkling.data import Pictures
from inkling.errors import UserError
from inkling.evaluate.draws import home, model_of
from inkling.evaluate.memory import nearest
from inkling.evaluate.scores import Report
from inkling.models import checkpoint
from inkling.models.build import read_pictures
from inkling.runs.run_folder import BEST, read_metrics
from inkling.sampling.pipeline import TextToImage
from inkling.visualize import animations, curves, figures, grids, prompt_figures, strips, sweeps
from inkling.visualize.neighbours import neighbours

_PROMPTS = 10
_FEW = 4
_NEIGHBOURS = 240
_KNOWN = 60_000
_BEHIND = 1500


@dataclass
class Asked:
    """What a figure is to be of."""

    runs: Sequence[Path]
    """Run folders; most figures show the first."""
    given: Sequence[str] = ()
    """Prompts; some of the training set's own if there are none."""
    seed: int = 0
    device: str = "auto"
    data: Path | None = None
    """Where the data set lies now, if elsewhere than in training."""
    options: dict[str, Any] = field(default_factory=dict)
    """sampler, steps and scale, where the run's recommendation shall not hold."""
    levels: Sequence[float] = ()
    """Columns of strips, in `unit`; source A's where there are none."""
    unit: str = "t"
    estimate: bool = False
    """Show estimates of the clean picture instead of noisy ones."""

    @property
    def run(self) -> Path:
        """The first run."""
        return self.runs[0]

    @cached_property
    def artist(self) -> TextToImage:
        """Its model."""
        return TextToImage.load(self.run, self.device)

    @cached_property
    def pictures(self) -> Pictures:
        """The split that it was trained on, pictures held out of it included."""
        settings = self.artist.recipe.data
        if self.data is not None:
            settings = msgspec.structs.replace(settings, path=str(self.data))
        return read_pictures(settings)

    @cached_property
    def prompts(self) -> list[str]:
        """The given ones, the classes, some captions, or none at all."""
        if self.given or self.artist.classes:
            return [*(self.given or self.artist.classes)][:_PROMPTS]
        said = [group[0] for group in self.pictures.groups if group[0]]
        if not said or not self.artist.recipe.data.captions:
            return [""]
        some = said[:: max(1, len(said) // _PROMPTS)]
        return [each for each in some if self.artist.model.text.takes(each)][: _PROMPTS // 2] or [
            ""
        ]

    @property
    def many(self) -> dict[str, Any]:
        """Options for figures that show many noise levels: enough steps to show them."""
        return {"sampler": "ddim", "steps": 100} | self.options


def _strip(asked: Asked, out: Path) -> Path:
    values = asked.levels or strips.TIMES
    page = strips.strip(
        asked.artist,
        asked.prompts,
        values,
        asked.unit,
        seed=asked.seed,
        estimate=asked.estimate,
        **asked.many,
    )
    return _saved(page, out)


def _animation(asked: Asked, out: Path) -> Path:
    options: dict[str, Any] = {"sampler": "ddim", "steps": 40} | asked.options
    frames = animations.denoising(
        asked.artist, asked.prompts, seed=asked.seed, estimate=asked.estimate, **options
    )
    return animations.save(frames, out)


def _animations(asked: Asked, out: Path) -> Path:
    """One file for each prompt, named after it; gives back their folder."""
    options: dict[str, Any] = {"sampler": "ddim", "steps": 40} | asked.options
    for number, prompt in enumerate(asked.prompts):
        frames = animations.denoising(
            asked.artist, [prompt], seed=asked.seed, estimate=asked.estimate, **options
        )
        name = "".join(c if c.isalnum() else "-" for c in prompt)[:40] or "no-prompt"
        animations.save(frames, out.with_name(f"{out.stem}-{number}-{name}{out.suffix}"))
    return out.parent


def _forward(asked: Asked, out: Path) -> Path:
    pictures = asked.pictures
    labels = pictures.labels.tolist()
    rows = [labels.index(label) for label in sorted({*labels}) if label >= 0][:_FEW]
    rows = rows or list(range(min(_FEW, len(pictures))))
    shown = pictures.at(torch.tensor(rows)).cpu()
    captions = [pictures.groups[int(pictures.group[row])][0] for row in rows]
    values = [*asked.levels][::-1] or strips.TIMES[::-1]
    page = strips.noising(
        list(zip(captions, shown, strict=True)), values, asked.unit, seed=asked.seed
    )
    return _saved(page, out)


def _grid(asked: Asked, out: Path) -> Path:
    prompts, count = asked.prompts, 10
    captions = [prompt for prompt in prompts for _ in range(count)]
    seeds = range(asked.seed, asked.seed + len(captions))
    drawn = asked.artist(captions, seeds=seeds, **asked.options).numpy()
    rows = [(p, drawn[i * count : (i + 1) * count]) for i, p in enumerate(prompts)]
    return _saved(grids.sheet(rows, cell=56), out)


def _schedules(asked: Asked, out: Path) -> Path:
    return figures.save_schedules({name: kind() for name, kind in SCHEDULES.items()}, out)


def _curves(asked: Asked, out: Path) -> Path:
    runs = list(dict.fromkeys(asked.runs))
    names = [run.name for run in runs]
    alone = len({*names}) == len(names)
    found = {run.name if alone else str(run): read_metrics(run) for run in runs}
    for name, records in found.items():
        if not records:
            raise UserError(f"{name} has no metrics.jsonl; name the folder of a run")
    return curves.save_curves(found, out)


def _progression(asked: Asked, out: Path) -> Path:
    files = [*reversed(list(checkpoint.states(asked.run))), asked.run / BEST, asked.run]
    known: dict[int, TextToImage] = {}
    for file in files:
        if file.exists():
            artist = TextToImage.load(file, asked.device)
            known[int(artist.facts["steps"])] = artist
    stages = [(f"{steps:,} steps", known[steps]) for steps in sorted(known)]
    page = sweeps.progression(stages, asked.prompts, seed=asked.seed, **asked.options)
    return _saved(page, out)


def _sweep(asked: Asked, out: Path) -> Path:
    conditional = any(asked.prompts)
    scales: tuple[float, ...] = (1.0, 1.5, 2.5, 5.0) if conditional else (1.0,)
    given: dict[str, Any] = {"scales": scales}
    for name, plural in (("sampler", "samplers"), ("steps", "steps"), ("scale", "scales")):
        if name in asked.options:
            given[plural] = (asked.options[name],)
    return _saved(sweeps.sweep(asked.artist, asked.prompts[:_FEW], seed=asked.seed, **given), out)


def _between(asked: Asked, out: Path) -> Path:
    page = sweeps.interpolation(asked.artist, asked.prompts[:_FEW], seed=asked.seed, **asked.many)
    return _saved(page, out)


def _path(asked: Asked, out: Path) -> Path:
    pictures, prompts = asked.pictures, asked.prompts[:5]
    some = pictures.take(torch.linspace(0, len(pictures) - 1, min(_BEHIND, len(pictures))).long())
    each = 8 if len(prompts) > 1 else 24
    return figures.save_path(
        asked.artist,
        some.pixels().cpu(),
        [prompt for prompt in prompts for _ in range(each)],
        out,
        groups=some.labels.tolist(),
        names=some.classes,
        seed=asked.seed,
        **asked.many,
    )


def _attention(asked: Asked, out: Path) -> Path:
    return _saved(
        prompt_figures.attention(
            asked.artist, _sentences(asked, _FEW), seed=asked.seed, **asked.options
        ),
        out,
    )


def _ablation(asked: Asked, out: Path) -> Path:
    page = prompt_figures.ablation(
        asked.artist, _sentences(asked, _FEW), seed=asked.seed, **asked.options
    )
    return _saved(page, out)


def _sentences(asked: Asked, count: int) -> list[str]:
    """Prompts of several words: given ones, else the longest that training had for some groups."""
    if asked.given:
        return [*asked.given][:count]
    groups = [group for group in asked.pictures.groups if any(group)]
    takes = asked.artist.model.text.takes
    some = [max(group, key=len) for group in groups[:: max(1, len(groups) // (2 * count))]]
    found = [each for each in some if takes(each)][:count]
    if not found or not asked.artist.recipe.data.captions:
        raise UserError("this model reads no captions, so no word of them does anything")
    return found


def _nearest(asked: Asked, out: Path) -> Path:
    captions = [asked.prompts[i % len(asked.prompts)] for i in range(_NEIGHBOURS)]
    seeds = range(asked.seed, asked.seed + _NEIGHBOURS)
    drawn = asked.artist(captions, seeds=seeds, **asked.options)
    pictures = asked.pictures
    rows = torch.linspace(0, len(pictures) - 1, min(_KNOWN, len(pictures))).long()
    known = pictures.at(rows).cpu()
    found = nearest(drawn, known)
    return _saved(neighbours(drawn, found.distance, known[found.row]), out)


def _confusion(asked: Asked, out: Path) -> Path:
    for report in reports_of(asked.run):
        details = report.details
        if "confusion" in details:
            return figures.save_confusion(details["confusion"], details["classes"], out)
    raise UserError(f"no scores by class in {home(asked.run)}; make them: inkling evaluate RUN")


def reports_of(run: Path) -> Iterator[Report]:
    """The scores of a run's model as it is now, the latest first; torn ones are passed over."""
    files = sorted(home(run).glob("scores-*.json"), key=lambda file: file.stat().st_mtime)
    model = model_of(run)
    for file in reversed(files):
        try:
            report = Report.load(file)
        except UserError:
            continue
        if report.model == model:
            yield report


def _saved(page: Any, out: Path) -> Path:
    grids.save(page, out)
    return out


class Plot(NamedTuple):
    """A figure by name."""

    what: str
    """In a few words."""
    draw: Callable[[Asked, Path], Path]
    suffix: str = ".png"


PLOTS: dict[str, Plot] = {
    "strip": Plot("noise becoming pictures, a row a prompt, a column a noise level", _strip),
    "animation": Plot("the same as an animation of all prompts", _animation, ".gif"),
    "animations": Plot("the same, a file for each prompt", _animations, ".gif"),
    "forward": Plot("real pictures becoming noise", _forward),
    "grid": Plot("ten pictures of each prompt", _grid),
    "schedules": Plot("beta, abar, sigma and log-SNR of every schedule", _schedules),
    "curves": Plot("losses, bits, worth of the prompt; several runs in one", _curves),
    "progression": Plot("the same seeds at every checkpoint of the run", _progression),
    "sweep": Plot("guidance, steps and samplers on the same seeds", _sweep),
    "between": Plot("from prompt to prompt, and from seed to seed", _between),
    "path": Plot("paths of samples on two principal axes of the data", _path),
    "attention": Plot("where attention reads each word", _attention),
    "ablation": Plot("what is drawn without each word", _ablation),
    "nearest": Plot("drawn pictures above the nearest training pictures", _nearest),
    "confusion": Plot("asked and drawn classes, after inkling evaluate", _confusion),
}


def plot(kind: str, asked: Asked, out: Path | None = None) -> Path:
    """Draw one figure.

    Args:
        kind: a key of `PLOTS`.
        asked: of what.
        out: where to; RUN/plots/KIND.png, or .gif, if None.

    Raises:
        UserError: the run cannot be read, or has not what the figure shows.
    """
    chosen = PLOTS[kind]
    folder = asked.run if asked.run.is_dir() else asked.run.parent
    return chosen.draw(asked, out or folder / "plots" / f"{kind}{chosen.suffix}")
