"""The real files, where they are: everything in the folder of real data reads."""

import hashlib

import numpy as np
import pytest
import torch

from inkling.data import Options, read
from inkling.data.sets import mnist


def test_mnist_equals_the_original(real_data):
    train, test = (read("mnist", str(real_data / "mnist"), split) for split in ("train", "test"))
    assert len(train) == 60_000
    assert len(test) == 10_000
    # Sums of all pixels, as published for the original files by many loaders: mean 33.318 / 33.791.
    assert train.pixels().float().mean().item() == pytest.approx(33.3184, abs=1e-3)
    assert test.pixels().float().mean().item() == pytest.approx(33.7912, abs=1e-3)
    assert train.sigma_data() == pytest.approx(0.6162, abs=1e-3)
    assert train.labels.bincount().tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert train.pixels().long().sum() == 1_567_298_545
    for name, md5 in mnist.MD5.items():
        if "images-idx3" not in name or name.startswith("t10k"):
            assert hashlib.md5((real_data / "mnist" / name).read_bytes()).hexdigest() == md5


def test_quickdraw_bitmaps_are_the_publishers_bytes(real_data):
    pictures = read("quickdraw", str(real_data / "quickdraw"))
    assert pictures.classes == ("apple", "bicycle", "cat", "diamond", "eye", "fish")
    assert pictures.labels.bincount().tolist() == [2727] * 6
    apples = np.load(real_data / "quickdraw" / "apple.npy", mmap_mode="r")
    assert np.array_equal(pictures.pixels()[:2727].reshape(2727, 784).numpy(), apples[:2727])
    test = read("quickdraw", str(real_data / "quickdraw"), "test", Options(classes=("cat",)))
    cats = np.load(real_data / "quickdraw" / "cat.npy", mmap_mode="r")
    assert np.array_equal(test.pixels().reshape(-1, 784).numpy(), cats[2727:])


def test_cifar10_is_read_from_parquet(real_data):
    pictures = read("cifar10", str(real_data / "cifar10"), "test")
    assert pictures.pixels().shape == (10_000, 3, 32, 32)
    assert pictures.labels.bincount().tolist() == [1000] * 10
    assert pictures.mirror
    assert not pictures.problems
    assert pictures.sigma_data() == pytest.approx(0.50, abs=0.02)


def test_coco_is_read_with_its_captions(real_data):
    train, val = (read("coco", str(real_data / "coco"), split) for split in ("train", "test"))
    assert train.pixels().shape == (80, 3, 64, 64)
    assert {len(train.groups[group]) for group in train.group} == {5}
    assert len(val) == 79
    expected = "3 pictures are not in captions_val2017.json and were left out"
    assert val.problems == (expected,)


def test_a_folder_is_known_by_its_layout(real_data):
    for name, count in (("mnist", 60_000), ("quickdraw", 16_362), ("coco", 80)):
        assert len(read("folder", str(real_data / name))) == count
    bare = read("folder", str(real_data / "coco" / "val2017"))
    assert bare.pixels().shape == (82, 3, 64, 64)
    assert not bare.conditional


def test_choosing_classes_renumbers_them(real_data):
    options = Options(classes=("ship", "cat"), limit=50)
    pictures = read("cifar10", str(real_data / "cifar10"), "test", options)
    assert pictures.classes == ("ship", "cat")
    assert pictures.labels.bincount().tolist() == [50, 50]
    whole = read("cifar10", str(real_data / "cifar10"), "test")
    ships = whole.at(torch.nonzero(whole.labels == 8).flatten()[:50])
    assert torch.equal(pictures.at(torch.nonzero(pictures.labels == 0).flatten()), ships)
