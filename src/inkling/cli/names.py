"""`inkling list`: the names that settings may have."""

from collections.abc import Callable, Iterable

import click

from inkling.cli.options import Verb
from inkling.errors import UserError, unknown_name


def _samplers() -> Iterable[tuple[str, str]]:
    from inkling.core import SAMPLERS

    for name, solver in SAMPLERS.items():
        calls = "one call" if solver.calls_per_step == 1 else f"{solver.calls_per_step} calls"
        noise = ", draws noise" if solver.stochastic else ", noise with eta" * solver.takes_eta
        yield name, f"order {solver.order}, {calls} a step{noise}"


def _first_lines(entries: dict[str, object]) -> Iterable[tuple[str, str]]:
    for name, entry in entries.items():
        yield name, (getattr(entry, "__doc__", None) or "").strip().split("\n")[0]


def _schedules() -> Iterable[tuple[str, str]]:
    from inkling.core import SCHEDULES

    return _first_lines({**SCHEDULES})


def _predictions() -> Iterable[tuple[str, str]]:
    from inkling.core import PREDICTIONS

    return _first_lines({**PREDICTIONS})


def _networks() -> Iterable[tuple[str, str]]:
    from inkling.nets import NETWORKS

    return _first_lines({**NETWORKS})


def _encoders() -> Iterable[tuple[str, str]]:
    from inkling.text import ENCODERS

    return _first_lines({**ENCODERS})


def _datasets() -> Iterable[tuple[str, str]]:
    from inkling.data import DATASETS

    return [(name, dataset.title) for name, dataset in DATASETS.items()]


def _objectives() -> Iterable[tuple[str, str]]:
    from inkling.training.objectives import OBJECTIVES

    return _first_lines({**OBJECTIVES})


LISTS: dict[str, Callable[[], Iterable[tuple[str, str]]]] = {
    "samplers": _samplers,
    "schedules": _schedules,
    "predictions": _predictions,
    "networks": _networks,
    "encoders": _encoders,
    "datasets": _datasets,
    "objectives": _objectives,
}


@click.command(name="list", cls=Verb)
@click.argument("kind", required=False)
def names(kind: str | None) -> None:
    """List the samplers, schedules, predictions, networks, encoders, datasets or objectives.

    \b
    inkling list samplers
    """
    if kind is not None and kind not in LISTS:
        raise UserError(unknown_name(kind, LISTS, "list"))
    for each in [kind] if kind else LISTS:
        click.echo(f"{each}:" if kind is None else "", nl=kind is None)
        for name, what in LISTS[each]():
            click.echo(f"  {name:14} {what}")
