"""A recipe for pictures that no named recipe was made for: chosen from what the data are.

Everything chosen here is an ordinary setting: it is printed, recorded and can be overridden.
"""

from collections.abc import Callable, Sequence
from math import inf
from os.path import abspath, exists
from pathlib import Path

from msgspec.structs import replace

from inkling.config.clip_recipe import ClipRecipe
from inkling.config.codec_recipe import CodecRecipe
from inkling.config.judge_recipe import JudgeRecipe
from inkling.config.overrides import AnyRecipe, override
from inkling.config.recipe import Recipe, RunRecipe, Text
from inkling.config.recipes import MNIST, RECIPES, small
from inkling.config.sample import Sample, ScheduleConfig
from inkling.data import DATASETS, Data, Pictures, read_pictures
from inkling.data.sources.labels import printable
from inkling.errors import UserError, unknown_name
from inkling.models.build import described
from inkling.nets.configs import UNetConfig

_FORMS: tuple[tuple[float, int, tuple[int, ...]], ...] = (
    (16, 1, (32, 64)),
    (40, 2, (32, 64)),
    (80, 2, (32, 64, 128)),
    (inf, 4, (64, 128, 256)),
)
"""(side at most, patch, widths): a quarter of the positions costs a quarter of the time, as long
as the first width holds the pixels of a patch."""
_NEED_A_PATH = ("folder", "hub")
"""Data sets that mean nothing without a path."""
_CAPTIONED = 400
"""More distinct sentences than this are captions rather than names of classes."""


def recipe_for(name: str, data: Data, pictures: Pictures) -> Recipe:
    """A recipe for these pictures, for five minutes on two cores, or as long as one likes.

    Args:
        name: what to call it.
        data: where the pictures came from.
        pictures: what is there.
    """
    channels, height, width = pictures.shape
    side = max(height, width)
    colour = channels == 3
    captioned = len(pictures.sentences) > _CAPTIONED and not pictures.own_conditions
    patch, widths = next((p, w) for most, p, w in _FORMS if side <= most)
    positions = -(-side // patch)
    net = UNetConfig(
        widths=widths,
        middle=1,
        cross_attention=captioned,
        patch=patch,
        positions=positions,
        template=8 if pictures.conditional else 0,
        embedding=256 if colour else 128,
    )
    text = Text(encoder="transformer", width=128, layers=2 if captioned else 1, max_tokens=64)
    if not pictures.conditional:
        text = Text(encoder="label", width=16, heads=1)
    scale = MNIST.sample.scale if pictures.conditional else 1.0
    return Recipe(
        name=name,
        source="chosen by inkling from the pictures: their size, colours and captions",
        data=data,
        net=net,
        text=text,
        diffusion=MNIST.diffusion,
        # The size for a budget was fitted to MNIST, and not tried on other pictures.
        train=replace(MNIST.train, fit_budget=False),
        sample=_sample(colour, scale),
    )


def _sample(colour: bool, scale: float) -> Sample:
    # Where captions decide a picture is not known: guidance at every noise level.
    usual = replace(MNIST.sample, scale=scale, interval=Sample().interval)
    if not colour:
        return usual
    grid = ScheduleConfig(name="karras", options={"sigma_min": 0.01})
    return replace(usual, steps=15, grid=grid)


def _clip(name: str, data: Data) -> ClipRecipe:
    source = "inkling's own: CLIP (Radford et al. 2021) with all fitting captions positive"
    return ClipRecipe(name=name, source=source, data=data)


def _judge(name: str, data: Data) -> JudgeRecipe:
    return JudgeRecipe(
        name=name, source="inkling's own: a small convolutional classifier", data=data
    )


def _codec(name: str, data: Data) -> CodecRecipe:
    source = "inkling's own: a small autoencoder (Rombach et al. 2022, section 3.1)"
    return CodecRecipe(name=name, source=source, data=data)


_OTHERS: dict[str, Callable[[str, Data], RunRecipe]] = {
    "clip": _clip,
    "judge": _judge,
    "codec": _codec,
}
"""What `inkling train KIND-NAME` trains on the pictures of NAME."""


def kind_of(target: str) -> tuple[str, str]:
    """(kind, the rest) of a target such as `clip-mnist`; no kind is a denoiser's."""
    kind, sign, rest = target.partition("-")
    taken = exists(Path(target).expanduser()) and rest not in (*RECIPES, *DATASETS)
    other = sign and kind in _OTHERS and target not in (*RECIPES, *DATASETS) and not taken
    return (kind, rest) if other else ("", target)


def name_of(target: str) -> str:
    """What a run of this target is called.

    Raises:
        UserError: nothing of that name.
    """
    kind, rest = kind_of(target)
    name, _ = find_target(rest)
    return f"{kind}-{name}" if kind else name


def is_chosen(target: str) -> bool:
    """Whether settings for this target are chosen from its pictures."""
    return target not in RECIPES and not kind_of(target)[0]


def resolve(
    target: str,
    assignments: Sequence[str],
    trial: bool = False,
    before: RunRecipe | None = None,
) -> RunRecipe:
    """The recipe for what a user names: a recipe, a data set, a path or a hub id.

    Args:
        target: `mnist`, `cifar10`, `./photographs`, `hub:owner/name`; behind `clip-`, `judge-` or
            `codec-` what these learn from.
        assignments: settings as for `override`.
        trial: make the recipe small before these.
        before: the recipe of the run whose weights this one starts from: its structure is kept.

    Raises:
        UserError: nothing of that name, pictures that cannot be read, or a wrong setting.
    """
    kind, rest = kind_of(target)
    if kind:
        name, data = find_target(rest)
        if kind == "judge" and not DATASETS[data.name].classes:
            raise UserError(f"the pictures of {rest!r} have no classes for a judge to learn")
        given = ["train.epochs=0", "train.budget=120"] if trial else []
        other = _inheriting(_OTHERS[kind](f"{kind}-{name}", data), before)
        return placed(override(other, [*given, *assignments]))
    if target in RECIPES:
        recipe = RECIPES[target]
        recipe = _inheriting(small(recipe) if trial else recipe, before)
        return placed(override(recipe, assignments))
    about_data = [each for each in assignments if each.strip().startswith("data.")]
    name, settings, pictures = read_target(target, about_data)
    recipe = recipe_for(name, settings, _as_conditions(pictures, assignments))
    recipe = _inheriting(small(recipe) if trial else recipe, before)
    return placed(override(recipe, assignments))


def _as_conditions(pictures: Pictures, assignments: Sequence[str]) -> Pictures:
    """The pictures as what the encoder of these settings makes conditions of."""
    about_text = [each for each in assignments if each.strip().startswith("text.encoder")]
    return described(override(Recipe(name="", source=""), about_text), pictures)


def _inheriting(recipe: AnyRecipe, before: RunRecipe | None) -> AnyRecipe:
    """The recipe with the structure of another one of its kind."""
    return recipe.inheriting(before) if type(before) is type(recipe) else recipe


def placed(recipe: AnyRecipe) -> AnyRecipe:
    """The recipe with absolute paths, so that it means the same from any working directory."""
    data = replace(recipe.data, codec=_absolute(recipe.data.codec))
    if data.name != "hub":
        data = replace(data, path=_absolute(data.path))
    recipe = replace(recipe, data=data)
    if not isinstance(recipe, Recipe):
        return recipe
    distil = recipe.distil
    if distil is not None:
        distil = replace(distil, teacher=_absolute(distil.teacher))
    clip = replace(recipe.sample.clip, model=_absolute_folder(recipe.sample.clip.model))
    return replace(
        recipe,
        text=replace(recipe.text, model=_absolute_folder(recipe.text.model)),
        sample=replace(recipe.sample, clip=clip),
        distil=distil,
    )


def _absolute(path: str) -> str:
    return abspath(Path(path).expanduser()) if path else ""


def _absolute_folder(model: str) -> str:
    """The same for a model that may also be a hub id."""
    return _absolute(model) if model and Path(model).expanduser().is_dir() else model


def read_target(
    target: str, assignments: Sequence[str], split: str = "train"
) -> tuple[str, Data, Pictures]:
    """(name, settings, pictures) of a target, as `resolve` takes it; only `data.*` settings count.

    Raises:
        UserError: nothing of that name, pictures that cannot be read, or a wrong setting.
    """
    name, found = find_target(target)
    settings = override(Recipe(name=name, source="", data=found), assignments).data
    return name, settings, read_pictures(settings, split)


def find_target(target: str) -> tuple[str, Data]:
    """(a name for it, where the pictures of a target are).

    Raises:
        UserError: nothing of that name.
    """
    if not target.strip():
        raise UserError("the name of what to read is empty; name a recipe, a data set or a folder")
    if target in DATASETS and target not in _NEED_A_PATH:
        return target, Data(name=target)
    if target in RECIPES:
        return target, RECIPES[target].data
    kind, sign, rest = target.partition(":")
    if sign and kind == "hub":
        if not rest.strip("/: "):
            raise UserError("hub: needs the id of a data set, such as hub:ylecun/mnist")
        return rest.replace("/", "-").replace(":", "-"), Data(name="hub", path=rest)
    path = Path(target).expanduser()
    if exists(path):
        return name_of_path(path), Data(name="folder", path=abspath(path))
    known = [name for name in dict.fromkeys([*RECIPES, *DATASETS]) if name not in _NEED_A_PATH]
    raise UserError(
        unknown_name(target, known, "recipe, data set or folder") + ", or name a folder of pictures"
    )


def name_of_path(path: Path) -> str:
    """What a run on the pictures in a folder or a file is called."""
    return printable(path.expanduser().resolve().name.strip(".").split(".")[0]) or "pictures"
