"""Sampling: image i is image i, and a path is all it needs."""

import pytest
import torch

from inkling import TextToImage
from inkling.core.samplers import SAMPLERS
from inkling.errors import UserError, UserNote
from inkling.sampling.pipeline import to_bytes
from inkling.training.loop import fit


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from inkling.config.overrides import override
    from inkling.config.recipes import DIGITS
    from tests.conftest import TINY

    *_, last = fit(override(DIGITS, [*TINY, "train.steps=12"]), device_name="cpu")
    folder = tmp_path_factory.mktemp("run")
    last.learner.save(folder)
    return folder


@pytest.fixture
def artist(run):
    return TextToImage.load(run, device="cpu")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_image_i_alone_as_in_a_batch_of_seven(artist, sampler):
    prompts = ["seven", "a handwritten three", "", "two", "number five", "9", "eight"]
    options = {"sampler": sampler, "steps": 6, "scale": 1.5}
    together = artist(prompts, seeds=range(7), **options)
    assert together.shape == (7, 1, 8, 8)
    assert together.dtype == torch.uint8
    for i in (0, 4):
        alone = artist([prompts[i]], seeds=[i], **options)
        assert (together[i].int() - alone[0].int()).abs().max() <= 1


def test_batches_do_not_matter(artist):
    prompts = ["seven"] * 9
    whole, parts = (artist(prompts, seeds=range(9), batch=size) for size in (9, 4))
    assert (whole.int() - parts.int()).abs().max() <= 1


def test_seeds_and_prompts_matter(artist):
    one, other, elsewhere = artist(["seven", "seven", "two"], seeds=[1, 2, 1], steps=6)
    assert not torch.equal(one, other)
    assert not torch.equal(one, elsewhere)


def test_steps_are_what_the_strips_draw(artist):
    steps = list(artist.steps(["seven"], seeds=[0], steps=5))
    assert [step.index for step in steps] == [0, 1, 2, 3, 4]
    assert steps[-1].sigma == 0
    assert all(step.x0.abs().max() <= 1 for step in steps)
    assert torch.equal(to_bytes(steps[-1].x), artist(["seven"], seeds=[0], steps=5))


def test_any_size_can_be_drawn(artist):
    assert artist(["seven"], seeds=[0], size=(12, 10)).shape == (1, 1, 12, 10)


def test_settings_default_to_what_the_checkpoint_recommends(artist):
    settings = artist.settings()
    assert settings == artist.recipe.sample
    assert artist.settings(steps=9).steps == 9
    assert artist.settings(steps=9).sampler == settings.sampler


def test_raw_and_averaged_weights_differ(run):
    ema, raw = (TextToImage.load(run, device="cpu", weights=kind) for kind in ("ema", "raw"))
    same = [
        torch.equal(a, b)
        for a, b in zip(ema.model.parameters(), raw.model.parameters(), strict=True)
    ]
    assert not any(same)


def test_an_unknown_word_warns_and_draws(artist):
    with pytest.warns(UserNote, match="never saw 'zebra'"):
        assert artist(["a handwritten zebra"], seeds=[0]).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sampler": "dpmpp"}, "no sampler 'dpmpp'; did you mean 'dpmpp_2"),
        ({"steps": 0}, "steps is 0"),
        ({"scale": -1.0}, "scale is -1.0"),
        ({"scale": float("nan")}, "scale is nan"),
    ],
)
def test_bad_settings_are_one_sentence(artist, options, says):
    with pytest.raises(UserError, match=says):
        artist(["seven"], seeds=[0], **options)


def test_unequal_lengths_and_long_prompts_are_refused(artist):
    with pytest.raises(UserError, match="2 captions for 1 seeds"):
        artist(["seven", "two"], seeds=[0])
    with pytest.raises(UserError, match="10000 characters"):
        artist(["x" * 10_000], seeds=[0])


def test_bytes_are_rounded_and_clipped():
    found = to_bytes(torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]))
    assert found.tolist() == [0, 0, 128, 255, 255]
    everything = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(everything.float() / 127.5 - 1), everything)


def test_a_checkpoint_holds_no_pickle_and_tells_all(run):
    from safetensors import safe_open

    with safe_open(run / "model.safetensors", framework="pt") as stored:
        assert set(stored.metadata()) == {
            "format",
            "recipe",
            "vocabulary",
            "facts",
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
    with pytest.raises(UserError, match="there is no checkpoint at"):
        TextToImage.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no device 'gpu'|no device 'cud'"):
        TextToImage.load(tmp_path, device="cud")


def test_prompts_mix_and_meet_halfway(artist):
    from inkling.sampling.pipeline import between

    first, *_, last = between("zero", "eight", 5)
    ends = artist([first, last], seeds=[3, 4])
    assert torch.equal(ends, artist(["zero", "eight"], seeds=[3, 4]))
    assert between("zero", "eight", 5)[2] == {"zero": 0.5, "eight": 0.5}
    model = artist.model
    mixed = artist._conditions([{"zero": 0.5, "eight": 0.5}])
    parts = [model.condition([word]).vector for word in ("zero", "eight")]
    torch.testing.assert_close(mixed.vector, (parts[0] + parts[1]) / 2)


def test_a_negative_prompt_is_the_null_of_guidance(artist):
    plain = artist(["zero"], seeds=[1], scale=2.0)
    assert torch.equal(plain, artist(["zero"], seeds=[1], scale=2.0, avoid=""))
    assert not torch.equal(plain, artist(["zero"], seeds=[1], scale=2.0, avoid="eight"))
    # Asking for what is avoided leaves nothing to lead: any scale is the plain conditional one.
    same = artist(["zero"], seeds=[1], scale=3.0, avoid="zero")
    alone = artist(["zero"], seeds=[1], scale=1.0)
    assert (same.int() - alone.int()).abs().max() <= 1
    with pytest.raises(UserError, match=r"at scale 1 there is no guidance .* away from 'eight'"):
        artist(["zero"], seeds=[1], scale=1.0, avoid="eight")
