"""The recipes of the five reproduced descriptions, made small and run: their figures and numbers.

    python benchmarks/reproductions.py a --data FOLDER --out runs/reproductions --encoder FOLDER
    python benchmarks/reproductions.py b --data FOLDER --out runs/reproductions
    python benchmarks/reproductions.py clip --data FOLDER --out runs/reproductions
    python benchmarks/reproductions.py c --data FOLDER --out runs/reproductions --encoder FOLDER
    python benchmarks/reproductions.py d --data FOLDER --out runs/reproductions
    python benchmarks/reproductions.py e --data FOLDER --out runs/reproductions
    python benchmarks/reproductions.py progressive --data FOLDER --out runs/reproductions

FOLDER holds mnist, quickdraw, cifar10 and coco, each in its publisher's layout. A model that is
there already is not trained again. Tables go to the terminal, pictures into the folder of --out.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inkling import TextToImage
from inkling.config.overrides import override
from inkling.config.recipes import RECIPES, small
from inkling.config.sample import ClipGuidance
from inkling.data import Data, Pictures, read_pictures
from inkling.data.captions import NUMBERS
from inkling.data.sets.shapes import scenes
from inkling.evaluate.judge import Judge, train_judge
from inkling.evaluate.metrics import frechet
from inkling.evaluate.shapes import faithfulness
from inkling.models import checkpoint
from inkling.models.clip import Clip
from inkling.runs.auto_recipe import resolve
from inkling.runs.console import follow
from inkling.runs.session import run
from inkling.sampling.clip_guidance import Guide
from inkling.training.contrastive import retrieval
from inkling.visualize import grids
from inkling.visualize.strips import strip

HO_20 = "diffusion.noise.options.timesteps=20"


def trained(name: str, folder: Path, minutes: float, settings: Iterable[str]) -> TextToImage:
    """The small form of a recipe, trained for so long unless it is there already."""
    if not (folder / checkpoint.FILE).exists():
        recipe = override(small(RECIPES[name], 60 * minutes), settings)
        follow(run(recipe, folder), folder)
    return TextToImage.load(folder)


def judge_of(data: Data, file: Path, epochs: int = 5) -> Judge:
    """A judge of real pictures, trained unless it is there already."""
    if not file.exists():
        train, test = (read_pictures(data, split) for split in ("train", "test"))
        judge, state = train_judge(train, epochs)
        print(f"judge: {judge.accuracy(test):.2%} of the test split right", flush=True)
        state.ema.swap()
        checkpoint.save(file, state.model_checkpoint())
    return Judge.load(file)


def resized(images: Tensor, side: int = 28) -> Tensor:
    """uint8 pictures brought to the size that the judge of MNIST knows."""
    scaled = F.interpolate(images.float(), (side, side), mode="area")
    return scaled.round().to(torch.uint8)


def asked_share(judge: Judge, images: Tensor, classes: int) -> float:
    """Share of pictures, as many of each class, that show their class."""
    asked = np.repeat(np.arange(classes), len(images) // classes)
    return float((judge.examine(images)[1] == asked).mean())


def each(prompts: Sequence[str], count: int) -> dict[str, Any]:
    """`count` pictures a prompt, each of its own seed."""
    captions = [prompt for prompt in prompts for _ in range(count)]
    return {"captions": captions, "seeds": range(len(captions))}


def in_rows(prompts: Sequence[str], images: Tensor, most: int = 10) -> list[tuple[str, np.ndarray]]:
    """Rows for a sheet: the first pictures of each prompt."""
    count = len(images) // len(prompts)
    parts = torch.split(images, count)
    return [(p, part[:most].numpy()) for p, part in zip(prompts, parts, strict=True)]


def text_pooled(data: Path, out: Path, minutes: float, encoder: str) -> None:
    """A: a frozen encoder's pooled vector; strips, and the loss over all t and over t < 100."""
    for name, source in (("mnist-text", "mnist"), ("quickdraw-text", "quickdraw")):
        settings = [f"data.path={data / source}", f"text.model={encoder}"]
        pipeline = trained(name, out / f"a-{source}", minutes, settings)
        page = strip(pipeline, pipeline.classes, sampler="ddim", steps=200)
        grids.save(page, out / f"a-{source}.png")
        judge = judge_of(pipeline.recipe.data, out / f"judge-a-{source}.safetensors", 3)
        drawn = pipeline(**each(pipeline.classes, 50))
        share = asked_share(judge, drawn, len(pipeline.classes))
        print(f"{name}: {share:.1%} of {len(drawn)} pictures show what was asked (ddim, 30 calls)")


def schedules(data: Path, out: Path, minutes: float, encoder: str) -> None:
    """B: linear against cosine, 1000 betas against 20; digits by class."""
    place = f"data.path={data / 'mnist'}"
    judge = judge_of(Data(name="mnist", path=str(data / "mnist")), out / "judge-mnist.safetensors")
    test = read_pictures(Data(name="mnist", path=str(data / "mnist")), "test")
    reference, _ = judge.examine(test.pixels()[:5000])
    real, _ = judge.examine(test.pixels()[5000:6000])
    floor = frechet(real, reference)
    ends = ["diffusion.noise.options.beta_start=0.005", "diffusion.noise.options.beta_end=0.999"]
    ways: dict[str, list[str]] = {
        "linear, 1000": ["diffusion.noise.name=linear"],
        "cosine, 1000": [],
        "linear, 20, the same betas": ["diffusion.noise.name=linear", HO_20],
        "linear, 20, betas x 50": ["diffusion.noise.name=linear", HO_20, *ends],
        "cosine, 20": [HO_20],
    }
    rows = []
    print(f"{'betas':28}{'Frechet, x real':>16}  (500 pictures, ancestral)")
    for number, (name, settings) in enumerate(ways.items()):
        steps = 20 if HO_20 in settings else 100
        pipeline = trained(
            "mnist-ddpm",
            out / f"b-{number}",
            minutes,
            [place, *settings, "train.previews=1"],
        )
        drawn = pipeline(**each([""], 500), sampler="ddpm", steps=steps)
        score = frechet(judge.examine(drawn)[0], reference) / floor
        print(f"{name:28}{score:16.1f}", flush=True)
        rows.append((name, drawn[:12].numpy()))
    grids.save(grids.sheet(rows, cell=56), out / "b-schedules.png")
    pipeline = trained("mnist-class", out / "b-class", minutes, [place])
    drawn = pipeline(**each(NUMBERS, 50))
    grids.save(grids.sheet(in_rows(NUMBERS, drawn), cell=56), out / "b-class.png")
    print(f"mnist-class: {asked_share(judge, drawn, 10):.1%} of {len(drawn)} digits as asked")


def clip_guidance(data: Path, out: Path, minutes: float, encoder: str) -> None:
    """B: words guide a model that reads none, through a CLIP trained here."""
    mnist = Data(name="mnist", path=str(data / "mnist"))
    judge = judge_of(mnist, out / "judge-mnist.safetensors")
    folder = out / "clip-mnist"
    if not folder.exists():
        follow(run(resolve("clip-mnist", [f"data.path={mnist.path}"]), folder), folder)
    clip = Clip.load(folder)
    share = retrieval(clip, read_pictures(mnist, "test"))
    print(f"clip-mnist: {share:.2%} of 10,000 test pictures find their caption among ten")
    unread = ["data.captions=false", "text.encoder=label", "text.width=16", "text.heads=1"]
    settings = [f"data.path={mnist.path}", *unread]
    pipeline = trained("mnist", out / "b-unconditional", minutes, settings)
    plain = pipeline(**each([""], 1000))
    counts = np.bincount(judge.examine(plain)[1], minlength=10) / len(plain)
    print("unguided:", "  ".join(f"{n} {c:.0%}" for n, c in zip(NUMBERS, counts, strict=True)))

    def row(label: str, words: Sequence[str], count: int, **settings: Any) -> Tensor:
        guide = Guide(clip, ClipGuidance(**settings))
        drawn = pipeline(**each(words, count), guide=guide, sampler="ddpm", steps=40)
        seen = judge.examine(drawn)[1].reshape(len(words), count)
        if len(words) == 10:
            rights = (seen == np.arange(10)[:, None]).mean(1)
            shares = "".join(f"{right:7.0%}" for right in rights)
            print(f"{label:24}{rights.mean():8.1%}{rights.min():8.0%}{shares}", flush=True)
        return drawn

    print(f"{'form, strength':24}{'all':>8}{'worst':>8}" + "".join(f"{n:>7}" for n in NUMBERS))
    for form, strengths in (
        ("noisy", (1.0, 5.0, 20.0, 80.0, 160.0)),
        ("network", (5.0, 40.0)),
        ("inner", (10.0, 80.0)),
    ):
        for strength in strengths:
            row(f"{form}, {strength:g}", NUMBERS, 30, form=form, strength=strength)
    best = row("noisy, 80, 100 each", NUMBERS, 100, form="noisy", strength=80.0)
    grids.save(grids.sheet(in_rows(NUMBERS, best), cell=56), out / "b-clip.png")
    odd = ["two", "number two", "dog"]
    drawn = row("", odd, 100, form="noisy", strength=80.0)
    for word, part in zip(odd, torch.split(drawn, 100), strict=True):
        seen = np.bincount(judge.examine(part)[1], minlength=10)
        found = "  ".join(f"{n} {c}" for n, c in zip(NUMBERS, seen, strict=True) if c)
        print(f"{word!r} of 100: {found}")
    grids.save(grids.sheet(in_rows(odd, drawn), cell=56), out / "b-words.png")


def captions(data: Path, out: Path, minutes: float, encoder: str) -> None:
    """C: does each of sixteen captions recall its own of eighty photographs?"""
    settings = [
        f"data.path={data / 'coco'}",
        f"text.model={encoder}",
        "data.size=64",
        "data.validation=0",
        "data.mirror=false",
        # Eighty pictures by heart: narrow, in patches of 4, and v instead of eps, whose estimates
        # at high noise, where layout and colours are decided, take far longer to come right.
        "net.patch=4",
        "net.widths=64,64,64,64",
        "net.attention=false,true,true,true",
        "diffusion.prediction=v",
        "train.batch=32",
        "train.previews=3",
    ]
    pipeline = trained("coco-text", out / "c", minutes, settings)
    pictures = read_pictures(pipeline.recipe.data)
    rows = torch.arange(0, len(pictures), 5)[:16]
    said = [pictures.groups[int(pictures.group[row])][0] for row in rows]
    real = pictures.pixels().float().flatten(1)
    others = said[:]
    random.Random(0).shuffle(others)
    shown = []
    for name, prompts in (("its own caption", said), ("captions shuffled", others)):
        for scale in (1.0, 2.0):
            drawn = pipeline(prompts, seeds=range(16), scale=scale, steps=50)
            nearest = torch.cdist(drawn.float().flatten(1), real).argmin(1)
            print(f"{name}, guidance {scale:g}: {(nearest == rows).sum()} of 16 nearest to its own")
            if prompts is said:
                shown.append((f"drawn, guidance {scale:g}", drawn[:8].numpy()))
    unasked = pipeline([""] * 8, seeds=range(8), steps=50)
    page = [("photograph", pictures.at(rows)[:8].numpy()), *shown, ("no prompt", unasked.numpy())]
    grids.save(grids.sheet(page, cell=96), out / "c-recall.png")
    grids.save(strip(pipeline, said[:6], sampler="ddim", steps=200, cell=96), out / "c-strip.png")


def progression(
    folder: Path, file: Path, prompts: Sequence[str], score: Callable[[Tensor], float]
) -> None:
    """The same seeds at every checkpoint that the run kept and at its end; the score of each."""
    shown = []
    for path in [*reversed(list(checkpoint.checkpoints(folder))), folder]:
        pipeline = TextToImage.load(path)
        wanted = each(prompts, 500 // len(prompts))
        drawn = pipeline(**wanted)
        steps = pipeline.card.steps
        print(f"  {steps:6} steps: {score(drawn):.3f}", flush=True)
        every = max(1, len(drawn) // 10)
        shown.append((f"{steps} steps", drawn[::every][:10].numpy()))
    grids.save(grids.sheet(shown, cell=64), file)


def sampling(folder: Path, prompts: Sequence[str], score: Callable[[Tensor], float]) -> None:
    """Ancestral against DDIM, guided or not, averaged weights against the last ones."""
    conditional = len(prompts) > 1
    for weights in ("ema", "raw"):
        pipeline = TextToImage.load(folder, weights=weights)
        ways: list[tuple[str, int, float]] = [("ddpm", 100, 1.0), ("ddim", 30, 1.0)]
        ways += [("ddim", 30, 1.5), ("ddim", 30, 2.5)] if conditional else [("dpmpp_2m", 15, 1.0)]
        for sampler, steps, scale in ways:
            wanted = each(prompts, 300 // len(prompts))
            drawn = pipeline(**wanted, sampler=sampler, steps=steps, scale=scale)
            said = f"{weights}, {sampler}, {steps} steps, guidance {scale:g}"
            print(f"  {said:40} {score(drawn):.3f}", flush=True)


CHECKPOINTS = ["train.checkpoint_every=5m", "train.keep=4", "train.previews=4"]


def labels(data: Path, out: Path, minutes: float, encoder: str) -> None:
    """D: MNIST by label at 32x32 with the L1 loss."""
    settings = [f"data.path={data / 'mnist'}", *CHECKPOINTS]
    pipeline = trained("mnist-class-l1", out / "d", minutes, settings)
    judge = judge_of(Data(name="mnist", path=str(data / "mnist")), out / "judge-mnist.safetensors")
    print("share of digits as asked")
    right = lambda images: asked_share(judge, resized(images), 10)  # noqa: E731
    progression(out / "d", out / "d-progression.png", pipeline.classes, right)
    sampling(out / "d", pipeline.classes, right)


def photographs(data: Path, out: Path, minutes: float, encoder: str) -> None:
    """E: CIFAR-10 without labels."""
    settings = [f"data.path={data / 'cifar10'}", *CHECKPOINTS]
    trained("cifar10", out / "e", minutes, settings)
    labelled = Data(name="cifar10", path=str(data / "cifar10"))
    judge = judge_of(labelled, out / "judge-cifar10.safetensors", 2)
    test: Pictures = read_pictures(labelled, "test")
    reference, _ = judge.examine(test.pixels()[:5000])
    floor = frechet(judge.examine(test.pixels()[5000:5500])[0], reference)
    print("Frechet distance, in multiples of 500 real pictures")
    score = lambda images: frechet(judge.examine(images)[0], reference) / floor  # noqa: E731
    progression(out / "e", out / "e-progression.png", [""], score)
    sampling(out / "e", [""], score)


def progressive(data: Path, out: Path, minutes: float, encoder: str) -> None:
    """The wishes of D: few noise levels first, small pictures first, each at equal time."""
    judge = judge_of(Data(name="mnist", path=str(data / "mnist")), out / "judge-mnist.safetensors")
    print(f"noise levels, {minutes / 2:g} minutes each: digits as asked, unguided in 10 calls")
    for name, share in (("all levels", 0.0), ("few first", 0.3)):
        settings = [f"data.path={data / 'mnist'}", f"train.widen={share}"]
        pipeline = trained("mnist", out / f"p-levels-{share:g}", minutes / 2, settings)
        drawn = pipeline(**each(NUMBERS, 200), scale=1.0)
        print(f"  {name:16} {asked_share(judge, drawn, 10):.1%}", flush=True)
    print(f"picture sizes, {minutes:g} minutes each: shapes at 64x64, guidance 1.6")
    asked = list(scenes(0.0, held=False))
    random.Random(0).shuffle(asked)
    asked = asked[:300]
    for name, sizes in (("64 only", "[]"), ("16, 32, 64", "[16,32,64]")):
        folder = out / f"p-sizes-{len(sizes)}"
        pipeline = trained("shapes64", folder, minutes, [f"train.sizes={sizes}"])
        drawn = pipeline([scene.sentences()[0] for scene in asked], seeds=range(len(asked)))
        found = faithfulness(asked, drawn)
        shares = "  ".join(f"{k} {v:.1%}" for k, v in found._asdict().items())
        print(f"  {name:16} {pipeline.card.steps:6} steps  {shares}", flush=True)


REPRODUCTIONS = {
    "a": (text_pooled, 6.0),
    "b": (schedules, 2.0),
    "clip": (clip_guidance, 5.0),
    "c": (captions, 12.0),
    "d": (labels, 20.0),
    "e": (photographs, 20.0),
    "progressive": (progressive, 4.0),
}


@click.command()
@click.argument("which", type=click.Choice(list(REPRODUCTIONS)))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Real data sets.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/reproductions"))
@click.option("--minutes", type=float, help="Of each training; default: its own.")
@click.option("--encoder", default="openai/clip-vit-base-patch32", help="The frozen text encoder.")
def main(which: str, data: Path, out: Path, minutes: float | None, encoder: str) -> None:
    """Train what is not there yet, draw, judge, print."""
    out.mkdir(parents=True, exist_ok=True)
    work, usual = REPRODUCTIONS[which]
    work(data, out, minutes or usual, encoder)


if __name__ == "__main__":
    main()
