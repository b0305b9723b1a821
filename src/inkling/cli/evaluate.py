"""`inkling evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from inkling.cli.options import DEVICE, PATH, SEED, Verb
from inkling.errors import UserError

if TYPE_CHECKING:
    from inkling.evaluate.evaluation import Evaluation


@click.command(cls=Verb)
@click.argument("run", type=PATH)
@click.option("--n", "count", type=click.IntRange(min=20), default=2000, show_default=True,
              help="Pictures to sample.")  # fmt: skip
@click.option("--features", default="judge", show_default=True,
              help="judge[:FILE], inception, clip:FOLDER, vision:ID or pixels.")  # fmt: skip
@click.option("--reference", default="test", show_default=True, help="The split to score against.")
@click.option("--clip", help="A CLIP that scores how well pictures fit their prompts.")
@click.option("--data", type=PATH, help="Folder with the data set's files.")
@click.option("--sampler", help="As in sample; the run's recommendation if left out.")
@click.option("--steps", type=click.IntRange(min=1), help="Solver steps.")
@click.option("--calls", type=click.IntRange(min=1), help="As in sample.")
@click.option("--scale", type=float, help="Classifier-free guidance; 1 is none.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--weights", type=click.Choice(["ema", "raw"]), default="ema", show_default=True)
@click.option("--compare", type=PATH, help="Another run, picture by picture.")
@click.option("--balance", is_flag=True, help="As many prompts and real pictures of each class; "
              "default: as many as the reference has.")  # fmt: skip
@click.option("--cas/--no-cas", default=True, help="Train a classifier on samples.")
@click.option("--out", type=PATH, help="JSON; default RUN/evaluation/...")
@DEVICE
def evaluate(
    run: Path,
    count: int,
    features: str,
    reference: str,
    clip: str | None,
    data: Path | None,
    sampler: str | None,
    steps: int | None,
    calls: int | None,
    scale: float | None,
    seed: int,
    weights: str,
    compare: Path | None,
    balance: bool,
    cas: bool,
    out: Path | None,
    device: str,
) -> None:
    """Score samples of the model in RUN against real pictures that it never saw.

    Every score comes with its interval and with its noise floor, what as many real training
    pictures score. Samples are kept: the next evaluation uses them again, and one that was
    stopped goes on.

    \b
    inkling evaluate runs/mnist
    inkling evaluate runs/mnist --n 5000 --scale 1 --clip runs/clip-mnist
    inkling evaluate runs/five-minutes --compare runs/one-minute
    """
    from inkling.evaluate import samples, scores
    from inkling.evaluate.evaluation import Evaluation
    from inkling.evaluate.learned_scores import clip_for
    from inkling.runs.outputs import check_output
    from inkling.system.disk import check_writable
    from inkling.visualize import grids
    from inkling.visualize.neighbours import neighbours

    def made(path: Path) -> Evaluation:
        return Evaluation(
            path,
            count,
            data=data,
            device=device,
            reference=reference,
            weights=weights,
            seed=seed,
            sampling={"sampler": sampler, "steps": steps, "calls": calls, "scale": scale},
            balanced=balance,
        )

    if compare is not None and (clip or out):
        raise UserError("--compare prints differences of features only; leave --clip and --out out")
    if out is not None:
        check_output(out, ".json")
    check_writable(out or samples.home(run) / "scores.json")
    chosen = made(run)
    if compare is not None:
        click.echo(_differences(chosen, made(compare), features))
        return
    seen = chosen.features(features)
    reader = clip_for(chosen.plan, clip, chosen.pipeline.device) if clip else None
    images = chosen.samples()
    memory, near = chosen.memorised(images)
    report = chosen.report(images, seen, memory, reader, cas)
    click.echo(scores.table(report))
    click.echo(memory.summary)
    click.echo(report.save(out or chosen.file(seen)))
    page = samples.home(run) / "nearest.png"
    grids.save(neighbours(images, near.distance, chosen.train.at(near.row).cpu()), page)
    click.echo(page)


def _differences(chosen: "Evaluation", other: "Evaluation", features: str) -> str:
    """The scores of one run minus another's, of the same seeds and prompts, as a table.

    Raises:
        UserError: the two are scored on other terms.
    """
    from inkling.evaluate import scores

    seen, beside = (each.features(features) for each in (chosen, other))
    scores.check_alike(chosen.terms(seen), other.terms(beside))
    pairs = ((each, each.samples()) for each in (chosen, other))
    ours, theirs = (each.measures(images, seen(images), seen) for each, images in pairs)
    return (
        f"{chosen.run} minus {other.run}, {chosen.count:,} pictures of the same seeds and prompts\n"
        f"against {chosen.held_against}; features {seen.name}\n"
        f"{scores.differences(ours, theirs)}"
    )
