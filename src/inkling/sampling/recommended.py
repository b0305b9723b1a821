"""Sampling settings to begin with: what the recipe recommends, or what was measured."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from inkling.config.other_names import ARGUMENTS
from inkling.config.overrides import replaced
from inkling.config.sample import Distil, Sample
from inkling.errors import UserError, unknown_name
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
    """The settings for so many network calls or the most below; or the best of all.

    Raises:
        UserError: both are asked for; the model was neither tuned nor distilled, or for more calls.
    """
    if calls is not None and best:
        raise UserError(
            f"calls={calls} and best each choose the sampling settings; give one of the two"
        )
    if not (calls is None or (isinstance(calls, int) and calls >= 1)) or best not in (True, False):
        raise UserError(
            f"calls={calls!r}, best={best!r}: calls is a whole number >= 1, and best True or False"
        )
    known, measured = card.by_calls, [each for each in card.by_calls if each.measure]
    if not known:
        raise UserError(
            "how this model samples best in a number of calls was never measured; run "
            "`inkling tune RUN` first"
        )
    if best:
        return min(measured, key=lambda each: each.score) if measured else known[-1]
    fitting = [each for each in known if calls is not None and each.calls <= calls]
    if not fitting:
        choices = ", ".join(str(each.calls) for each in known)
        how = f"tuned for; choose from {choices}, or run `inkling tune RUN --calls {calls}` first"
        if not measured:
            how = f"distilled for; choose from {choices}"
        raise UserError(f"calls={calls} is fewer than this model was {how}")
    return max(fitting, key=lambda each: each.calls)


def changed(usual: Sample, changes: Mapping[str, Any], card: Card) -> Sample:
    """The settings with some of them changed; what was recommended for these alone goes with them.

    Args:
        usual: to begin with.
        changes: by field.
        card: of the model; where steps are asked for that a student learnt, it has their levels.

    Raises:
        UserError: no such field, or a value that it cannot have.
    """
    if usual.sigmas and changes.keys() & {"steps", "grid"} and "sigmas" not in changes:
        ways = [each.settings for each in card.by_calls if each.settings.sigmas]
        learnt = [way for way in ways if way.steps == changes.get("steps")]
        usual = learnt[0] if learnt else replace(usual, sigmas=())
    if changes.get("sampler", usual.sampler) != usual.sampler:
        usual = replace(usual, eta=0.0)
    for name in changes:
        if name not in usual.__struct_fields__:
            if name in ARGUMENTS:
                raise UserError(f"there is no argument {name!r}; write {ARGUMENTS[name]}")
            known = [*usual.__struct_fields__, "count", "seed", "seeds", "calls", "best"]
            raise UserError(unknown_name(name, known, "argument"))
    return replaced(usual, dict(changes), "sampling setting")


def given_alone(settings: Any, changes: Mapping[str, Any], distil: Distil | None) -> Sample:
    """Settings that were given whole.

    Args:
        settings: as given.
        changes: that were given beside them, which there must not be.
        distil: how the model was distilled, if it was.

    Raises:
        UserError: something else than settings, changes beside them, or what no student learnt.
    """
    if not isinstance(settings, Sample):
        raise UserError(
            f"settings={settings!r} says not how to sample; make it with "
            "pipeline.settings(steps=20)"
        )
    if changes:
        raise UserError(
            f"settings say how to sample, and {', '.join(changes)} would be passed over; give "
            "pipeline.settings(...) all of it"
        )
    check_student(settings, distil)
    return settings


def check_student(settings: Sample, distil: Distil | None) -> None:
    """Refuse settings that ask a student for what it never learnt.

    Args:
        settings: how to sample.
        distil: how the model was distilled, if it was.

    Raises:
        UserError: it says what it learnt.
    """
    if distil is None:
        return
    ways = [distil.student(number) for number in range(len(distil.calls))]
    known = next((way for way in ways if way.sigmas == settings.sigmas), ways[-1])
    differing = [
        f"{name}={getattr(settings, name)}"
        for name in ("sampler", "steps", "scale", "eta", "negative_prompt", "interval")
        if getattr(settings, name) != getattr(known, name)
    ]
    if settings.sigmas == known.sigmas and not differing:
        return
    asked = ", ".join(differing) or "other noise levels"
    raise UserError(
        f"this model is distilled: it samples in {distil.choices} calls, with the guidance of its "
        f"teacher, and cannot be sampled with {asked}; choose the calls alone, or sample its "
        f"teacher, {distil.teacher}"
    )


def _for_a_clip(usual: Sample) -> Sample:
    """The same settings with the steps that guidance by a CLIP needs."""
    return replace(
        usual,
        sampler=usual.clip.sampler,
        steps=usual.clip.steps,
        sigmas=(),
        eta=0.0,
        scale=1.0,
        negative_prompt="",
    )
