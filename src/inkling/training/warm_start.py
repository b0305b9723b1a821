"""Starting from the weights of another run: what they mean is taken over, what contradicts it is
refused, and new captions are taken in.
"""

from pathlib import Path
from shlex import quote

from msgspec.structs import replace

from inkling.config.judge_recipe import JudgeRecipe
from inkling.config.recipe import Recipe, RunRecipe
from inkling.data import Pictures
from inkling.errors import UserError
from inkling.models import checkpoint
from inkling.models.checkpoint import Checkpoint
from inkling.models.clip import NOTES as CLIP_NOTES
from inkling.training.objective import Objective

_COLOURS = {1: "grey", 3: "colour"}


def read_source(recipe: RunRecipe, path: Path, pictures: Pictures) -> Checkpoint:
    """The run to start from.

    Args:
        recipe: of the new run.
        path: the run folder or checkpoint.
        pictures: of the new run.

    Raises:
        UserError: its weights mean something else than this recipe or these pictures would have
            them mean.
    """
    if (path / CLIP_NOTES).is_file():
        raise UserError(
            f"{path} is a finished CLIP in the format of transformers, without the state that a "
            f"run starts from; use --from {quote(str(path / 'best.safetensors'))}"
        )
    stored = checkpoint.read(checkpoint.locate(path))
    before = stored.recipe
    if type(before) is not type(recipe):
        raise UserError(
            f"{path} holds a {before.objective} and cannot start a run of {recipe.objective}"
        )
    if isinstance(recipe, Recipe) and recipe.diffusion.sigma_data == 0:
        recipe = with_sigma_data_of(recipe, stored)
    for name, there, here in recipe.contradictions(before):
        raise UserError(
            f"{path} was trained with {name}={there} and cannot start a run with {name}={here}, "
            "where its weights would mean something else; use the value of that run"
        )
    there, here = stored.card.channels, pictures.shape[0]
    if there != here:
        raise UserError(
            f"{path} was trained on {_COLOURS[there]} pictures, and these are {_COLOURS[here]}; "
            f"set data.channels={there}"
        )
    if isinstance(recipe, JudgeRecipe) and stored.card.classes != pictures.classes:
        raise UserError(
            f"{path} tells {_listed(stored.card.classes)} apart, and these pictures show "
            f"{_listed(pictures.classes)}; a judge starts from one of the same classes"
        )
    return stored


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def with_sigma_data_of(recipe: RunRecipe, source: Checkpoint) -> RunRecipe:
    """The recipe with the data's standard deviation that the weights were scaled by."""
    before = source.recipe
    if not isinstance(recipe, Recipe) or not isinstance(before, Recipe):
        return recipe
    diffusion = replace(recipe.diffusion, sigma_data=before.diffusion.sigma_data)
    return replace(recipe, diffusion=diffusion)


def load_source(objective: Objective, source: Checkpoint, path: object) -> None:
    """Put the averaged weights of a run into the model of another.

    Raises:
        UserError: they do not fit.
    """
    model = objective.model
    given, wanted = objective.completed(source.part("raw") | source.part("ema")), model.state_dict()
    for name, tensor in wanted.items():
        if name not in given or given[name].shape != tensor.shape:
            have = tuple(given[name].shape) if name in given else "missing"
            raise UserError(
                f"the weights of {path} do not fit this recipe: {name} is {have} there and "
                f"{tuple(tensor.shape)} here; use the recipe that run was trained with"
            )
    surplus = sorted(given.keys() - wanted.keys())
    if surplus:
        raise UserError(
            f"the weights of {path} do not fit this recipe: {surplus[0]} is there and not here; "
            "use the recipe that run was trained with"
        )
    model.load_state_dict(given)
