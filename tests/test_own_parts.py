"""Parts of a user's own by name, `module:name`: the command line, checkpoints, and mistakes."""

import sys
from contextlib import chdir

import pytest
import torch

from inkling import TextToImage, fit, override
from inkling.config.overrides import from_json, to_json
from inkling.core import SAMPLERS, Karras, Step
from inkling.core.noise import make_schedule
from inkling.errors import UserError
from inkling.nets import NETWORKS
from tests.cli.test_cli import inkling

MINE = """
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from inkling.core import Solver, Step
from inkling.core.denoiser import eps
from inkling.nets import Network, NetworkConfig
from inkling.settings import Count, Settings
from inkling.text import TransformerEncoder
from inkling.training.denoising import DenoisingObjective


class Mlp(Network):
    def __init__(self, channels: int, cond_width: int, width: int = 32, side: int = 8):
        super().__init__()
        pixels = channels * side**2
        self.inside = nn.Linear(pixels + 1 + cond_width, width)
        self.outside = nn.Linear(width, pixels)

    def forward(self, x, coordinate, cond):
        joined = torch.cat([x.flatten(1), coordinate[:, None], cond.vector], dim=1)
        return self.outside(self.inside(joined).relu()).view_as(x)


class MlpConfig(Settings, NetworkConfig, frozen=True, tag_field="kind", tag="mlp"):
    width: Count = 32

    def build(self, channels, cond_width):
        return Mlp(channels, cond_width, self.width)


class Odd(Network):
    def __init__(self, channels, cond_width, activation=nn.SiLU):
        super().__init__()

    def forward(self, x, coordinate, cond):
        return x


class Empty(Network):
    def __init__(self, channels, cond_width):
        super().__init__()


class Needy(Network):
    def __init__(self, channels, cond_width, width):
        super().__init__()

    def forward(self, x, coordinate, cond):
        return x


def leap(denoise, x, sigmas, *, randn_like=torch.randn_like):
    for index, (now, nxt) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, now)
        x = x0 + nxt / now * (x - x0)
        yield Step(index, nxt, x, x0)


double = Solver(leap, calls_per_step=2)


@dataclass
class Geometric:
    low: float = 0.01
    high: float = 50.0

    def sigma(self, u):
        return self.low ** (1 - u) * self.high**u


def noise_again(sigma, sigma_data):
    return eps(sigma, sigma_data)


def cubic(output, target):
    return (output - target).abs() ** 3


class Shouting(TransformerEncoder):
    def tokenize(self, captions, *, cut=False):
        return super().tokenize([caption.upper() for caption in captions], cut=cut)


class Doubled(DenoisingObjective):
    def forward(self, *inputs):
        return 2 * super().forward(*inputs)


number = 3
"""


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    with chdir(tmp_path):
        yield
    for registry in (NETWORKS, SAMPLERS):
        registry._own.clear()
    sys.modules.pop("mine", None)


@pytest.mark.parametrize("kind", ["Mlp", "MlpConfig"])
def test_a_network_trains_saves_resumes_and_samples(tiny, kind):
    settings = [f"net.kind=mine:{kind}", "net.width=16", "train.previews=0"]
    recipe = override(tiny, settings)
    assert from_json(to_json(recipe)) == recipe
    states = [progress.state for progress in fit(recipe, device_name="cpu")]
    states[-1].save("run")
    pipeline = TextToImage.load("run", "cpu")
    assert pipeline.model.network.inside.out_features == 16
    assert pipeline("seven").shape == (1, 1, 8, 8)


def test_the_command_line_takes_them_all():
    settings = {
        "net.kind": "mine:Mlp",
        "text.encoder": "mine:Shouting",
        "train.objective": "mine:Doubled",
        "diffusion.prediction": "mine:noise_again",
        "diffusion.loss": "mine:cubic",
        "diffusion.noise.name": "mine:Geometric",
        "sample.sampler": "mine:leap",
        "train.previews": "0",
    }
    changes = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    inkling("train", "digits", "--steps", 3, "--out", "run", *changes)
    _, said = inkling("sample", "run", "seven", "--count", 1)
    assert "mine:leap" in said
    inkling("train", "digits", "--out", "run", "--resume", *changes)


def test_a_function_is_a_sampler(tiny):
    import mine

    *_, last = fit(override(tiny, ["train.previews=0"]), device_name="cpu")
    last.state.save("run")
    pipeline = TextToImage.load("run", "cpu")
    by_function = pipeline("seven", sampler=mine.leap)
    assert torch.equal(by_function, pipeline("seven", sampler="mine:leap"))
    assert torch.equal(by_function, pipeline("seven", sampler="euler"))
    (image,) = pipeline.images("seven", sampler=mine.double)
    assert image.size == (8, 8)
    assert SAMPLERS["mine:double"].calls(3) == 5


def test_a_schedule_has_its_fields_as_options():
    schedule = make_schedule("mine:Geometric", {"low": 0.1})
    assert schedule.sigma(torch.tensor(0.0)) == pytest.approx(0.1)
    with pytest.raises(UserError, match="'lo'; did you mean 'low'"):
        make_schedule("mine:Geometric", {"lo": 0.1})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("net.kind=mine:Mlq", "names nothing that can be imported .* has no attribute 'Mlq'"),
        ("net.kind=nowhere:Mlp", "No module named 'nowhere'"),
        ("net.kind=broken:Mlp", "ZeroDivisionError"),
        ("net.kind=mine:leap", "mine:leap is not a network: a subclass of"),
        ("net.kind=mine:Odd", "for 'activation'; a setting is a number"),
        ("net.kind=mine:Empty", "mine:Empty has no forward; a network must have it"),
        ("net.kind=mine:Needy", "takes 'width' without a default; a setting has one"),
        ("sample.sampler=mine:Mlp", "mine:Mlp is not a sampler: a generator"),
        ("text.encoder=mine:leap", "is not an encoder"),
        ("diffusion.prediction=mine:number", "is not a prediction"),
        ("diffusion.noise.name=mine:leap", "is not a schedule"),
        ("net.kind=unit", "did you mean 'unet'"),
    ],
)
def test_mistakes_get_one_sentence(tiny, change, said):
    with pytest.raises(UserError, match=said):
        override(tiny, [change])


def test_settings_of_a_network_are_checked(tiny):
    with pytest.raises(UserError, match=r"'net.widht'; did you mean 'net.width'"):
        override(tiny, ["net.kind=mine:Mlp", "net.widht=3"])
    with pytest.raises(UserError, match="expected a whole number"):
        override(tiny, ["net.kind=mine:Mlp", "net.width=broad"])


def test_a_checkpoint_away_from_its_module_says_what_is_missing(tiny, tmp_path):
    *_, last = fit(override(tiny, ["net.kind=mine:Mlp", "train.previews=0"]), device_name="cpu")
    last.state.save("run")
    NETWORKS._own.clear()
    sys.modules.pop("mine")
    (tmp_path / "mine.py").unlink()
    with pytest.raises(UserError, match="mine:Mlp names nothing that can be imported"):
        TextToImage.load("run")


def test_a_schedule_of_ours_is_none_of_theirs():
    assert "karras" in {"karras": Karras}
    assert "karras:" not in SAMPLERS
    assert ":leap" not in SAMPLERS


def no_generator(denoise, x, sigmas, *, randn_like=None):
    return x


def nothing(denoise, x, sigmas, *, randn_like=None):
    yield from ()


def no_noise(denoise, x, sigmas):
    yield Step(0, sigmas[-1], x, x)


def test_samplers_are_held_to_their_signature(tiny):
    *_, last = fit(override(tiny, ["train.previews=0"]), device_name="cpu")
    last.state.save("run")
    pipeline = TextToImage.load("run", "cpu")
    with pytest.raises(UserError, match="gave Tensor where a Step was due; a sampler yields"):
        pipeline("seven", sampler=no_generator)
    with pytest.raises(UserError, match="yielded no Step"):
        pipeline("seven", sampler=nothing)
    with pytest.raises(UserError, match="is not a sampler: a generator"):
        pipeline("seven", sampler=no_noise)


def test_networks_are_held_to_their_shapes(tiny, tmp_path, monkeypatch):
    (tmp_path / "flat.py").write_text(
        "from inkling.nets import Network\n\n\n"
        "class Flat(Network):\n"
        "    def __init__(self, channels, cond_width):\n"
        "        super().__init__()\n\n"
        "    def forward(self, x, coordinate, cond):\n"
        "        return x.flatten(1)\n"
    )
    recipe = override(tiny, ["net.kind=flat:Flat", "train.previews=0"])
    with pytest.raises(UserError, match=r"the network Flat returned \[8, 64\] for noisy pictures"):
        [*fit(recipe, device_name="cpu")]
