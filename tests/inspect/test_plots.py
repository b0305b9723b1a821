"""Every figure of a tiny run is drawn, and says what it cannot draw."""

import re
import subprocess

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from inkling.core.noise import Cosine, Linear, LogNormal
from inkling.core.rng import ImageNoise
from inkling.errors import UserError, UserNote
from inkling.inspect import sample_figures
from inkling.inspect.plots import PLOTS, plot
from inkling.inspect.request import PlotRequest
from inkling.models.build import load_denoiser
from inkling.sampling.pipeline import TextToImage
from inkling.visualize.prompt_figures import attention_maps, words_in
from inkling.visualize.strips import TIMES, every, sigma_of, strip, times_of
from inkling.visualize.sweeps import headings_of
from tests.cli.test_cli import SMALL, inkling, refuses


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiny"
    cross = ["--set", "net.cross_attention=true", "--set", "train.checkpoint_every=8"]
    inkling("train", "digits", "--out", out, *SMALL, *cross, "--steps", 20)
    inkling("evaluate", out, "--n", 60, "--no-cas")
    return out


@pytest.mark.parametrize("kind", PLOTS)
def test_every_figure_is_drawn_without_an_option(run, kind, tmp_path):
    suffix = PLOTS[kind].suffix
    asked = PlotRequest([run], options={"steps": 4} if kind in ("nearest", "grid") else {})
    out = plot(kind, asked, tmp_path / f"x{suffix}")
    page = out if out.is_file() else sorted(out.glob("*.gif"))[0]
    with Image.open(page) as opened:
        assert min(opened.size) >= 50
        assert getattr(opened, "n_frames", 1) == (40 if suffix == ".gif" else 1)
        assert np.asarray(opened.convert("RGB")).std() > 5, "there is something on it"


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_animations_come_in_three_formats(run, suffix, tmp_path):
    out = tmp_path / f"x{suffix}"
    said, _ = inkling("plot", "animation", run, "--prompt", "three", "--steps", 6, "--out", out)
    assert str(out) in said
    assert out.stat().st_size > 500
    if suffix == ".mp4":
        import imageio_ffmpeg

        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", out, "-f", "null", "-"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        assert int(re.findall(r"frame= *(\d+)", told)[-1]) == 6 + 22
    else:
        with Image.open(out) as opened:
            assert opened.n_frames == 6


def test_strips_take_levels_in_every_unit(run, tmp_path):
    times, sigmas = sigma_of(TIMES), sigma_of([80, 1, 0], "sigma")
    assert times[0] > 150
    assert times[-1] == 0
    assert sigmas.tolist() == [80, 1, 0]
    torch.testing.assert_close(
        -2 * sigma_of([-4, 0, 4], "logsnr").log(), torch.tensor([-4.0, 0, 4]).double()
    )
    out = tmp_path / "x.png"
    inkling("plot", "strip", run, "--levels", "20,1,0.1", "--unit", "sigma", "--out", out)
    assert "no unit of noise levels 'db'" in refuses(
        "plot", "strip", run, "--levels", "1,0", "--unit", "db"
    )
    assert "0 to 999" in refuses("plot", "strip", run, "--levels", "1000,0")
    assert "takes numbers" in refuses("plot", "strip", run, "--levels", "high")


def test_timesteps_are_those_of_the_model_s_own_schedule():
    assert times_of(Cosine(timesteps=20)) == Cosine(timesteps=20)
    assert times_of(LogNormal()) == times_of(Linear()) == Linear()
    linear, cosine = (sigma_of([999, 500, 0], schedule=kind()) for kind in (Linear, Cosine))
    abar = (1 - Cosine().betas()).cumprod(0)
    torch.testing.assert_close(cosine[:2], ((1 - abar) / abar).sqrt()[[999, 500]])
    assert linear[2] == cosine[2] == 0
    assert cosine[0] > 100 * linear[0]


def test_a_strip_shows_every_so_many_timesteps(run, tmp_path):
    assert every(100) == (999, 900, 800, 700, 600, 500, 400, 300, 200, 100, 0)
    assert every(400) == (999, 600, 200, 0)
    assert every(999) == (999, 1, 0)
    out = tmp_path / "x.png"
    inkling("plot", "strip", run, "--prompt", "two", "--every", 250, "--out", out)
    alone = refuses("plot", "strip", run, "--every", 100, "--levels", "999,0")
    assert "--every counts timesteps" in alone


def test_an_ancestral_recipe_says_that_its_strip_is_shorter(run):
    request = PlotRequest([run])
    sample = msgspec.structs.replace(request.pipeline.recipe.sample, sampler="ddpm", steps=1000)
    recipe = msgspec.structs.replace(request.pipeline.recipe, sample=sample)
    request.pipeline.recipe = recipe
    with pytest.warns(UserNote, match="--sampler ddpm --steps 1000 is how the recipe samples"):
        assert request.many == {"sampler": "ddim", "steps": 100}
    request.options = {"steps": 7}
    assert request.many["steps"] == 7


def test_noise_between_seeds_is_standard_normal_and_ends_at_them():
    shape = (1, 64, 64)
    ends, middle = ImageNoise([3, 4]).draw(shape), ImageNoise([(3, 4, 0.5)]).draw(shape)
    whole = ImageNoise([(3, 4, 0.0), (3, 4, 1.0)]).draw(shape)
    torch.testing.assert_close(whole, ends, rtol=0, atol=1e-6)
    assert middle.std().item() == pytest.approx(1, abs=0.03)
    torch.testing.assert_close(middle[0], (ends[0] + ends[1]) / 2**0.5)


def test_attention_is_a_share_of_every_place(run):
    pipeline = TextToImage.load(run)
    picture, words = attention_maps(pipeline, "a handwritten three")
    assert [word for word, _ in words] == ["a", "handwritten", "three"]
    total = torch.stack([places for _, places in words]).sum(0)
    assert total.shape == picture.shape[-2:]
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-3)


def test_tokens_become_words():
    assert words_in([" a", " hand", "written", " 3", ""]) == [
        ("a", [0]),
        ("handwritten", [1, 2]),
        ("3", [3]),
    ]


def test_several_runs_share_their_curves_and_mistakes_are_one_sentence(run, tmp_path):
    out = tmp_path / "curves.png"
    inkling("plot", "curves", run, run, "--out", out)
    assert out.exists()
    assert "animation" in inkling("plot")[0]
    assert "no figure 'stripe'" in refuses("plot", "stripe", run)
    assert "name the run" in refuses("plot", "strip")
    assert "no animation" in refuses("plot", "animation", run, "--out", tmp_path / "x.avi")


def test_a_strip_may_be_long(run):
    levels = [80 * 0.8**step for step in range(20)]
    page = strip(TextToImage.load(run), ["three"], levels, "sigma")
    assert page.size[0] > 20 * 64
    assert page.size[1] < 2 * 80, "one row"


def test_a_figure_that_cannot_be_written_is_one_sentence(run, tmp_path):
    assert "cannot write" in refuses("plot", "curves", run, "--out", tmp_path / "x.foo")
    (tmp_path / "file").write_text("")
    assert "cannot write" in refuses("plot", "path", run, "--out", tmp_path / "file" / "x.png")


@pytest.mark.parametrize("captions", ["true", "false"])
def test_all_of_them_at_once_pass_over_what_cannot_be(tmp_path, captions):
    out = tmp_path / "run"
    (tmp_path / "bare").mkdir()
    generator = np.random.default_rng(0)
    for number in range(40):
        pixels = generator.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "bare" / f"{number}.png")
    name = tmp_path / "bare" if captions == "true" else "digits"
    bare = ["--set", f"data.captions={captions}", "--set", "text.encoder=label"]
    bare += ["--set", "data.validation=10"]
    inkling("train", name, "--out", out, *SMALL, *bare, "--steps", 4)
    said, warned = inkling("plot", "all", out, "--steps", 2)
    assert len(said.splitlines()) >= 10
    assert "no attention" in warned
    assert "no confusion" in warned


def test_a_progression_has_a_row_for_every_milestone_and_eight_pictures_in_each(tmp_path):
    """Of an unconditional run, in averaged and in last weights."""
    out = tmp_path / "run"
    settings = [*SMALL, "--set", "data.captions=false", "--set", "text.encoder=label"]
    moments = ["--set", "train.milestones=2,50%,5,8"]
    inkling("train", "digits", "--out", out, *settings, *moments, "--steps", 8)
    pages = []
    for weights in ("ema", "raw"):
        request = PlotRequest([out], weights=weights)
        stages = sample_figures._stages(request)
        assert sorted(stages) == [2, 4, 5, 8]
        expected = load_denoiser(out / "milestones" / "step-00000004.safetensors", weights)
        found = stages[4].model.state_dict()
        assert all(torch.equal(found[n], w) for n, w in expected.model.state_dict().items())
        plot("progression", request, tmp_path / f"{weights}.png")
        pages.append(Image.open(tmp_path / f"{weights}.png").convert("RGB"))
    assert pages[0].size == pages[1].size
    assert pages[0].tobytes() != pages[1].tobytes()
    assert pages[0].width > 8 * 56
    assert pages[0].height > 4 * 56


def test_a_progression_of_one_moment_says_how_to_keep_more(tmp_path):
    out = tmp_path / "run"
    inkling("train", "digits", "--out", out, *SMALL, "--set", "train.milestones=[]", "--steps", 2)
    (out / "best.safetensors").unlink()
    with pytest.raises(UserError, match=r"one moment only; .* train\.milestones=10%,30%,60%"):
        plot("progression", PlotRequest([out]), tmp_path / "x.png")


def test_columns_are_headed_by_what_tells_prompts_apart():
    assert headings_of(["Drawing of a cat", "Drawing of a cow"]) == ["cat", "cow"]
    assert headings_of(["seven", "six"]) == ["seven", "six"]
    assert headings_of(["a red kite"] * 2) == ["a red kite"] * 2
    assert headings_of(["", ""]) == ["", ""]
    assert headings_of(["a kite", "a kite at sea"]) == ["kite", "kite at se"]
