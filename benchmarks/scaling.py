"""How the cost of training grows: memory, time and traffic by arithmetic, as a table.

python benchmarks/scaling.py [--tflops 100] [--bandwidth 25]
"""

import click
import torch
import torch.utils.flop_counter
from rich.console import Console
from rich.table import Table

from inkling.contracts import Cond
from inkling.nets import UNetConfig

SIZES = {
    "mnist recipe, 28": (
        UNetConfig(widths=(32, 64), patch=2, positions=14, template=8, embedding=128),
        1,
        28,
    ),
    "64, 3 levels": (
        UNetConfig(widths=(64, 128, 256), blocks=(2, 2, 2), attention=(False, False, True)),
        3,
        64,
    ),
    "64, wide": (
        UNetConfig(widths=(128, 256, 512), blocks=(2, 2, 2), attention=(False, False, True)),
        3,
        64,
    ),
    "128, wide": (
        UNetConfig(widths=(128, 256, 512), blocks=(2, 2, 2), attention=(False, False, True)),
        3,
        128,
    ),
    "256, wide": (
        UNetConfig(
            widths=(128, 256, 512, 512), blocks=(2,) * 4, attention=(False, False, True, True)
        ),
        3,
        256,
    ),
}


def counted(config: UNetConfig, channels: int, side: int) -> tuple[float, float, float]:
    """(parameters, multiply-adds of a forward pass, bytes of kept activations) for one picture.

    Counted by running the network on the meta device, where nothing is computed.
    """
    with torch.device("meta"):
        net = config.build(channels, 128)
        x = torch.zeros(1, channels, side, side)
        cond = Cond(torch.zeros(1, 128), torch.zeros(1, 0, 128), torch.zeros(1, 0) > 0)
        kept = 0

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal kept
            kept += tensor.numel() * tensor.element_size()
            return tensor

        counter = torch.utils.flop_counter.FlopCounterMode(display=False)
        with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            net(x, torch.zeros(1), cond)
    return sum(p.numel() for p in net.parameters()), counter.get_total_flops() / 2, kept


@click.command()
@click.option("--batch", default=64, show_default=True, help="Pictures a process.")
@click.option("--tflops", default=100.0, show_default=True, help="What a device reaches.")
@click.option("--bandwidth", default=25.0, show_default=True, help="GB/s between processes.")
def main(batch: int, tflops: float, bandwidth: float) -> None:
    """Print the table."""
    table = Table(title=f"{batch} pictures a process, {tflops:g} TFLOP/s, {bandwidth:g} GB/s")
    columns = ("network", "parameters", "GFLOP a picture", "weights and states", "activations")
    for heading in (*columns, "step", "exchange", "of the step"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for name, (config, channels, side) in SIZES.items():
        parameters, macs, kept = counted(config, channels, side)
        step = 3 * 2 * macs * batch / (tflops * 1e12)
        exchange = 2 * 4 * parameters / (bandwidth * 1e9)  # a ring sends every gradient twice
        table.add_row(
            name,
            f"{parameters / 1e6:.1f}M",
            f"{2 * macs / 1e9:.2f}",
            f"{parameters * 5 * 4 / 1e9:.2f} GB",  # weights, gradients, two moments, average
            f"{kept * batch / 1e9:.2f} GB",
            f"{step * 1e3:.1f} ms",
            f"{exchange * 1e3:.1f} ms",
            f"{exchange / step:.0%}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
