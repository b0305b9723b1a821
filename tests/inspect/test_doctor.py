"""The doctor finds each planted fault, and nothing in a sound run."""

from dataclasses import replace

import pytest
import torch

from inkling.config.overrides import override
from inkling.config.recipes import SHAPES
from inkling.config.sample import ScheduleConfig
from inkling.core.ema import Ema
from inkling.errors import UserNote
from inkling.inspect import doctor, overfitting
from inkling.inspect.doctor import examine
from inkling.nets.unet import UNet
from inkling.text.transformer import TransformerEncoder
from inkling.training import prepare
from tests.cli.test_cli import SMALL, inkling

SOUND = ["data.limit=40", "train.batch=8", "train.lr=3e-3"]


def wrong(recipe):
    return {finding.check for finding in examine(recipe, "cpu") if not finding.ok}


@pytest.fixture
def sound(tiny, monkeypatch):
    monkeypatch.setattr(overfitting, "_OVERFIT_STEPS", 60)
    return override(tiny, SOUND)


def with_pictures(monkeypatch, change):
    """Let the pictures that are read be changed ones."""
    honest = prepare.read_pictures

    def read(settings):
        found = honest(settings)
        return change(found)

    monkeypatch.setattr(prepare, "read_pictures", read)


def test_a_sound_recipe_has_nothing_wrong(sound):
    findings = list(examine(sound, "cpu"))
    assert [finding.check for finding in findings if not finding.ok] == []
    assert len(findings) == 14


def test_noise_levels_that_leave_out_where_things_are_placed_are_found(monkeypatch):
    monkeypatch.setattr(overfitting, "_OVERFIT_STEPS", 2)
    few = override(SHAPES, ["data.limit=60", "train.batch=8", "net.widths=32"])
    low = ["diffusion.noise.options.mean=0.3", "diffusion.noise.options.std=1.0"]
    found = {each.check: each for each in examine(override(few, low), "cpu")}
    assert not found["layout"].ok
    assert "diffusion.noise.name=auto without" in found["layout"].fix
    assert few.diffusion.noise == ScheduleConfig(name="auto")
    assert {each.check: each for each in examine(few, "cpu")}["layout"].ok


@pytest.mark.parametrize("pooled", [True, False])
def test_a_sound_recipe_with_a_frozen_encoder_has_nothing_wrong(sound, encoder, pooled):
    settings = [
        "text.encoder=frozen",
        f"text.model={encoder}",
        f"text.pooled={pooled}",
        "net.cross_attention=true",
        "net.template=0",
        "data.caption=Drawing of {}",
        "train.lr=1e-2",
    ]
    assert wrong(override(sound, settings)) == set()


@pytest.mark.filterwarnings("ignore:training has noise levels")
def test_values_that_were_scaled_twice(sound, monkeypatch):
    with_pictures(monkeypatch, lambda p: replace(p, images=p.images // 255))
    assert "value range" in wrong(sound)


def test_a_sigma_data_of_something_else(sound):
    assert wrong(override(sound, ["diffusion.sigma_data=5"])) >= {"sigma_data"}


def test_grey_pictures_as_colour(sound, monkeypatch):
    with_pictures(monkeypatch, lambda p: replace(p, images=p.images.repeat(1, 3, 1, 1)))
    assert wrong(sound) == {"channels"}


def test_mirrored_digits(sound):
    assert wrong(override(sound, ["data.mirror=true"])) == {"mirroring"}


@pytest.mark.filterwarnings("ignore:training has noise levels")
def test_a_noisiest_level_that_is_not_noise(sound):
    short = ["diffusion.noise.options.sigma_max=2"]
    assert wrong(override(sound, short)) == {"noise levels"}


@pytest.mark.filterwarnings("ignore:training has noise levels")
def test_sampling_from_levels_that_training_never_had(sound):
    far = ["diffusion.noise.options.sigma_max=50", "sample.grid.options.sigma_max=80"]
    assert wrong(override(sound, far)) == {"noise levels"}


def test_a_drop_that_drops_more_than_it_says(sound, monkeypatch):
    honest = doctor.step_randomness

    def draw(recipe, schedule, step, shape, device):
        drawn = honest(recipe, schedule, step, shape, device)
        dropped = torch.randn(recipe.train.batch) < recipe.train.caption_drop  # drops 54 %
        return drawn._replace(dropped=dropped)

    monkeypatch.setattr(doctor, "step_randomness", draw)
    assert wrong(sound) == {"caption drop"}


def test_captions_that_all_read_like_none(sound, monkeypatch):
    honest = TransformerEncoder.tokenize

    def tokenize(self, captions, *, cut=False):
        return honest(self, ["" for _ in captions], cut=cut)

    monkeypatch.setattr(TransformerEncoder, "tokenize", tokenize)
    assert wrong(sound) >= {"null condition", "prompt"}


def test_an_average_that_takes_buffers_along(sound, monkeypatch):
    class Greedy(Ema):
        def __init__(self, parameters, **settings):
            super().__init__([*parameters, torch.zeros(3)], **settings)

    monkeypatch.setattr(prepare, "Ema", Greedy)
    assert wrong(sound) == {"weight average"}


def test_a_text_encoder_that_gets_no_gradient(sound, monkeypatch):
    honest = TransformerEncoder.forward

    def forward(self, ids):
        return type(honest(self, ids))(*(part.detach() for part in honest(self, ids)))

    monkeypatch.setattr(TransformerEncoder, "forward", forward)
    assert wrong(sound) == {"gradient to the text"}


def test_a_network_that_ignores_the_prompt(sound, monkeypatch):
    honest = UNet.forward

    def forward(self, x, coordinate, cond):
        return honest(self, x, coordinate, cond._replace(vector=0 * cond.vector))

    monkeypatch.setattr(UNet, "forward", forward)
    assert wrong(sound) >= {"prompt"}


def test_a_learning_rate_with_which_nothing_is_learnt(sound):
    slow = override(sound, ["train.lr=1e-9", "train.muon_lr=1e-9"])
    assert wrong(slow) >= {"overfitting eight"}


def test_a_disk_without_room(sound, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert wrong(sound) == {"disk"}


def test_the_command_says_how_to_mend(tmp_path, monkeypatch):
    monkeypatch.setattr(overfitting, "_OVERFIT_STEPS", 60)
    settings = [*SMALL, "--set", "train.lr=3e-3", "--set", "train.batch=8"]
    out, _ = inkling("doctor", "digits", *settings)
    assert out.strip().endswith("all checks passed")
    out, _ = inkling("doctor", "digits", *settings, "--set", "data.mirror=true", code=1)
    assert "WRONG mirroring" in out
    assert "fix: data.mirror=false" in out
    inkling("train", "digits", *settings, "--steps", 2, "--out", tmp_path / "run")
    out, _ = inkling("doctor", tmp_path / "run", "--set", "train.steps=5")
    assert "all checks passed" in out


def test_captions_longer_than_the_encoder_reads_are_cut_as_in_training(sound):
    with pytest.warns(UserNote, match="longer than 3 tokens") as noted:
        found = examine(override(sound, ["text.max_tokens=3"]), "cpu")
        checks = {finding.check for finding in found}
    assert {"null condition", "prompt", "time"} <= checks
    assert not any(str(note.message).startswith("1 of 1 ") for note in noted)
