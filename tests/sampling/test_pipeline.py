"""Sampling: image i is image i, and a path is all it needs."""

import pytest
import torch
from msgspec.structs import replace

from inkling import TextToImage
from inkling.config.sample import ScheduleConfig
from inkling.core.samplers import SAMPLERS
from inkling.errors import UserError, UserNote
from inkling.pixels import from_bytes, to_bytes
from inkling.training.loop import fit


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from inkling.config.overrides import override
    from inkling.config.recipes import DIGITS
    from tests.conftest import TINY

    *_, last = fit(override(DIGITS, [*TINY, "train.steps=12"]), device_name="cpu")
    folder = tmp_path_factory.mktemp("run")
    last.state.save(folder)
    return folder


@pytest.fixture
def pipeline(run):
    return TextToImage.load(run, device="cpu")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_image_i_alone_as_in_a_batch_of_seven(pipeline, sampler):
    prompts = ["seven", "a handwritten three", "", "two", "number five", "9", "eight"]
    options = {"sampler": sampler, "steps": 6, "scale": 1.5}
    together = pipeline(prompts, seeds=range(7), **options)
    assert together.shape == (7, 1, 8, 8)
    assert together.dtype == torch.uint8
    for i in (0, 4):
        alone = pipeline([prompts[i]], seeds=[i], **options)
        assert (together[i].int() - alone[0].int()).abs().max() <= 1


def test_batches_do_not_matter(pipeline):
    prompts = ["seven"] * 9
    whole, parts = (pipeline(prompts, seeds=range(9), batch=size) for size in (9, 4))
    assert (whole.int() - parts.int()).abs().max() <= 1


def test_seeds_and_prompts_matter(pipeline):
    one, other, elsewhere = pipeline(["seven", "seven", "two"], seeds=[1, 2, 1], steps=6)
    assert not torch.equal(one, other)
    assert not torch.equal(one, elsewhere)


def test_steps_are_what_the_strips_draw(pipeline):
    steps = list(pipeline.steps(["seven"], seeds=[0], steps=5))
    assert [step.index for step in steps] == [0, 1, 2, 3, 4]
    assert steps[-1].sigma == 0
    assert all(step.x0.abs().max() <= 1 for step in steps)
    assert torch.equal(to_bytes(steps[-1].x), pipeline(["seven"], seeds=[0], steps=5))


def test_any_size_can_be_drawn(pipeline):
    assert pipeline(["seven"], seeds=[0], size=(12, 10)).shape == (1, 1, 12, 10)


def test_settings_default_to_what_the_checkpoint_recommends(pipeline):
    settings = pipeline.settings()
    assert settings == pipeline.recipe.sample
    assert pipeline.settings(steps=9).steps == 9
    assert pipeline.settings(steps=9).sampler == settings.sampler


def test_raw_and_averaged_weights_differ(run):
    ema, raw = (TextToImage.load(run, device="cpu", weights=kind) for kind in ("ema", "raw"))
    same = [
        torch.equal(a, b)
        for a, b in zip(ema.model.parameters(), raw.model.parameters(), strict=True)
    ]
    assert not any(same)


def test_an_unknown_word_warns_and_draws(pipeline):
    with pytest.warns(UserNote, match="never saw 'zebra'"):
        assert pipeline(["a handwritten zebra"], seeds=[0]).shape == (1, 1, 8, 8)


def test_a_mistyped_word_is_answered_with_the_known_one(pipeline):
    expected = r"never saw 'sevn' \(did you mean 'seven'\?\), 'zebra' in training"
    with pytest.warns(UserNote, match=expected):
        pipeline(["a handwritten sevn zebra"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sampler": "dpmpp"}, "no sampler 'dpmpp'; its name here is 'dpmpp_2"),
        ({"sampler": "HEUN"}, "no sampler 'HEUN'; did you mean 'heun'. choose among euler, ddim, "),
        ({"steps": 0}, "steps=0: expected a whole number >= 1"),
        ({"scale": -1.0}, "scale=-1.0: expected a number >= 0"),
        ({"stepz": 3}, "no argument 'stepz'; did you mean 'steps'"),
        ({"scale": "much"}, "scale=much: expected a number"),
    ],
)
def test_bad_settings_are_one_sentence(pipeline, options, says):
    with pytest.raises(UserError, match=says):
        pipeline(["seven"], seeds=[0], **options)


def test_unequal_lengths_and_long_prompts_are_refused(pipeline):
    with pytest.raises(UserError, match="2 captions for 1 seeds"):
        pipeline(["seven", "two"], seeds=[0])
    with pytest.raises(UserError, match="10000 characters"):
        pipeline(["x" * 10_000], seeds=[0])


def test_one_prompt_needs_no_list_and_no_seeds(pipeline):
    first = pipeline(["seven"], seeds=[0])
    assert torch.equal(pipeline("seven"), first)
    assert torch.equal(pipeline(7), first)
    assert torch.equal(pipeline(torch.tensor(7)), first)
    two = pipeline(["seven", "three"], seeds=[0, 1])
    assert torch.equal(pipeline(["seven", "three"]), two)
    assert torch.equal(pipeline(each for each in ("seven", "three")), two)
    counting = pipeline(["seven"] * 3, seeds=[5, 6, 7])
    for options in ({"count": 3, "seed": 5}, {"seeds": [5, 6, 7]}, {"seeds": torch.arange(5, 8)}):
        assert torch.equal(pipeline("seven", **options), counting)
    each = pipeline(["seven", "three"], count=2)
    assert torch.equal(each, pipeline(["seven", "seven", "three", "three"], seeds=range(4)))
    mixed = {"zero": 0.5, "eight": 0.5}
    assert torch.equal(pipeline(mixed), pipeline([mixed], seeds=[0]))
    assert len(list(pipeline.steps("seven", steps=3))) == 3


@pytest.mark.parametrize(
    ("captions", "options", "says"),
    [
        (None, {}, "a string or a list of strings, and None is of the type NoneType"),
        (0.5, {}, "must be a string or a list of strings, and 0.5 is of the type float"),
        (["seven", None], {}, "must be a string or a list of strings, and None"),
        (torch.tensor(0.5), {}, "is of the type Tensor"),
        (torch.tensor([0.5]), {}, "and 0.5 is of the type float"),
        (b"seven", {}, "and b'seven' is of the type bytes"),
        ({"seven", "two"}, {}, "is of the type set"),
        ([["seven"]], {}, "is of the type list"),
        ([], {}, "there is no caption to sample"),
        ([{"zero": "much"}], {}, "the weight 'much' of 'zero' in a mixture is no finite number"),
        ([{"zero": float("nan")}], {}, "the weight nan of 'zero'"),
        ("seven", {"seeds": 5}, "seeds=5 should be a list .* write seed=5"),
        ("seven", {"seeds": ["a"]}, "should be a list of whole numbers"),
        ("seven", {"seeds": [0], "seed": 1}, "seed=1 counts on from one seed, and seeds names"),
        ("seven", {"seed": 0.5}, "seed=0.5 is no whole number"),
        ("seven", {"count": 0}, "count=0 pictures of each prompt: give a whole number >= 1"),
        ("seven", {"count": 2.5}, "count=2.5 pictures of each prompt"),
        ("seven", {"count": 2, "seeds": [0]}, "2 captions for 1 seeds"),
        ("seven", {"guidance_scale": 2.0, "scale": 2.0}, "guidance_scale is another name of scale"),
    ],
)
def test_wrong_kinds_are_one_sentence(pipeline, captions, options, says):
    with pytest.raises(UserError, match=says):
        pipeline(captions, **options)


def test_eta_adds_fresh_noise_to_ddim_and_belongs_to_it(pipeline):
    plain, ancestral = (pipeline("seven", sampler=each, steps=6) for each in ("ddim", "ddpm"))
    found = [pipeline("seven", sampler="ddim", steps=6, eta=eta) for eta in (0.0, 0.5, 1.0)]
    assert torch.equal(found[0], plain)
    assert not torch.equal(found[1], plain)
    assert torch.equal(found[2], ancestral)
    with pytest.raises(UserError, match=r"eta=0.5 .* and dpmpp_2m takes none"):
        pipeline("seven", sampler="dpmpp_2m", eta=0.5)
    with pytest.raises(UserError, match=r"eta=1.5: expected a number <= 1"):
        pipeline("seven", sampler="ddim", eta=1.5)
    sample = replace(pipeline.recipe.sample, sampler="ddim", eta=0.5)
    pipeline.recipe = replace(pipeline.recipe, sample=sample)
    assert pipeline.settings(steps=9).eta == 0.5
    assert pipeline.settings(sampler="heun").eta == 0
    assert pipeline.settings(guided=True).eta == 0


def test_names_of_diffusers_are_understood(pipeline):
    theirs = pipeline.settings(guidance_scale=3.0, num_inference_steps=7)
    assert theirs == pipeline.settings(scale=3.0, steps=7)
    options = {"num_inference_steps": 3, "guidance_scale": 2}
    assert torch.equal(pipeline("seven", **options), pipeline("seven", steps=3, scale=2))


def test_settings_beside_settings_are_not_passed_over(pipeline):
    with pytest.raises(UserError, match="steps, scale would be passed over"):
        pipeline("seven", settings=pipeline.settings(), steps=3, scale=2)


def test_bytes_are_rounded_and_clipped():
    found = to_bytes(torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]))
    assert found.tolist() == [0, 0, 128, 255, 255]
    everything = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(from_bytes(everything)), everything)


def test_a_checkpoint_holds_no_pickle_and_tells_all(run):
    from safetensors import safe_open

    with safe_open(run / "model.safetensors", framework="pt") as stored:
        assert set(stored.metadata()) == {
            "format",
            "recipe",
            "vocabulary",
            "card",
            "progress",
            "digest",
        }


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda raw: raw[: len(raw) // 2], "truncated, damaged or not"),
        (lambda raw: raw[:5], "truncated, damaged or not"),
        (lambda raw: b"", "truncated, damaged or not"),
        (lambda raw: b"PK\x03\x04" + raw, "truncated, damaged or not"),
    ],
)
def test_a_spoilt_checkpoint_is_one_sentence(run, tmp_path, spoil, says):
    raw = (run / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(spoil(raw))
    with pytest.raises(UserError, match=says):
        TextToImage.load(tmp_path)


def test_other_peoples_safetensors_are_told_apart(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="not an inkling checkpoint"):
        TextToImage.load(tmp_path)
    save_file({"a": torch.zeros(2)}, tmp_path / "old.safetensors", {"format": "inkling 2"})
    with pytest.raises(UserError, match=r"earlier version .*'inkling 2', .* train it again"):
        TextToImage.load(tmp_path / "old.safetensors")
    with pytest.raises(UserError, match="there is no checkpoint at"):
        TextToImage.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no device 'gpu'|no device 'cud'"):
        TextToImage.load(tmp_path, device="cud")


def test_prompts_mix_and_meet_halfway(pipeline):
    from inkling.sampling.conditions import joined
    from inkling.sampling.prompts import between

    first, *_, last = between("zero", "eight", 5)
    ends = pipeline([first, last], seeds=[3, 4])
    assert torch.equal(ends, pipeline(["zero", "eight"], seeds=[3, 4]))
    assert between("zero", "eight", 5)[2] == {"zero": 0.5, "eight": 0.5}
    model = pipeline.model
    parts = [model.encode_text([word]).vector for word in ("zero", "eight")]
    encoded = {word: model.encode_text([word]) for word in ("zero", "eight")}
    mixed = joined([{"zero": 0.5, "eight": 0.5}], encoded)
    torch.testing.assert_close(mixed.vector, (parts[0] + parts[1]) / 2)


def test_a_negative_prompt_is_the_null_of_guidance(pipeline):
    plain = pipeline(["zero"], seeds=[1], scale=2.0)
    assert torch.equal(plain, pipeline(["zero"], seeds=[1], scale=2.0, negative_prompt=""))
    assert not torch.equal(plain, pipeline(["zero"], seeds=[1], scale=2.0, negative_prompt="eight"))
    # Asking for what is avoided leaves nothing to lead: any scale is the plain conditional one.
    same = pipeline(["zero"], seeds=[1], scale=3.0, negative_prompt="zero")
    alone = pipeline(["zero"], seeds=[1], scale=1.0)
    assert (same.int() - alone.int()).abs().max() <= 1
    with pytest.raises(UserError, match=r"need the CLIP itself"):
        pipeline(["zero"], seeds=[1], clip={"model": "somewhere"})
    with pytest.raises(UserError, match=r"at scale 1 guidance does not lead away .*'eight'"):
        pipeline(["zero"], seeds=[1], scale=1.0, negative_prompt="eight")


def test_an_empty_caption_that_was_never_trained_is_said(pipeline):
    train = replace(pipeline.recipe.train, caption_drop=0.0)
    pipeline.recipe = replace(pipeline.recipe, train=train)
    for prompts, options in ((["", "seven"], {"scale": 1.0}), (["seven"], {"scale": 1.5})):
        with pytest.warns(UserNote, match="never saw the empty caption"):
            pipeline(prompts, seeds=range(len(prompts)), **options)
    pipeline(["seven"], seeds=[0], scale=1.0)
    pipeline(["seven"], seeds=[0], scale=1.5, negative_prompt="eight")


def test_sampling_beyond_the_levels_of_training_is_one_line(pipeline):
    grid = ScheduleConfig(name="karras", options={"sigma_max": 20_300.0})
    with pytest.warns(UserNote, match="it starts at 254 times the noisiest level of training"):
        pipeline(["seven"], seeds=[0], grid=grid)


def test_threads_and_a_lower_precision_change_pictures_by_rounding_alone(pipeline, monkeypatch):
    prompts = ["zero", "one", "two", "seven"] * 10
    one = pipeline(prompts, precision="float32").int()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    split = pipeline(prompts, precision="float32").int()
    assert (one - split).abs().max() <= 1
    lower = pipeline(prompts, precision="bfloat16").int()
    assert 0 < (one - lower).abs().float().mean() < 4
