"""Scores with the terms that they depend on: stored as JSON, compared only under equal terms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from inkling.errors import UserError
from inkling.evaluate.measures import Measure
from inkling.system.disk import write_whole


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that must be equal for two scores to be compared."""

    n: int
    """Number of samples."""
    data: str
    reference: str
    """The real images that samples are compared with, and how many."""
    features: str
    resize: str
    seeds: str
    prompts: str


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One score with its confidence interval."""

    name: str
    value: float
    low: float
    high: float
    """Ends of the 95 % interval."""
    n: int
    better: str
    method: str
    """How the interval was computed."""
    floor: float | None = None
    """Noise floor: the same score of as many real training images."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All scores of a run under the same terms."""

    run: str
    model: str
    """Digest of the scored model."""
    sampling: str
    terms: Terms
    scores: list[Score]
    details: dict[str, Any] = {}
    """Other results: confusion matrix, memorisation, notes."""

    def save(self, path: Path) -> Path:
        """Write as JSON.

        Raises:
            UserError: it cannot be written there.
        """
        return write_whole(path, msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def load(cls, path: Path) -> "Report":
        """Read a report that `save` wrote.

        Raises:
            UserError: there is no such file, or it holds no scores.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError) as error:
            raise UserError(
                f"{path} holds no scores ({error}); make them with `inkling evaluate`"
            ) from None


def scored(measure: Measure, floor: Measure | None = None) -> Score:
    """The score, interval and noise floor of a measure."""
    low, high = measure.interval()
    return Score(
        name=measure.name,
        value=measure.value,
        low=low,
        high=high,
        n=measure.size or len(measure.values if measure.values is not None else ()),
        better=measure.better,
        method=measure.method,
        floor=None if floor is None else floor.value,
    )


def check_alike(one: Terms, other: Terms) -> None:
    """Refuse to compare scores under different terms.

    Raises:
        UserError: the terms differ; the message lists the differences.
    """
    differing = [
        f"{name} ({getattr(one, name)} against {getattr(other, name)})"
        for name in Terms.__struct_fields__
        if getattr(one, name) != getattr(other, name)
    ]
    if differing:
        raise UserError(
            f"these scores cannot be compared, they differ in {', '.join(differing)}; evaluate "
            "both runs in the same way"
        )


def table(report: Report) -> str:
    """The scores as a table for a terminal, with their terms."""
    terms = report.terms
    head = (
        f"{report.run}: {terms.n:,} pictures, {report.sampling}; seeds {terms.seeds}; "
        f"{terms.prompts}\n"
        f"against {terms.reference}; features {terms.features}; resize {terms.resize}\n"
    )
    lines = [f"{'':24}{'score':>10}  {'95 % interval':>21}{'noise floor':>13}{'n':>8}  interval by"]
    lines += [_line(score) for score in report.scores]
    return head + "\n".join(lines)


def _line(score: Score) -> str:
    arrow = "\u2193" if score.better == "lower" else "\u2191"
    floor = "" if score.floor is None else f"{score.floor:.4g}"
    ends = f"{score.low:.4g} to {score.high:.4g}"
    return (
        f"{score.name:22}{arrow:>2}{score.value:10.4g}  {ends:>21}{floor:>13}{score.n:8,}  "
        f"{score.method}"
    )


def differences(ours: Sequence[Measure], theirs: Sequence[Measure]) -> str:
    """A table of paired differences, ours minus theirs, with their intervals."""
    other = {measure.name: measure for measure in theirs}
    lines = [f"{'':22}{'difference':>12}  {'95 % interval':>21}  result"]
    for measure in ours:
        if measure.name not in other:
            continue
        gap, (low, high) = measure.minus(other[measure.name])
        result = "no difference to be seen"
        if low > 0 or high < 0:
            first_wins = (gap < 0) == (measure.better == "lower")
            result = "the first is better" if first_wins else "the second is better"
        ends = f"{low:.4g} to {high:.4g}"
        lines.append(f"{measure.name:22}{gap:12.4g}  {ends:>21}  {result}")
    return "\n".join(lines)
