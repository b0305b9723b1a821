"""The best sampling settings of a finished run for each number of network calls, stored in it."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from inkling.config.recipe import Recipe
from inkling.config.sample import Sample, ScheduleConfig
from inkling.core.noise import Karras, ends_of
from inkling.errors import UserError, UserNote
from inkling.evaluate.search import EVERYWHERE, FINALISTS, Found, most_candidates, search
from inkling.evaluate.tuning import Scored, Scorer, scorer_for
from inkling.models import checkpoint
from inkling.models.build import load_weights, sampling_schedule
from inkling.models.card import CallSettings
from inkling.models.checkpoint import Checkpoint
from inkling.runs.lock import locked
from inkling.system.disk import check_writable
from inkling.system.progress import bar
from inkling.training import posthoc_ema
from inkling.visualize.frontier import save_frontier

FIGURE = "tune.png"


class Result(NamedTuple):
    """The best settings for a number of network calls, or those that the recipe recommends."""

    entry: CallSettings
    scored: Scored
    tried: int
    """Candidates that were judged; 0: these settings are only scored, for comparison."""


class Tuning:
    """The search for the settings of one run; it holds no lock, see `tune`.

    Args:
        run: its folder or checkpoint.
        scorer: of its settings.
        data: folder of the data set, if it has moved since training.
        device: "auto", "cuda", "mps" or "cpu".

    Raises:
        UserError: the run is not finished.
    """

    def __init__(
        self, run: Path, scorer: Scorer, *, data: Path | None = None, device: str = "auto"
    ):
        self.file = checkpoint.finished(run)
        self.scorer = scorer
        self.usual: Sample = self.scorer.evaluation.plan.settings
        self.stored, self.ema = _with_best_ema(run, checkpoint.read(self.file), data, device)
        load_weights(self.scorer.evaluation.pipeline.model, self.stored)
        self.baseline: CallSettings | None = None

    def results(self, calls: Sequence[int]) -> Iterator[Result]:
        """The recommended settings, then the best for each number of calls; each is stored when
        it is found, so that what was done stays where the search is stopped.
        """
        scorer = self.scorer
        scored = scorer.report(self.usual)
        self.baseline = self._entry(scorer.calls(self.usual), self.usual, scored)
        yield Result(self.baseline, scored, 0)
        starts = [self.usual]
        with bar("searching, in network calls", sum(map(self._cost, calls))) as advance:
            for number in calls:
                found = self._found(number, starts, advance)
                scored = scorer.report(found.settings)
                entry = self._entry(number, found.settings, scored)
                self._store(entry)
                yield Result(entry, scored, found.tried)
                starts = [self.usual, found.settings]

    def figure(self) -> Path:
        """Draw what is stored: score against time."""
        known = self.stored.card.by_calls
        path = self.file.parent / FIGURE
        return save_frontier(known, path, self.baseline, self.scorer.floor)

    def _cost(self, calls: int) -> int:
        """Network calls of a search at most."""
        most = 2 * most_candidates(self.scorer.space, self.usual)
        pictures: int = most * self.scorer.few + FINALISTS * self.scorer.many
        return calls * pictures

    def _found(self, calls: int, starts: list[Sample], advance: Callable[[int], None]) -> Found:
        """The best settings for a number of calls; says how far the search is."""
        left = self._cost(calls)

        def score(settings: Sample, count: int) -> float:
            nonlocal left
            found = self.scorer.choose(settings, count)
            done = min(left, calls * count)
            left -= done
            advance(done)
            return found

        few, many = self.scorer.few, self.scorer.many
        found = search(self.scorer.space, score, starts, calls, few=few, many=many)
        advance(left)
        return found

    def _entry(self, calls: int, settings: Sample, scored: Scored) -> CallSettings:
        return CallSettings(
            calls=calls,
            settings=settings,
            score=scored.frechet,
            measure=self.scorer.measure,
            milliseconds=scored.milliseconds,
        )

    def _store(self, entry: CallSettings) -> None:
        """Note it in the checkpoint, beside what was measured in the same way for other calls."""
        card = self.stored.card
        known = {each.calls: each for each in card.by_calls if each.measure == entry.measure}
        known[entry.calls] = entry
        ordered = tuple(known[calls] for calls in sorted(known))
        self.stored = self.stored._replace(card=replace(card, by_calls=ordered))
        checkpoint.save(self.file, self.stored)


def tune(
    run: Path,
    calls: Sequence[int],
    count: int,
    *,
    features: str | None = None,
    reference: str | None = None,
    data: Path | None = None,
    device: str = "auto",
) -> Iterator[str]:
    """Search, store and draw; yields the lines of the report.

    Args:
        run: a folder or checkpoint.
        calls: numbers of network calls, fewest first.
        count: as in `scorer_for`, and the others too.
        features: by name.
        reference: by name.
        data: a folder.
        device: by name.

    Raises:
        UserError: as `Tuning` and `scorer_for`; or another process writes into the run folder.
    """
    file = checkpoint.finished(run)
    recipe = checkpoint.read_recipe(file)
    if isinstance(recipe, Recipe) and recipe.distil is not None:
        raise UserError(
            f"{run} is distilled: how it samples in {recipe.distil.choices} calls is trained in, "
            f"and nothing is left to tune; tune its teacher, {recipe.distil.teacher}"
        )
    with locked(file.parent):
        check_writable(file)  # before the work
        scorer = scorer_for(
            run, count, features=features, reference=reference, data=data, device=device
        )
        tuning = Tuning(run, scorer, data=data, device=device)
        yield from tuning.ema
        tried = 0
        yield (
            f"{run} on {scorer.evaluation.pipeline.device}: one half of "
            f"{scorer.evaluation.held_against} and of the seeds chooses; the scores are of the "
            "other"
        )
        yield f"score: {scorer.measure}"
        if scorer.floor is not None:
            yield f"noise floor {scorer.floor:.4g}, which real training pictures score"
        yield _head(scorer.accuracy_name)
        for result in tuning.results(calls):
            tried += result.tried
            yield _line(result, tuning)
        yield (
            f"{tried:,} candidates were tried, each with {scorer.few:,} samples and the best "
            f"{FINALISTS} of each number of calls with {scorer.many:,}"
        )
        yield f"{tuning.figure()}"
        yield f"{tuning.file}"


def _with_best_ema(
    run: Path, stored: Checkpoint, data: Path | None, device: str
) -> tuple[Checkpoint, list[str]]:
    """(the model with the EMA length of the lowest held-out loss if the run stored snapshots, what
    was chosen in words).
    """
    if not any((run / posthoc_ema.FOLDER).glob("step-*.safetensors")):
        return stored, []
    try:
        found = list(posthoc_ema.compare_lengths(run, device_name=device, path=data))
    except UserError as error:
        warnings.warn(f"the EMA stays as it is: {error}", UserNote, stacklevel=2)
        return stored, []
    if not found:
        return stored, []
    best = min(found, key=lambda each: each.loss)
    mixed = posthoc_ema.reconstruct(run, best.width)
    if best.width != stored.card.ema_width:  # what was measured was another average
        mixed = mixed._replace(card=replace(mixed.card, by_calls=()))
    return mixed, [
        f"EMA length {best.width:g} of {len(found)} lengths (held-out loss {best.loss:.5f})"
    ]


def _head(accuracy: str) -> str:
    return (
        f"{'calls':>5}  {'sampler':9}{'steps':>6}{'scale':>7}  {'interval':15}{'grid':28}"
        f"{'score':>9}{accuracy:>{len(accuracy) and 17}}{'ms a picture':>14}{'tried':>7}"
    )


def _line(result: Result, tuning: Tuning) -> str:
    """A row of the table."""
    settings, scored = result.entry.settings, result.scored
    guided = tuning.scorer.guides(settings)
    accuracy = "" if scored.accuracy is None else f"{scored.accuracy:17.1%}"
    tried = f"{result.tried:7}" if result.tried else "  as recommended"
    return (
        f"{result.entry.calls:5}  {settings.sampler:9}{settings.steps:6}"
        f"{f'{settings.scale:g}' if guided else 'none':>7}  "
        f"{_interval(settings) if guided else '':15}"
        f"{_grid(settings, tuning.scorer.space.training):28}{scored.frechet:9.4g}{accuracy}"
        f"{scored.milliseconds:14.2f}{tried}"
    )


def _interval(settings: Sample) -> str:
    low, high = settings.interval
    if high >= EVERYWHERE[1]:
        return f"above {low:g}" if low else "everywhere"
    return f"{low:g} to {high:g}"


def _grid(settings: Sample, training: ScheduleConfig) -> str:
    """The noise levels in a few words."""
    schedule = sampling_schedule(settings.grid, training)
    low, high = ends_of(schedule)
    name = settings.grid.name or training.name
    shape = f"rho {schedule.rho:g}" if isinstance(schedule, Karras) else name
    if settings.steps == 1:
        return f"{high:.3g}"
    return f"{high:.3g} to {low:.3g}, {shape}"
