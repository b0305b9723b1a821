"""Validation of very few pictures, and of captions that share sentences."""

import math
from dataclasses import replace

import pytest
import torch

from inkling.config.overrides import override
from inkling.core.rng import stream
from inkling.pixels import from_bytes
from inkling.runs.auto_recipe import resolve
from inkling.training.contrastive import retrieval
from inkling.training.prepare import prepare
from inkling.training.validation import caption_losses, validate_denoiser

DIGITS = ["data.limit=12", "train.batch=8", "train.steps=2"]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6])
def test_few_held_out_pictures_have_finite_scores(tiny, count):
    state = prepare(override(tiny, [f"data.validation={count}"]), device_name="cpu")
    found = state.validate()
    assert all(map(math.isfinite, [found.loss, *found.scores.values(), *found.levels.values()]))
    assert ("low_noise_loss" in found.scores) == (count > 5)


@pytest.mark.parametrize("kind", ["clip", "judge", "codec"])
def test_one_held_out_picture_is_enough_for_every_objective(kind):
    settings = ["data.limit=4", "data.validation=1", "train.steps=1", "train.batch=4"]
    state = prepare(resolve(f"{kind}-digits", settings), device_name="cpu")
    found = state.validate()
    assert all(map(math.isfinite, [found.loss, *found.scores.values()]))


def told_apart(pictures):
    """The captions of each digit after one that all of them share."""
    groups = tuple(("a picture", *group) for group in pictures.groups)
    return replace(pictures, groups=groups)


def test_a_shared_sentence_does_not_stand_for_a_caption(pictures):
    shared = told_apart(pictures)
    assert shared.distinctive == tuple(group[0] for group in pictures.groups)
    assert replace(pictures, groups=(("a", "b"), ("a", "b"))).distinctive == ("a", "a")


def test_prompts_are_exchanged_among_sentences_that_differ(tiny, pictures, monkeypatch):
    """A model that reads the caption gains as much from it however its captions begin."""
    state = prepare(tiny, device_name="cpu", pictures=(pictures, pictures))

    def gain(held):
        found = validate_denoiser(
            state.model, held, state.recipe.diffusion, seed=0, autocast=state.accelerator.autocast
        )
        return found.scores.get("conditioning_gain")

    with torch.no_grad():  # a network whose output depends on the caption
        for parameter in state.model.network.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.3)
    own = gain(pictures)
    assert abs(own) > 0.001
    assert own == pytest.approx(gain(told_apart(pictures)), abs=1e-6)
    same = replace(pictures, groups=(("a picture",),) * 10)
    assert gain(same) is None


def test_a_clip_that_sees_nothing_finds_nothing(pictures):
    state = prepare(resolve("clip-digits", DIGITS), device_name="cpu")
    clip = state.model.eval()
    unlabelled = replace(pictures, classes=())
    for value in (0.0, torch.nan):
        with torch.no_grad():
            clip.model.visual_projection.weight.fill_(value)
        assert retrieval(clip, pictures) == 0
        assert retrieval(clip, unlabelled) == 0


def test_unknown_labels_and_shared_captions_are_no_failures_of_a_perfect_clip(
    pictures, monkeypatch
):
    state = prepare(resolve("clip-digits", DIGITS), device_name="cpu")
    clip = state.model.eval()
    known = {caption: number for number, caption in enumerate(pictures.distinctive)}
    current = {}

    def encode_images(x, sigma=None):
        rows, current["row"] = current["row"], current["row"] + len(x)
        return torch.eye(10)[current["groups"][rows : rows + len(x)]]

    monkeypatch.setattr(clip, "encode_images", encode_images)
    monkeypatch.setattr(
        clip, "encode_text", lambda said: torch.stack([torch.eye(10)[known[s]] for s in said])
    )
    half = replace(pictures, labels=torch.where(torch.arange(40) < 20, pictures.labels, -1))
    current |= {"row": 0, "groups": half.group[half.labels >= 0]}
    assert retrieval(clip, half) == 1
    shared = replace(pictures, classes=(), groups=(*pictures.groups, *pictures.groups))
    shared = replace(shared, group=torch.arange(40) % 20)
    current |= {"row": 0, "groups": shared.group % 10}
    assert retrieval(clip, shared) == 1


def test_losses_at_a_level_with_own_and_with_exchanged_captions(tiny, pictures):
    state = prepare(tiny, device_name="cpu", pictures=(pictures, pictures))
    diffusion, sigmas = state.recipe.diffusion, torch.tensor([0.5, 5.0])

    def losses():
        return caption_losses(state.model, pictures, diffusion, sigmas, seed=3)

    fresh = losses()  # of a network whose output is zero still
    assert torch.equal(fresh.own, fresh.exchanged)
    clean = from_bytes(pictures.pixels())
    for sigma, loss in zip(sigmas, fresh.own, strict=True):
        # Its guess is the picture scaled by the variance that is the data's (Karras et al. 2022).
        noisy = clean + sigma * torch.randn(clean.shape, generator=stream(3, "levels"))
        data = diffusion.sigma_data**2
        guess = noisy * data / (data + sigma**2)
        weight = (data + sigma**2) / (sigma**2 * data)
        torch.testing.assert_close(loss, weight * (guess - clean).square().mean())
    with torch.no_grad():
        for parameter in state.model.network.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.3)
    learnt = losses()
    assert not torch.equal(learnt.own, learnt.exchanged)
