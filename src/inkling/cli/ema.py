"""`inkling ema`."""

from pathlib import Path

import click

from inkling.cli.options import DEVICE, PATH, Verb


@click.command(cls=Verb)
@click.argument("run", type=PATH)
@click.option("--length", type=float, help="EMA length as a fraction of training: 0.01 to 0.25.")
@click.option("--sweep", is_flag=True, help="Try many lengths on held-out pictures.")
@click.option("--out", type=PATH, help="Default RUN/ema-LENGTH.safetensors.")
@DEVICE
def ema(run: Path, length: float | None, sweep: bool, out: Path | None, device: str) -> None:
    """Give the finished RUN another EMA length; it needs train.snapshots.

    \b
    inkling ema runs/mnist --sweep
    inkling ema runs/mnist --length 0.1
    inkling sample runs/mnist/ema-0.100.safetensors seven
    """
    from inkling.models import checkpoint
    from inkling.system.disk import check_writable
    from inkling.training import posthoc_ema

    check_writable(out or run / "ema.safetensors")
    if length is None or sweep:
        found = []
        for each in posthoc_ema.compare_lengths(run, device_name=device):
            click.echo(
                f"length {each.width:5.3f}  held out {each.loss:.5f}  residual {each.residual:.1%}"
            )
            found.append((each.loss, each.width))
        best = min(found)[1]
        click.echo(f"the best of these is {best:g}")
        length = best if length is None else length
    out = out or run / f"ema-{length:.3f}.safetensors"
    checkpoint.save(out, posthoc_ema.reconstruct(run, length))
    click.echo(out)
