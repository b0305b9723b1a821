"""Codecs: pixels are the identity; a learned one is trained, measured, carried along, and refused
where it does not fit.
"""

import shutil

import pytest
import torch

from inkling import TextToImage, data
from inkling.config.overrides import override
from inkling.errors import UserError
from inkling.models.build import load_codec
from inkling.models.codec import PixelCodec
from inkling.nets import Autoencoder, AutoencoderConfig
from inkling.pixels import from_bytes, to_bytes
from inkling.runs.auto_recipe import resolve
from inkling.training.loop import fit
from tests.cli.test_cli import inkling, refuses
from tests.conftest import frozen

SMALL = ["autoencoder.widths=16,32", "autoencoder.latent_channels=8", "train.precision=float32"]


@pytest.fixture(scope="module")
def codec_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec")
    *_, last = fit(resolve("codec-digits", [*SMALL, "train.steps=150"]), device_name="cpu")
    last.state.save(folder)
    return folder, last.state


def test_pixels_go_through_unchanged():
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    codec = PixelCodec()
    assert torch.equal(codec.decode_to_bytes(codec.encode(images)), images)
    assert codec.encoded_shape((3, 5, 7)) == (3, 5, 7)


def test_the_divergence_is_that_of_two_gaussians():
    """Against torch.distributions, which knows it independently."""
    torch.manual_seed(0)
    net = Autoencoder(1, AutoencoderConfig(widths=(8, 8), latent_channels=2))
    x = torch.randn(3, 1, 8, 8)
    _, found = net(x, torch.zeros(3, 2, 4, 4))
    mean, log_variance = net.posterior(x)
    normal = torch.distributions.Normal
    truth = torch.distributions.kl_divergence(
        normal(mean, (log_variance / 2).exp()), normal(torch.zeros(()), torch.ones(()))
    )
    torch.testing.assert_close(found, truth.flatten(1).mean(1))
    plain = Autoencoder(1, AutoencoderConfig(widths=(8, 8), bottleneck="plain"))
    assert torch.equal(plain(x, torch.zeros(3, 4, 4, 4))[1], torch.zeros(3))


def test_it_learns_to_reconstruct(codec_run):
    _, state = codec_run
    found = state.validate()
    blank = from_bytes(state.validation.pixels())
    assert found.loss < 0.1 * blank.var().item()
    assert "dB" in found.text
    assert state.model.hidden_matrices()


def test_latents_are_standardised_and_come_back(codec_run):
    codec, _ = load_codec(codec_run[0])
    images = data.read("digits").pixels()
    codec.measure(images)
    latents = codec.encode(images)
    assert latents.shape == (len(images), 8, 4, 4)
    assert codec.encoded_shape((1, 8, 8)) == (8, 4, 4)
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(8), atol=1e-3, rtol=0)
    error = (codec.decode_to_bytes(latents).float() - images.float()).square().mean().sqrt()
    assert error < 40  # grey values


def test_a_denoiser_of_latents_carries_its_codec(codec_run, tiny, tmp_path):
    folder = tmp_path / "codec"
    shutil.copytree(codec_run[0], folder)
    recipe = override(tiny, [f"data.codec={folder}", "net.positions=4"])
    *_, last = fit(recipe, device_name="cpu")
    assert last.state.recipe.diffusion.sigma_data == pytest.approx(1, abs=0.1)
    found = last.state.validate()
    assert "bits_per_dim" not in found.scores
    last.state.save(tmp_path / "run")
    shutil.rmtree(folder)  # a path to the run is all that sampling needs
    pipeline = TextToImage.load(tmp_path / "run", "cpu")
    of_codec = sum(p.numel() for p in pipeline.model.codec.parameters())
    assert pipeline.card.frozen == {"codec": of_codec}
    everything = sum(p.numel() for p in pipeline.model.parameters())
    assert pipeline.card.parameters + of_codec == everything
    images = pipeline(["seven", "two"], seeds=[0, 1])
    assert images.shape == (2, 1, 8, 8)
    assert images.dtype == torch.uint8
    *_, step = pipeline.steps(["seven"], seeds=[0])
    assert step.x.shape == (1, 8, 4, 4)
    assert (pipeline.decode(step.x).int() - images[:1].int()).abs().max() <= 1


def test_a_latent_run_resumes_without_its_codec(codec_run, tiny, tmp_path):
    folder = tmp_path / "codec"
    shutil.copytree(codec_run[0], folder)
    recipe = override(tiny, [f"data.codec={folder}", "train.steps=6"])
    states = [
        frozen(progress.state.training_checkpoint()) for progress in fit(recipe, device_name="cpu")
    ]
    shutil.rmtree(folder)
    *_, last = fit(states[2].recipe, device_name="cpu", resume=states[2])
    for name, tensor in last.state.model_checkpoint().tensors.items():
        assert torch.equal(tensor, states[-1].tensors[name]), name


def test_codecs_that_do_not_fit_are_one_sentence(codec_run, tiny, tmp_path):
    folder, _ = codec_run
    colour = override(tiny, [f"data.codec={folder}", "data.name=shapes", "data.limit=40"])
    with pytest.raises(UserError, match=r"reads pictures of 1 channels, and these have 3"):
        next(fit(colour, device_name="cpu"))
    odd = override(tiny, [f"data.codec={folder}", "data.size=9"])
    with pytest.raises(UserError, match=r"of 2x2 pixels, which does not divide pictures of 9x9"):
        next(fit(odd, device_name="cpu"))
    with pytest.raises(UserError, match=r"there is no checkpoint"):
        next(fit(override(tiny, ["data.codec=nowhere"]), device_name="cpu"))
    *_, last = fit(tiny, device_name="cpu")
    last.state.save(tmp_path)
    with pytest.raises(UserError, match=r"holds a denoising model, not a codec"):
        next(fit(override(tiny, [f"data.codec={tmp_path}"]), device_name="cpu"))
    with pytest.raises(UserError, match=r"train.sizes averages pixels"):
        override(tiny, [f"data.codec={folder}", "train.sizes=4,8"])
    with pytest.raises(UserError, match=r"which does not divide pictures of 8x8"):
        next(fit(resolve("codec-digits", ["autoencoder.widths=8,8,8,8,8", "train.steps=2"])))


def test_from_the_command_line(tmp_path):
    out = tmp_path / "codec"
    options = [word for setting in SMALL for word in ("--set", setting)]
    said, _ = inkling("train", "codec-digits", "--out", out, *options, "--steps", 12)
    assert "reconstruction" in said
    assert "dB (297 test pictures)" in said
    assert (out / "samples" / "step-000012.png").exists()
    assert (out / "curves.png").exists()
    assert "not a model that samples pictures" in refuses("sample", out)


def test_pictures_that_are_not_finite_are_an_error_and_never_black():
    for value in (torch.nan, torch.inf):
        x = torch.zeros(3, 1, 4, 4)
        x[1, 0, 2, 2] = value
        with pytest.raises(ValueError, match="not finite"):
            to_bytes(x)
        with pytest.raises(UserError, match="sampling diverged"):
            PixelCodec().decode_to_bytes(x)
