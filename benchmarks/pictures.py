"""Every picture of docs/pictures.md: two small models of MNIST, their scores, and all figures.

    python benchmarks/pictures.py --data FOLDER --out runs/pictures

Models that are there already are not trained again. `--into docs/images` puts the figures where the
pages show them, with few colours, so that the repository stays small.
"""

import subprocess
import sys
from pathlib import Path

import click
from PIL import Image

from inkling.inspect.plots import PLOTS, plot
from inkling.inspect.request import PlotRequest
from inkling.models.checkpoint import FILE

_CROSS = ("net.cross_attention=true", "net.attention=false,true")
_WORDS = ("a handwritten three", "an image of the digit 7", "the number zero")
_COLOURS = 128
_ELSEWHERE = ("animation", "animations", "attention", "curves")
"""Figures that are of other prompts or another model, or are shown elsewhere."""


def run_cli(*arguments: object) -> None:
    """Run an inkling command."""
    subprocess.run([sys.executable, "-m", "inkling", *map(str, arguments)], check=True)


def trained(out: Path, data: Path, budget: str, settings: tuple[str, ...] = ()) -> Path:
    """A model of MNIST, trained unless it is there."""
    if not (out / FILE).exists():
        words = [word for setting in settings for word in ("--set", setting)]
        kept = ["--set", "train.checkpoint_every=50s", "--set", "train.keep=6"]
        place = ["--data", data, "--out", out]
        run_cli("train", "mnist", "--budget", budget, *place, *kept, *words)
    return out


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="MNIST's files.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/pictures"))
@click.option("--into", type=click.Path(path_type=Path), help="Copy the figures there.")
def main(data: Path, out: Path, into: Path | None) -> None:
    """Train what is not there yet, score it, draw."""
    plain = trained(out / "mnist", data, "5m")
    cross = trained(out / "mnist-cross", data, "4m", _CROSS)
    run_cli("evaluate", plain, "--data", data, "--scale", 1, "--steps", 10)
    request = PlotRequest([plain], data=data)
    drawn = {kind: plot(kind, request) for kind in PLOTS if kind not in _ELSEWHERE}
    drawn["attention"] = plot("attention", PlotRequest([cross], _WORDS, data=data))
    drawn["animation"] = plot("animation", PlotRequest([plain], ("three", "eight"), data=data))
    for kind, path in drawn.items():
        click.echo(path)
        if into is not None and path.suffix == ".png":
            page = Image.open(path).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
            page.save(into / f"plot-{kind}.png", optimize=True)
        elif into is not None:
            (into / f"plot-{kind}{path.suffix}").write_bytes(path.read_bytes())


if __name__ == "__main__":
    main()
