"""The one in-memory form, and how batches are drawn from it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from inkling.data import DATASETS, read
from inkling.data.captions import digit_sentences
from inkling.data.pictures import Feed


@pytest.mark.parametrize("name", DATASETS)
def test_every_set_has_a_licence_and_never_mirrors_digits(name):
    assert DATASETS[name].licence
    assert DATASETS[name].citation
    digits_or_letters = name in ("mnist", "digits", "quickdraw", "folder", "hub")
    assert not (digits_or_letters and DATASETS[name].mirror)


def test_digits_are_embedded_and_real():
    train, test = read("digits"), read("digits", split="test")
    assert train.pixels().shape == (1500, 1, 8, 8)
    assert len(test) == 297
    assert train.pixels().max() == 255
    assert set(train.labels.tolist()) == set(range(10))


def test_the_empty_caption_is_row_zero(pictures):
    assert pictures.sentences[0] == ""
    assert len(set(pictures.sentences)) == len(pictures.sentences)
    assert all(s not in pictures.sentences for group in pictures.held_out for s in group)


def test_split_is_a_partition_from_the_seed(pictures):
    train, held = pictures.split(8, seed=3)
    assert len(train) == 32
    rows = [image.numpy().tobytes() for part in (train, held) for image in part.pixels()]
    assert sorted(rows) == sorted(image.numpy().tobytes() for image in pictures.pixels())
    again = pictures.split(8, seed=3)[1]
    assert torch.equal(held.pixels(), again.pixels())
    assert not torch.equal(held.pixels(), pictures.split(8, seed=4)[1].pixels())


def test_an_epoch_visits_every_picture_once_in_an_order_of_its_own(pictures):
    feed = Feed(pictures, seed=0)
    first, second = (feed.visits(epoch * 40, 40) for epoch in (0, 1))
    assert sorted(first.tolist()) == list(range(40))
    assert sorted(second.tolist()) == list(range(40))
    assert first.tolist() != second.tolist()
    assert Feed(pictures, seed=0).visits(40, 40).tolist() == second.tolist()


def test_batches_run_over_the_end_of_an_epoch(pictures):
    feed = Feed(pictures, seed=0)
    whole = feed.visits(0, 80).tolist()
    assert Feed(pictures, seed=0).visits(35, 12).tolist() == whole[35:47]


def test_captions_belong_to_their_pictures_and_all_wordings_come(pictures):
    feed = Feed(pictures, seed=0)
    seen = set()
    generator = torch.Generator().manual_seed(0)
    for step in range(200):
        batch = feed.batch(step * 8, torch.rand(8, generator=generator))
        for row, label in zip(batch.captions.tolist(), batch.labels.tolist(), strict=True):
            assert pictures.sentences[row] in digit_sentences(label)
            seen.add(row)
    assert seen == set(range(1, len(pictures.sentences)))


def test_the_largest_random_number_stays_inside_its_group(pictures):
    edge = torch.full((8,), float(np.nextafter(np.float32(1), np.float32(0))))
    assert Feed(pictures, seed=0).batch(0, edge).captions.min() > 0


@pytest.mark.parametrize("share", [0.0, 0.75, 1.0])
def test_the_first_wording_comes_as_often_as_asked(pictures, share):
    feed = Feed(pictures, seed=0, first_wording=share)
    wording, generator = torch.linspace(0, 1 - 1e-4, 40), torch.Generator().manual_seed(0)
    first, count = 0, 0
    for visit in range(0, 400, 40):
        captions, groups = feed.captions(visit, wording[torch.randperm(40, generator=generator)])
        for row, group in zip(captions.tolist(), groups.tolist(), strict=True):
            sentences = pictures.groups[group]
            assert pictures.sentences[row] in sentences
            first += pictures.sentences[row] == sentences[0]
            count += 1
    equal = sum(1 / len(pictures.groups[group]) for group in pictures.group) / len(pictures)
    assert first / count == pytest.approx(share or equal, abs=0.06)


def test_mirroring_turns_the_chosen_pictures_but_none_whose_sentence_has_a_side(pictures):
    sided = replace(pictures, groups=(("a dog on the left",), *pictures.groups[1:]))
    wording, mirrored = torch.zeros(40), torch.arange(40) % 2 == 0
    plain = Feed(sided, seed=0).batch(0, wording)
    turned = Feed(sided, seed=0).batch(0, wording, mirrored)
    for row in range(40):
        flips = mirrored[row] and turned.labels[row] != 0
        expected = plain.images[row].flip(-1) if flips else plain.images[row]
        assert torch.equal(turned.images[row], expected)


def test_pictures_too_large_for_a_device_stay_where_they_are(pictures):
    meta = torch.device("meta")
    assert pictures.to(meta).images.device == meta
    assert pictures.to(meta, room=1000).images.device.type == "cpu"


def test_a_split_copies_no_pixel(pictures):
    train, held = pictures.split(8, seed=0)
    assert train.images is held.images is pictures.images
    assert torch.equal(train.take(torch.tensor([3])).pixels(), train.at(torch.tensor([3])))
