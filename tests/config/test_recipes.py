"""Every named recipe: its size, its JSON, three steps of it made small, a picture from it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from PIL import Image

from inkling.config.overrides import from_json, override, to_json
from inkling.config.recipes import ORIGINS, RECIPES, explained, small
from inkling.config.recipes.reproductions import REPRODUCTIONS
from inkling.contracts import Cond
from inkling.data import Data
from inkling.runs.auto_recipe import resolve
from inkling.sampling.pipeline import TextToImage
from inkling.training.loop import fit

STATED = {"coco-text": 114e6, "mnist-class-l1": 50e6}
"""Parameters, where the source says how many."""
COLOUR = ("cifar10", "celeba", "coco-text", "shapes", "shapes64")


def parameters(recipe, text_width):
    channels = 3 if recipe.name in COLOUR else 1
    with torch.device("meta"):
        built = recipe.net.build(channels, text_width)
    return sum(p.numel() for p in built.parameters())


@pytest.mark.parametrize("name", RECIPES)
def test_it_builds_at_full_size_and_much_smaller(name):
    recipe = RECIPES[name]
    width = 512 if recipe.text.encoder == "frozen" else recipe.text.width
    full = parameters(recipe, width)
    assert full > 3e5
    assert parameters(small(recipe), width) <= min(full, 2e6)
    if name in STATED:
        assert abs(full / STATED[name] - 1) < 0.05


@pytest.mark.parametrize("name", RECIPES)
def test_small_recipes_are_recipes(name):
    assert from_json(to_json(small(RECIPES[name]))) == small(RECIPES[name])
    assert small(small(RECIPES[name])) == small(RECIPES[name])
    assert small(RECIPES[name]).diffusion == RECIPES[name].diffusion


def stand_in(recipe, folder):
    """The recipe's data settings with pictures of the same form: digits, or a folder of noise."""
    if recipe.data.name in ("mnist", "digits", "shapes"):
        name = "shapes" if recipe.data.name == "shapes" else "digits"
        return replace(recipe.data, name=name, validation=8)
    rng = np.random.default_rng(0)
    captioned = recipe.data.name == "coco"
    grey = recipe.data.name == "quickdraw"
    for row in range(12):
        place = folder / ("." if captioned else ("zero", "one")[row % 2])
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40, 40) if grey else (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{row}.png")
        if captioned:
            (place / f"{row}.txt").write_text(f"noise number {row}")
    return replace(recipe.data, name="folder", path=str(folder), validation=2, hold_out=0.0)


@pytest.mark.parametrize("name", RECIPES)
def test_it_takes_three_steps_when_small_and_draws(name, tmp_path, encoder):
    trial = small(RECIPES[name])
    trial = replace(trial, data=stand_in(trial, tmp_path / "data"))
    settings = ["train.steps=3", "train.budget=0", "train.batch=8", "train.precision=float32"]
    if trial.text.encoder == "frozen":
        settings.append(f"text.model={encoder}")
    *_, last = fit(override(trial, settings), device_name="cpu")
    assert torch.isfinite(last.loss)
    assert last.state.skipped == 0
    last.state.save(tmp_path)
    pipeline = TextToImage.load(tmp_path)
    prompt = pipeline.classes[0] if pipeline.classes else ""
    drawn = pipeline([prompt, prompt], seeds=[0, 1], steps=2)
    assert drawn.shape == (2, *pipeline.shape)


def test_every_value_of_a_reproduction_says_where_it_comes_from():
    assert set(ORIGINS) == {recipe.name for recipe in REPRODUCTIONS}
    for recipe in REPRODUCTIONS:
        said = {setting: origin for setting, _, origin, _ in explained(recipe)}
        assert all(said.values())
        assert said["train.steps"] != "inkling's default"
        assert set(ORIGINS[recipe.name]) <= set(said), "an origin of a setting that does not exist"


def test_a_trial_says_what_it_changed():
    recipe = RECIPES["coco-text"]
    said = {setting: origin for setting, _, origin, _ in explained(small(recipe), recipe)}
    assert said["net.widths"] == "changed for the trial"
    assert said["diffusion.loss"] == "as the source states"


KIND_OF_LAYOUT = (
    *("width_change", "downsample_last", "attention_after", "middle_attention", "condition"),
    *("frequencies", "embedding_factor", "activation", "standardised", "down", "up", "skips"),
    *("cross_attention", "feedforward"),
)


@pytest.mark.parametrize("name", [recipe.name for recipe in REPRODUCTIONS])
def test_a_trial_has_the_layout_of_its_recipe(name):
    net, trial = RECIPES[name].net, small(RECIPES[name]).net
    for setting in KIND_OF_LAYOUT:
        assert getattr(trial, setting) == getattr(net, setting), setting
    assert len(trial.widths) == len(net.widths)
    assert bool(trial.up_widths) == bool(net.up_widths)
    assert bool(trial.up_attention) == bool(net.up_attention)


def passed_through(name, side):
    """(side, channels into the first block, out of the last) of every level of the network."""
    with torch.device("meta"):
        network = RECIPES[name].net.build(1, 8)
    seen = []
    for level in (*network.down, network.middle, *reversed(network.up)):
        first, last = level.blocks[0].conv1, level.blocks[-1].conv1
        note = (first.in_channels, last.out_channels)
        level.register_forward_pre_hook(
            lambda _, given, note=note: seen.append((given[0].shape[-1], *note))
        )
    cond = Cond(torch.ones(1, 8), torch.ones(1, 1, 8), torch.ones(1, 1, dtype=torch.bool))
    cond = Cond(*(part.to("meta") for part in cond))
    network(torch.ones(1, 1, side, side, device="meta"), torch.ones(1, device="meta"), cond)
    return seen


def test_the_layouts_of_the_sources_are_those_of_the_recipes():
    assert passed_through("mnist-ddpm", 28) == [
        *((32, 128, 128), (16, 128, 256), (8, 256, 512), (4, 512, 512)),
        *((8, 512 + 512, 512), (16, 512 + 256, 128), (32, 128 + 128, 128)),
    ]
    assert passed_through("mnist-class", 28) == [
        *((32, 64, 64), (16, 64, 128), (8, 128, 256), (4, 256, 256)),
        *((8, 256 + 256, 256), (16, 256 + 128, 64), (32, 64 + 64, 64)),
    ]
    assert passed_through("mnist-class-l1", 32) == [
        *((32, 64, 64), (16, 128, 128), (8, 256, 256), (4, 512, 512), (2, 512, 512)),
        *((4, 512 + 512, 512), (8, 256 + 256, 256), (16, 128 + 128, 128), (32, 64 + 64, 64)),
    ]
    assert passed_through("cifar10", 32) == [
        *((32, 128, 128), (16, 128, 256), (8, 256, 256), (4, 256, 256), (4, 256, 256)),
        *((4, 256 + 256, 256), (8, 256 + 256, 256), (16, 256 + 256, 256), (32, 256 + 128, 128)),
    ]


def test_attention_of_the_layouts_is_where_the_sources_have_it():
    def attention(name):
        with torch.device("meta"):
            network = RECIPES[name].net.build(1, 8)
        ways = (network.down, [network.middle, network.after_middle], network.up)
        return [[len(level.attention) for level in way] for way in ways]

    assert attention("mnist-ddpm") == [[0, 0, 0], [1, 0], [0, 0, 0]]
    assert attention("mnist-class-l1") == [[1, 0, 1, 0], [1, 0], [1, 1, 1, 1]]
    assert attention("cifar10") == [[0, 1, 0, 0], [0, 0], [0, 1, 0, 0]]


def test_parameters_are_those_that_the_page_says():
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    said = " ".join(page.partition("Parameters at full size:")[2].partition("\n\n")[0].split())
    counted = {}
    for recipe in REPRODUCTIONS:
        width = 512 if recipe.text.encoder == "frozen" else recipe.text.width
        counted[recipe.name] = f"{parameters(recipe, width) / 1e6:.1f}M"
    for names, count in re.findall(r"((?:`[a-z0-9-]+`(?: and )?)+) ([\d.]+M)", said):
        for name in re.findall(r"`([^`]+)`", names):
            assert counted.pop(name) == count, name
    assert not counted


def test_the_reproductions_are_what_their_names_resolve_to():
    assert resolve("cifar10", []).train.steps == 350_000
    assert resolve("cifar10", ["train.lr=0.5"], trial=True).train.lr == 0.5


def test_one_sentence_a_class(tmp_path):
    from inkling.data import read_pictures

    pictures = read_pictures(Data(name="digits", caption="Drawing of {}"))
    assert pictures.classes[3] == "Drawing of three"
    assert len(pictures.sentences) == 11
    assert all(
        pictures.groups[group] == (pictures.classes[label],)
        for group, label in zip(pictures.group[:50], pictures.labels[:50], strict=True)
    )
