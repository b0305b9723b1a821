"""Any recipe made small: what it is stays, what it costs shrinks to minutes on a laptop."""

from msgspec.structs import replace

from inkling.config.cadence import milestone
from inkling.config.recipe import Recipe
from inkling.config.train import Train

_SIDE = 64
"""Height and width at most; half of it where the recipe leaves them to the data set."""


def _part(moment: str, train: Train) -> str:
    """A milestone as a part of the run."""
    at = milestone(moment)
    return f"{100 * at.number / train.steps:.0f}%" if at.unit in ("", "steps") else moment


def small(recipe: Recipe, budget: float = 120) -> Recipe:
    """The recipe in a size for a trial.

    Prediction, loss, schedule, conditioning and the kinds of layers stay. Widths, blocks and
    pictures shrink, and so does what only suits long runs: tiny learning rates, long averages,
    a thousand steps a picture.

    Args:
        recipe: any.
        budget: seconds to train for.
    """
    size = recipe.data.size and min(recipe.data.size, _SIDE)
    train, sample = recipe.train, recipe.sample
    return replace(
        recipe,
        expected=f"a trial of {budget:g} s on two CPU cores",
        data=replace(recipe.data, size=size),
        net=recipe.net.small(size or _SIDE // 2),
        train=replace(
            train,
            steps=0,
            epochs=0,
            sizes=tuple(side for side in train.sizes if side <= _SIDE),
            budget=budget,
            fit_budget=False,
            batch=min(train.batch, 64),
            accumulation=1,
            optimiser="muon",
            lr=5e-3,
            muon_lr=0.008,
            betas=(0.9, 0.99),
            warmup=min(train.warmup, 50),
            decay=0.8,
            curve="linear",
            ema_decay=0.0,
            previews="6",
            milestones=tuple(_part(each, train) for each in train.milestones),
        ),
        sample=replace(
            sample,
            sampler="ddim" if sample.sampler == "ddpm" else sample.sampler,
            steps=min(sample.steps, 30),
            clip=replace(sample.clip, steps=min(sample.clip.steps, 40)),
        ),
    )
