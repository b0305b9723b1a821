"""The recipe of a student: that of its teacher, with the settings of a distillation."""

import warnings
from pathlib import Path

from msgspec.structs import replace

from inkling.config.recipe import Recipe, RunRecipe
from inkling.config.recipes import MNIST
from inkling.config.sample import Distil, Sample
from inkling.core.samplers import SAMPLERS
from inkling.errors import UserError, UserNote
from inkling.models import checkpoint
from inkling.models.clip import NOTES as CLIP_NOTES

SUFFIX = "-distilled"
_BUDGET = 180.0
"""Seconds, if nothing else is asked for."""
_SOLVER, _STEPS = "dpmpp_2m", 12
"""How a teacher samples whose own way adds noise, or takes more than twice as many calls."""
_MUON = ("optimiser", "lr", "muon_lr", "betas", "weight_decay", "clip")
"""Settings of the optimiser that are taken from `mnist` where the teacher has plain AdamW: at its
rates a student would learn for hours."""


def recipe_for(run: Path, calls: tuple[int, ...]) -> Recipe:
    """The recipe of a student of a finished run.

    Args:
        run: the teacher's folder or checkpoint.
        calls: numbers of network calls a picture, fewest first.

    Raises:
        UserError: the run cannot teach.
    """
    before = _teacher(run)
    if before.diffusion.prediction == "eps":
        warnings.warn(
            f"{run} predicts noise: in one jump from pure noise, rounding errors of that are as "
            "large as the picture; a teacher of diffusion.prediction=v or edm has better students",
            UserNote,
            stacklevel=2,
        )
    train, chosen = before.train, MNIST.train
    if train.optimiser != chosen.optimiser:
        train = replace(train, **{name: getattr(chosen, name) for name in _MUON})
    return replace(
        before,
        name=before.name + SUFFIX,
        source=f"distilled from {run.resolve().name}, a run of {before.name}",
        expected="",
        train=replace(
            train,
            objective="",
            steps=0,
            epochs=0,
            budget=_BUDGET,
            fit_budget=False,
            shard=False,
            sizes=(),
            widen=0.0,
            warmup=20,
            decay=0.8,
            curve="linear",
            ema_decay=0.0,
            snapshots=0,
            previews="3",
            milestones=(),
        ),
        diffusion=replace(before.diffusion, loss="mse", weighting="uniform"),
        sample=Sample(sampler="euler", steps=calls[-1], scale=1.0, clamp=before.sample.clamp),
        distil=Distil(teacher=str(run.absolute()), sample=_sampling(before.sample), calls=calls),
    )


def of_teacher(recipe: RunRecipe, run: Path, calls: tuple[int, ...] | None) -> RunRecipe:
    """The recipe of a student that goes on, its teacher where it is now.

    Args:
        recipe: as the run has it.
        run: the teacher.
        calls: numbers of calls that are asked for, if any are.

    Raises:
        UserError: the run is no student, or learns other numbers of calls.
    """
    if not isinstance(recipe, Recipe) or recipe.distil is None:
        raise UserError(f"the run of {recipe.name} is no student; go on with `inkling train`")
    if calls not in (None, recipe.distil.calls):
        raise UserError(
            f"this student learns to sample in {recipe.distil.choices} calls; leave --calls out, "
            "or start another one"
        )
    return replace(recipe, distil=replace(recipe.distil, teacher=str(run.absolute())))


def _sampling(usual: Sample) -> Sample:
    """How the teacher samples: as it recommends, if that has an end that noise alone decides."""
    solver = SAMPLERS[usual.sampler].with_eta(usual.eta)
    if not solver.stochastic and solver.calls(usual.steps) <= 2 * _STEPS:
        return usual
    return replace(usual, sampler=_SOLVER, steps=_STEPS, sigmas=(), eta=0.0)


def _teacher(run: Path) -> Recipe:
    """The recipe of a run that can teach.

    Raises:
        UserError: it cannot.
    """
    if (run / CLIP_NOTES).is_file():
        raise UserError(f"{run} holds a CLIP, which samples no pictures; {_ADVICE}")
    file = checkpoint.finished(run)
    found = checkpoint.read(file)
    recipe, card = found.recipe, found.card
    if not isinstance(recipe, Recipe):
        raise UserError(f"{run} holds a {recipe.objective} model, which samples nothing; {_ADVICE}")
    if recipe.distil is not None:
        raise UserError(
            f"{run} is distilled already and samples in {recipe.distil.choices} calls; distil "
            f"its teacher instead: {recipe.distil.teacher}"
        )
    if not card.conditional:
        raise UserError(
            f"{run} was trained without prompts, so there is no guidance for a student to learn; "
            f"sample it in fewer --steps, or {_ADVICE}"
        )
    return recipe


_ADVICE = "distil a run that samples pictures from prompts, such as one of `inkling train mnist`"
