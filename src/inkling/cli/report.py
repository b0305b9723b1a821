"""`inkling report`."""

from pathlib import Path

import click

from inkling.cli.options import DEVICE, PATH, Verb
from inkling.errors import UserError


@click.command(cls=Verb)
@click.argument("run", type=PATH)
@click.option("--n", "count", type=click.IntRange(min=200), default=1000, show_default=True,
              help="Pictures to score, where there are no scores yet.")  # fmt: skip
@click.option("--prompt", "prompts", multiple=True, help="Instead of the training set's own.")
@click.option("--data", type=PATH, help="Folder with the data set's files.")
@click.option("--out", type=PATH, help="Default RUN/report.html.")
@DEVICE
def report(
    run: Path,
    count: int,
    prompts: tuple[str, ...],
    data: Path | None,
    out: Path | None,
    device: str,
) -> None:
    """Write one HTML page about RUN that opens from disk: pictures, curves, scores, settings.

    \b
    inkling report runs/mnist
    """
    from inkling.inspect import report as room
    from inkling.inspect.request import PlotRequest
    from inkling.runs.outputs import check_output
    from inkling.system.disk import check_writable
    from inkling.system.progress import bar

    if out is not None:
        check_output(out, ".html")
    out = out or (run if run.is_dir() else run.parent) / "report.html"
    check_writable(out)
    request = PlotRequest([run], prompts, device=device, data=data)
    if request.pipeline and room.scores_of(run) is None:
        try:
            room.evaluate(request, count)
        except UserError as error:
            click.echo(f"no scores: {error}", err=True)
    done: dict[str, Path] = {}
    with bar("drawing figures", len(room.SHOWN)) as advance:
        for name, path in room.figures(request):
            advance(1)
            if isinstance(path, UserError):
                click.echo(f"no {name}: {path}", err=True)
            else:
                done[name] = path
    click.echo(room.write(request, done, out))
