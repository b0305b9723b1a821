"""Figures of samples that a CLIP guides."""

import msgspec
import numpy as np
import pytest
from PIL import Image

from inkling.config.overrides import override
from inkling.config.sample import ClipGuidance
from inkling.errors import UserError
from inkling.inspect import sample_figures
from inkling.inspect.plots import PLOTS, plot
from inkling.inspect.request import PlotRequest
from inkling.sampling.clip_guidance import Guide, guide_for, with_strength
from inkling.visualize import animations, grids
from tests.cli.test_cli import SMALL, inkling, refuses

pytest.importorskip("transformers", reason="the extra clip is not installed")
GUIDED = [name for name, each in PLOTS.items() if each.guided]
TOWERS = ["towers.width=32", "towers.layers=1", "towers.heads=2", "train.batch=32"]
UNCONDITIONAL = ["data.captions=false", "text.encoder=label"]


def settings(*assignments):
    return [part for each in assignments for part in ("--set", each)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "clip"
    inkling("train", "clip-digits", "--steps", 3, "--out", out, *settings(*TOWERS))
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiny"
    inkling("train", "digits", "--out", out, *SMALL, *settings(*UNCONDITIONAL), "--steps", 4)
    return out


@pytest.fixture
def wrapped(monkeypatch):
    """(prompts, strength, form) of every denoiser that a CLIP guided."""
    seen = []
    wrap = Guide.wrap

    def spy(self, denoise, prompts, **given):
        seen.append((list(dict.fromkeys(prompts)), self.settings.strength, self.form))
        return wrap(self, denoise, prompts, **given)

    monkeypatch.setattr(Guide, "wrap", spy)
    return seen


def test_a_clip_guides_the_figures_of_samples():
    assert GUIDED == ["strip", "animation", "animations", "grid", "progression", "sweep", "path"]


@pytest.mark.parametrize("kind", GUIDED)
def test_figures_of_samples_are_guided_towards_their_prompts(run, clip, kind, tmp_path, wrapped):
    asked = {"model": str(clip), "form": "inner", "strength": 3.0, "inner_steps": 1}
    request = PlotRequest([run], ["two"], options={"steps": 3}, guidance=asked)
    plot(kind, request, tmp_path / f"x{PLOTS[kind].suffix}")
    assert wrapped
    assert all(each == (["two"], 3.0, "inner") for each in wrapped)


def test_without_prompts_it_is_asked_for_the_classes_that_the_clip_knows(run, clip):
    request = PlotRequest([run], guidance={"model": str(clip)})
    assert request.pipeline.classes == ()
    assert request.prompts == [""]
    assert request.guided_prompts == list(request.guide.clip.known.classes)
    assert request.guided_prompts[7] == "seven"
    request.guide.clip.known = request.guide.clip.known._replace(classes=())
    del request.guided_prompts
    with pytest.raises(UserError, match=r"knows no classes .* name prompts with --prompt"):
        assert request.guided_prompts


def test_sampler_and_steps_are_those_recommended_under_a_clip(run, clip, tmp_path):
    request = PlotRequest([run], ["two"], guidance={"model": str(clip)})
    request.pipeline.recipe = override(
        request.pipeline.recipe, ["sample.clip.steps=7", "sample.clip.sampler=ddpm"]
    )
    assert request.guided_many == request.guided == {"guide": request.guide}
    with Image.open(plot("animation", request, tmp_path / "x.gif")) as opened:
        assert opened.n_frames == 7


def test_a_sweep_under_a_clip_has_a_row_for_each_strength(run, clip, tmp_path, wrapped):
    request = PlotRequest([run], ["two"], guidance={"model": str(clip), "strength": 8.0})
    request.pipeline.recipe = override(request.pipeline.recipe, ["sample.clip.steps=8"])
    plot("sweep", request, tmp_path / "one.png")
    assert [strength for _, strength, _ in wrapped] == [8.0] * 4  # 1, 2, 4 and 8 steps
    wrapped.clear()
    request = PlotRequest([run], ["two"], options={"steps": 2}, guidance={"model": str(clip)})
    plot("sweep", request, tmp_path / "more.png")
    assert [strength for _, strength, _ in wrapped] == [0.0, 20.0, 80.0, 320.0]


def test_a_recommended_clip_guides_where_prompts_are_given(run, clip, tmp_path, wrapped):
    for given, guided in ((["two"], True), ([], False)):
        request = PlotRequest([run], given, options={"steps": 2})
        request.pipeline.recipe = override(
            request.pipeline.recipe, [f"sample.clip.model={clip}", "sample.clip.strength=2"]
        )
        plot("grid", request, tmp_path / "x.png")
        assert bool(wrapped) == guided
        wrapped.clear()
    request = PlotRequest([run], ["two"], options={"steps": 2})
    request.pipeline.recipe = override(request.pipeline.recipe, [f"sample.clip.model={clip}"])
    with pytest.raises(UserError, match="was trained without captions"):
        plot("between", request, tmp_path / "between.png")
    assert not wrapped


@pytest.mark.parametrize("kind", [name for name in PLOTS if name not in GUIDED])
def test_other_figures_refuse_a_clip_before_it_is_read(run, kind):
    said = refuses("plot", kind, run, "--clip", "nowhere")
    assert f"a CLIP cannot guide the figure {kind}; leave --clip out, or draw strip" in said


def test_all_figures_at_once_are_guided_where_they_can_be(run, clip, wrapped):
    said, warned = inkling("plot", "all", run, "--clip", clip, "--prompt", "two", "--steps", 2)
    names = {line.rpartition("/")[2].split(".")[0] for line in said.splitlines()}
    assert {"strip", "grid", "sweep", "between", "nearest", "forward"} <= names
    assert "CLIP" not in warned
    assert wrapped


def test_settings_of_guidance_reach_the_guide(run, clip, tmp_path, wrapped):
    ways = ("--clip", clip, "--form", "inner", "--strength", 2, "--clip-interval", "0,5")
    steps = ("--inner-steps", 2, "--step-size", 0.5, "--steps", 2)
    out = tmp_path / "x.png"
    inkling("plot", "grid", run, "--prompt", "two", *ways, *steps, "--out", out)
    inkling("sample", run, "two", "--count", 2, *ways, *steps, "--out", out)
    assert wrapped == [(["two"], 2.0, "inner")] * 2
    found = guide_for(
        ClipGuidance(),
        {"model": str(clip), "form": "inner", "interval": (0.0, 5.0), "step_size": 0.5},
        ["two"],
        "cpu",
    )
    assert found.settings.interval == (0.0, 5.0)
    assert with_strength(found, 7.0).settings == msgspec.structs.replace(
        found.settings, strength=7.0
    )


@pytest.mark.parametrize("verb", [("plot", "strip"), ("sample",)])
def test_mistakes_in_guidance_are_one_sentence(run, clip, verb):
    def told(*options):
        prompt = ("--prompt", "two") if verb[0] == "plot" else ("two",)
        return refuses(*verb, run, *prompt, *options)

    missing = told("--clip", "missing")
    assert "there is no folder 'missing', and the hub gave no" in missing
    assert "...); name a folder" in missing, "what the hub says is cut between words"
    alone = "without a CLIP there is nothing that strength could change; name one with --clip"
    assert alone in told("--strength", 2)
    assert "that form and interval could change" in told("--form", "inner", "--clip-interval=1,2")
    several = told("--clip", clip, "--inner-steps", 3, "--step-size", 1)
    assert "inner_steps and step_size would change nothing in the form 'noisy'" in several
    assert "choose among auto, noisy, network, inner" in told("--clip", clip, "--form", "louder")
    assert "has no noise level in it" in told("--clip", clip, "--clip-interval", "3,1")
    assert "is not two noise levels; write 0.3,80" in told("--clip", clip, "--clip-interval", "3")
    assert "finite" in told("--clip", clip, "--strength", "nan")


def test_a_blank_prompt_is_none_to_guide_towards(run, clip):
    said = refuses("plot", "strip", run, "--clip", clip, "--prompt", "")
    assert "a CLIP guides towards a prompt; name one" in said


def test_an_animation_of_many_steps_shows_some_of_them_and_the_last(run, monkeypatch):
    monkeypatch.setattr(animations, "_FRAMES", 4)
    pipeline = PlotRequest([run]).pipeline
    few, many = (
        animations.denoising(pipeline, [""], count=1, sampler="ddim", steps=steps)
        for steps in (4, 10)
    )
    assert len(few) == 4
    assert len(many) == 4  # steps 0, 3, 6 and 9 of 10


def test_a_sweep_from_python_takes_the_options_of_other_figures(run, tmp_path, monkeypatch):
    taken = {}

    def sheet(pipeline, prompts, *, seed, **given):
        taken.update(given)
        return grids.sheet([("", np.zeros((1, 1, 8, 8), np.uint8))])

    monkeypatch.setattr(sample_figures.sweeps, "sweep", sheet)
    request = PlotRequest([run], options={"steps": 3, "sampler": "heun", "scale": 2.0})
    plot("sweep", request, tmp_path / "one.png")
    assert [column.number for column in taken["columns"]] == [3]
    assert [*taken["samplers"], *taken["scales"]] == ["heun", 2.0]
