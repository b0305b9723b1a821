"""Drawn scenes: endless, exact, with combinations held out."""

import numpy as np
import pytest
import torch

from inkling.data import Options, read
from inkling.data.sets import shapes
from inkling.data.sets.shapes import RELATIONS, Scene, Thing, parse, scenes
from inkling.errors import UserError
from inkling.evaluate.shapes import faithfulness, read_scenes

SCENE = Scene(Thing("small", "red", "circle"), Thing("large", "blue", "square"), "above")


def shown(pictures):
    return [pictures.images.shown[group] for group in pictures.group.tolist()]


@pytest.mark.parametrize(("side", "count"), [(24, 300), (32, 2000), (33, 100), (64, 300)])
def test_the_judge_reads_every_picture_right(side, count):
    pictures = read("shapes", options=Options(size=side, limit=count))
    assert list(read_scenes(pictures.pixels())) == shown(pictures)


def test_a_picture_follows_from_its_number_alone():
    pictures = read("shapes")
    alone = pictures.at(torch.tensor([77]))
    among = pictures.at(torch.tensor([5, 999_999, 77, 3]))
    assert torch.equal(alone[0], among[2])
    assert alone.shape == (1, 3, 32, 32)
    fresh = read("shapes", split="test")
    assert not torch.equal(fresh.at(torch.tensor([77])), alone)


def test_captions_belong_to_their_pictures():
    pictures = read("shapes", options=Options(limit=200))
    for group, scene in zip(pictures.group.tolist(), shown(pictures), strict=True):
        assert pictures.groups[group] == scene.sentences()


def test_both_sentences_are_understood():
    one, other = SCENE.sentences()
    assert one == "a small red circle above a large blue square"
    assert other == "a large blue square below a small red circle"
    assert parse(one) == parse(other.upper()) == SCENE
    beside = SCENE._replace(relation="to the left of")
    assert [parse(s) for s in beside.sentences()] == [beside, beside]
    with pytest.raises(UserError, match="is no sentence about shapes; say it like"):
        parse("a small red house above a tree")


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_held_out_pairs_are_spread_and_never_trained_on(share):
    pairs = shapes.held_out_pairs(share)
    assert len(pairs) == round(40 * share)
    seen, held = scenes(share, held=False), scenes(share, held=True)
    assert len(seen) + len(held) == 80 * 80 * 2
    for scene in seen:
        assert not any((thing.colour, thing.shape) in pairs for thing in scene[:2])
    for attribute in range(3):
        values = {thing[attribute] for scene in seen for thing in scene[:2]}
        assert values == {thing[attribute] for thing in shapes.THINGS}
    split = read("shapes", split="held_out", options=Options(hold_out=share, limit=50))
    assert all(any((t.colour, t.shape) in pairs for t in scene[:2]) for scene in shown(split))
    assert {scene.relation for scene in seen} == set(RELATIONS)


def test_faithfulness_counts_each_attribute():
    pictures = read("shapes", options=Options(limit=40))
    images, asked = pictures.pixels(), shown(pictures)
    assert faithfulness(asked, images) == (1, 1, 1, 1, 1, 0)
    blank = torch.full_like(images, 255)
    assert faithfulness(asked, blank) == (0, 0, 0, 0, 0, 1)
    number = np.zeros(1, np.int64)
    drawn = shapes.draw([SCENE], number, 32)
    swapped = Scene(SCENE.second, SCENE.first, SCENE.relation)
    assert faithfulness([swapped], drawn) == (1, 1, 1, 0, 0, 0)
    beside = SCENE._replace(relation="to the left of")
    assert faithfulness([beside], drawn) == (1, 1, 1, 0, 0, 0)
    green = SCENE._replace(second=Thing("small", "green", "square"))
    assert faithfulness([green], drawn) == (0.5, 1, 0.5, 1, 0, 0)


def test_the_judge_bears_the_noise_of_a_model():
    pictures = read("shapes", options=Options(limit=100))
    noise = torch.randn(100, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 12
    noisy = (pictures.pixels() + noise).clamp(0, 255).to(torch.uint8)
    assert faithfulness(shown(pictures), noisy).everything > 0.97


@pytest.mark.parametrize(
    ("path", "options", "says"),
    [
        (".", Options(), "drawn, not read"),
        ("", Options(classes=("red",)), "no classes"),
        ("", Options(channels=1), "coloured"),
        ("", Options(hold_out=0.001), "less than one pair"),
        ("", Options(hold_out=1.0), "no scene is left"),
    ],
)
def test_options_that_shapes_cannot_follow_are_one_sentence(path, options, says):
    with pytest.raises(UserError, match=says):
        read("shapes", path, options=options)


def test_unconditional_shapes():
    assert not read("shapes", options=Options(captions=False, limit=10)).conditional
