"""Sampling settings to begin with: what the recipe recommends, or what was measured."""

from msgspec.structs import replace

from inkling.config.recipe import Sample
from inkling.errors import UserError
from inkling.models.card import CallSettings, Card


def recommended(
    usual: Sample, card: Card, *, guided: bool = False, calls: int | None = None, best: bool = False
) -> Sample:
    """The settings that a call of a pipeline changes, if it does.

    Args:
        usual: of the recipe.
        card: of the model.
        guided: whether a CLIP guides, for which other steps are recommended.
        calls: network calls that a picture may take, for the settings tuned for them.
        best: take the tuned settings with the best score.

    Raises:
        UserError: as `tuned`; or tuned settings are to be guided by a CLIP.
    """
    if calls is None and not best:
        return _for_a_clip(usual) if guided else usual
    if guided:
        raise UserError(
            "settings were tuned for the model's own prompts; leave calls and best out with a CLIP"
        )
    return tuned(card, calls, best).settings


def tuned(card: Card, calls: int | None, best: bool) -> CallSettings:
    """The settings tuned for so many network calls or the most below; or the best of all.

    Raises:
        UserError: both are asked for, the model was never tuned, or only for more calls.
    """
    if calls is not None and best:
        raise UserError(
            f"calls={calls} and best each choose the sampling settings; give one of the two"
        )
    known = [each for each in card.by_calls if each.measure or not best]
    if not known:
        raise UserError(
            "how this model samples best in a number of calls was never measured; run "
            "`inkling tune RUN` first"
        )
    if best:
        return min(known, key=lambda each: each.score)
    fitting = [each for each in known if calls is not None and each.calls <= calls]
    if not fitting:
        choices = ", ".join(str(each.calls) for each in known)
        raise UserError(
            f"calls={calls} is fewer than this model was tuned for; choose from {choices}, or run "
            f"`inkling tune RUN --calls {calls}` first"
        )
    return max(fitting, key=lambda each: each.calls)


def _for_a_clip(usual: Sample) -> Sample:
    """The same settings with the steps that guidance by a CLIP needs."""
    return replace(
        usual,
        sampler=usual.clip.sampler,
        steps=usual.clip.steps,
        eta=0.0,
        scale=1.0,
        negative_prompt="",
    )
