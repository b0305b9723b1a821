"""What the verbs that train share: how a run begins, stops on a signal, and ends."""

import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inkling.errors import UserError, UserNote
from inkling.system.shell import command

if TYPE_CHECKING:
    from inkling.runs.resume import Asked, Begun
    from inkling.runs.session import StopFlag, Update


def carry_out(
    begin: "Callable[[ExitStack], Begun | None]",
    *,
    device: str,
    started: float,
    again: Callable[[Path], str],
    start_from: Path | None = None,
    learned: bool = False,
) -> int:
    """Train what `begin` gives, showing it, until its end or a signal; the exit code.

    Args:
        begin: what to train, in which folder, from which checkpoint; None: nothing is left to do.
            Locks go into the stack.
        device: by name.
        started: `time.monotonic()` from which a budget counts.
        again: the command that goes on with the run in a folder.
        start_from: a run whose weights to begin with.
        learned: whether it begins with weights that have learned already.
    """
    from inkling.runs import console, session
    from inkling.system.distributed import is_main_process

    flag = session.StopFlag()
    with _signals(flag) as received, ExitStack() as held:
        try:
            begun = begin(held)
            if begun is None:
                return 0
            updates = session.run(
                begun.recipe,
                begun.out,
                device_name=device,
                start_from=start_from,
                resume=begun.stored,
                started=started,
                flag=flag,
                again=begun.again,
            )
            learned = learned or start_from is not None or begun.stored is not None
            last = console.follow(updates, begun.out, learned=learned)
        except KeyboardInterrupt:
            console.say("stopped" if flag.heeded else "stopped before the first step")
            return 128 + received[-1] if received else 130
    if last.stopped:
        console.say(
            f"stopped at step {last.progress.step}, the checkpoint is saved; go on with\n"
            f"{again(begun.out)}"
        )
        return 128 + (received or [signal.SIGTERM])[0]  # which only another process may have got
    if is_main_process():
        click.echo(_ending(last, begun.out))
    return 0


def resumed(
    out: Path, asked: "Asked", held: ExitStack, afresh: "Callable[[], Begun]"
) -> "Begun | None":
    """What a run goes on from, its folder held; None if it is finished.

    Args:
        out: the run folder.
        asked: what the run should be.
        held: takes over the folder's lock.
        afresh: what a new run begins with, for a folder that holds none.
    """
    from inkling.runs import console, run_folder
    from inkling.runs.lock import check_folder, locked
    from inkling.runs.resume import Begun, agreed, to_restart, to_resume
    from inkling.system.distributed import is_main_process

    if is_main_process():
        check_folder(out)
    if run_folder.finished(out):
        agreed(out, run_folder.recipe_of(out), asked)
        further = command("train", asked.target, "--from", out)
        on = f"; to train on from its weights: {further}" if asked.target else ""
        click.echo(f"the run in {out} is finished{on}")
        return None
    held.enter_context(locked(out))
    stored = to_resume(out, asked)
    if stored is not None:
        console.say(f"{out}: step {stored.progress['step']}")
        return Begun(out, stored.recipe, stored)
    recipe = to_restart(out, asked)
    if recipe is None:
        new = f"{out} holds no run to go on with"
        if sys.stdin.isatty() and not click.confirm(f"{new}; train a new one there?"):
            raise UserError(f"{new}; name another --out, or leave --resume out")
        console.say(f"{out}: no checkpoint: starting afresh")
        return afresh()
    console.say(f"{out}: no checkpoint yet: starting again with the settings of this run")
    return Begun(out, recipe, None, again=True)


@contextmanager
def _signals(flag: "StopFlag") -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM raise the flag. Yields what came.

    Before the first step, and at a second Ctrl-C, they stop at once.
    """
    received: list[int] = []

    def handle(number: int, _frame: object) -> None:
        again = bool(received) and number == signal.SIGINT
        received.append(number)
        if again or not flag.heeded:
            raise KeyboardInterrupt
        flag.raise_flag()

    kinds = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield received  # only the main thread may handle signals
        return
    before = [signal.signal(kind, handle) for kind in kinds]
    try:
        yield received
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


_ENDS = ("steps", "epochs", "budget")
"""What may end a run; each counts where those before it are 0."""


def assignments_of(
    assignments: tuple[str, ...], data: Path | None, seed: int | None, **ends: float | None
) -> list[str]:
    """Settings as they were typed, by `--set` or as options of their own.

    Args:
        assignments: of `--set`.
        data: folder of the pictures.
        seed: of the run.
        ends: by names of `_ENDS`.

    Raises:
        UserError: two ends of a run, of which one would be passed over.
    """
    named: dict[str, object] = {"data.path": data, "train.seed": seed}
    named |= {f"train.{name}": end for name, end in ends.items()}
    given = [*assignments, *(f"{n}={value}" for n, value in named.items() if value is not None)]
    pairs = [each.split("=", 1) for each in given if "=" in each]
    last = dict(pairs)
    for name in sorted({name for name, value in pairs if value != last[name]}):
        note = f"{name} is set more than once; the last value counts, {last[name]}"
        warnings.warn(note, UserNote, stacklevel=2)
    typed = {name: last.get(f"train.{name}", "0").strip() for name in _ENDS}
    several = [name for name in _ENDS if typed[name] not in ("0", "0.0", "")]
    if len(several) > 1:
        both = " and ".join(f"train.{name}={typed[name]}" for name in several)
        raise UserError(f"{both} both end the run; give one of them")
    # What the recipe has in their place counts no more.
    before = _ENDS[: _ENDS.index(several[0])] if several else ()
    return given + [f"train.{name}=0" for name in before if f"train.{name}" not in last]


def _ending(last: "Update", out: Path) -> str:
    """The summary of a finished run."""
    from inkling.config.recipe import Recipe
    from inkling.runs.preview import prompts_for

    state = last.progress.state
    seconds = state.seconds + state.budget.last_preview_seconds
    lines = [
        f"{state.step} steps, {state.step * state.recipe.train.batch:,} pictures, "
        f"{seconds:.0f} s, {state.previewed / seconds:.0%} of it previews and validations",
        f"model   {out / 'model.safetensors'}",
    ]
    if isinstance(state.recipe, Recipe):
        for each in state.card.by_calls:
            calls = f"{each.calls} call{'s' * (each.calls > 1)}"
            lines.append(f"{calls:7} {each.milliseconds:.2f} ms a picture")
        lines.append(f"samples {last.preview or out / 'samples'}")
        prompt = prompts_for(state)[-1]
        end = ["--"] if prompt.startswith("-") else []  # of the options
        asked = ["--like", "PICTURE"] if state.pictures.own_conditions else [*end, prompt]
        lines.append(f"sample  {command('sample', out, *asked)}")
    elif state.card.summary:
        lines.append(f"scores  {state.card.summary}")
    return "\n".join(lines)
