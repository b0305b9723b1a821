"""`inkling tune`."""

from pathlib import Path

import click

from inkling.cli.options import DEVICE, PATH, Numbers, Verb


@click.command(cls=Verb)
@click.argument("run", type=PATH)
@click.option("--calls", type=Numbers(), default="1,2,3,4,5,6,8,10,14,20,30,50", show_default=True,
              help="Numbers of network calls a picture.")  # fmt: skip
@click.option("--n", "count", type=click.IntRange(min=20), default=1000, show_default=True,
              help="Samples that choose among the best, and as many that score.")  # fmt: skip
@click.option("--features", help="As in evaluate; default judge, or pixels without classes.")
@click.option("--reference", help="The split to score against, or validation: what RUN held out; "
              "default validation if that is 1,000 pictures or more, else test.")  # fmt: skip
@click.option("--data", type=PATH, help="Folder with the data set's files.")
@DEVICE
def tune(
    run: Path,
    calls: tuple[int, ...],
    count: int,
    features: str | None,
    reference: str | None,
    data: Path | None,
    device: str,
) -> None:
    """Find how the finished RUN samples best in each number of network calls a picture.

    Sampler, steps, noise levels, guidance scale and interval are searched, and first the EMA
    length, if the run stored snapshots. What is found is stored in RUN, for `sample --calls` and
    `sample --best`. One half of the held-out pictures and of the seeds chooses, and the other
    half gives the scores, so they are not too good.

    \b
    inkling tune runs/mnist
    inkling tune runs/mnist --calls 4,10,20 --n 1000
    inkling sample runs/mnist seven --calls 5
    inkling sample runs/mnist seven --best
    """
    from inkling.inspect.tune import tune as lines

    report = lines(
        run, calls, count, features=features, reference=reference, data=data, device=device
    )
    for line in report:
        click.echo(line)
