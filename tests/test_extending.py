"""A newcomer of each kind is one entry: it trains, samples, comes back from disk and is listed."""

import pytest
import torch
from torch import Tensor, nn

from inkling import TextToImage
from inkling.config.overrides import override
from inkling.contracts import Cond
from inkling.core import SAMPLERS, Solver, Step
from inkling.data import DATASETS, Dataset, read
from inkling.data.source import Item, Source
from inkling.errors import UserError
from inkling.nets import NETWORKS, Network, NetworkConfig
from inkling.settings import Count, Settings
from inkling.text import ENCODERS, TextEncoder
from inkling.training.denoising import DenoisingObjective
from inkling.training.loop import fit
from inkling.training.objectives import OBJECTIVES
from tests.cli.test_cli import inkling


def trained(recipe, folder, *settings):
    *_, last = fit(override(recipe, settings), device_name="cpu")
    last.state.save(folder)
    return TextToImage.load(folder, "cpu")


def test_a_sampler(tiny, tmp_path, monkeypatch):
    def leap(denoise, x, sigmas, *, randn_like=torch.randn_like):
        x0 = denoise(x, sigmas[0])
        yield Step(0, sigmas[-1], x0, x0)

    monkeypatch.setitem(SAMPLERS, "leap", Solver(leap))
    pipeline = trained(tiny, tmp_path, "sample.sampler=leap")
    assert len(list(pipeline.steps(["seven"], seeds=[0], steps=5))) == 1
    assert pipeline(["seven"], seeds=[0], sampler="ddim").shape == (1, 1, 8, 8)
    assert "leap           order 1, one call a step" in inkling("list", "samplers")[0]


class LinearConfig(Settings, NetworkConfig, frozen=True, tag_field="kind", tag="linear"):
    """One matrix a channel."""

    side: Count = 8

    def build(self, channels: int, cond_width: int) -> "Linear":
        return Linear(cond_width, self.side)


class Linear(Network):
    def __init__(self, cond_width: int, side: int):
        super().__init__()
        self.layer = nn.Linear(side**2, side**2)
        self.caption = nn.Linear(cond_width, side**2)

    def forward(self, x: Tensor, coordinate: Tensor, cond: Cond) -> Tensor:
        return (self.layer(x.flatten(2)) + self.caption(cond.vector)[:, None]).view_as(x)


def test_a_network(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "linear", LinearConfig)
    pipeline = trained(tiny, tmp_path, "net.kind=linear", "net.side=8", "train.optimiser=muon")
    assert isinstance(pipeline.model.network, Linear)
    assert pipeline(["seven"], seeds=[0]).shape == (1, 1, 8, 8)
    assert "linear         One matrix a channel." in inkling("list", "networks")[0]
    with pytest.raises(UserError, match=r"net.patch is a setting of net.kind=unet.*transformer"):
        override(tiny, ["net.kind=linear", "net.patch=2"])
    monkeypatch.delitem(NETWORKS, "linear")
    with pytest.raises(UserError, match=r"no net.kind 'linear'; choose among unet, transformer"):
        TextToImage.load(tmp_path)


def test_a_data_set(tiny, tmp_path, monkeypatch):
    def find(folder, split, options):
        def items():
            for number in range(60):
                pixels = torch.full((8, 8), 4 * number, dtype=torch.uint8).numpy()
                yield Item(f"grey {number}", pixels, captions=("dark" if number < 30 else "light",))

        return Source(items, 60, files=[])

    greys = Dataset(title="greys", find=find, licence="CC0", citation="none", size=8, channels=1)
    monkeypatch.setitem(DATASETS, "greys", greys)
    assert set(read("greys").sentences) == {"", "dark", "light"}
    settings = ["data.name=greys", "data.validation=8"]
    assert trained(tiny, tmp_path, *settings)(["dark"], seeds=[0]).shape == (1, 1, 8, 8)
    assert "greys" in inkling("list", "datasets")[0]
    monkeypatch.delitem(DATASETS, "greys")  # sampling needs no data
    assert TextToImage.load(tmp_path)(["light"], seeds=[0]).shape == (1, 1, 8, 8)


class Lengths(TextEncoder):
    """A caption is its length."""

    def __init__(self, width):
        super().__init__()
        self.width, self.layer = width, nn.Linear(1, width)

    @classmethod
    def fit(cls, sentences, *, width, **settings):
        return cls(width)

    @classmethod
    def from_vocabulary(cls, vocabulary, *, width, **settings):
        return cls(width)

    def vocabulary(self):
        return ""

    def tokenize(self, captions, *, cut=False):
        return torch.tensor([[1 + len(caption)] for caption in captions])

    def unknown_words(self, caption):
        return []

    def forward(self, ids):
        return Cond.pooled(self.layer(ids.float()))


def test_a_text_encoder(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(ENCODERS, "lengths", Lengths)
    pipeline = trained(tiny, tmp_path, "text.encoder=lengths")
    assert pipeline(["anything at all"], seeds=[0]).shape == (1, 1, 8, 8)
    assert "lengths        A caption is its length." in inkling("list", "encoders")[0]


def test_an_objective(tiny, tmp_path, monkeypatch):
    class Heavier(DenoisingObjective):
        """Denoising, with every loss doubled."""

        def forward(self, *inputs):
            return 2 * super().forward(*inputs)

    monkeypatch.setitem(OBJECTIVES, "heavier", Heavier)
    first = [next(fit(override(tiny, [f"train.objective={name}"]), device_name="cpu")) for name in
             ("denoising", "heavier")]  # fmt: skip
    assert first[1].loss.item() == pytest.approx(2 * first[0].loss.item())
    pipeline = trained(tiny, tmp_path, "train.objective=heavier")
    assert pipeline(["seven"], seeds=[0]).shape == (1, 1, 8, 8)
    assert "heavier        Denoising, with every loss doubled." in inkling("list", "objectives")[0]
    with pytest.raises(UserError, match=r"no train.objective 'heavyer'; did you mean 'heavier'"):
        next(fit(override(tiny, ["train.objective=heavyer"]), device_name="cpu"))


def test_the_command_lists_every_registry():
    out, _ = inkling("list")
    for kind in ("samplers", "schedules", "predictions", "networks", "encoders", "datasets"):
        assert f"{kind}:" in out
    for name in (*SAMPLERS, *NETWORKS, *DATASETS, *ENCODERS, *OBJECTIVES):
        assert f"  {name} " in out
