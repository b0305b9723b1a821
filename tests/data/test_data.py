"""Reading IDX, the named sets, and drawing batches."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
import torch

from inkling.data import DATASETS, mnist, read
from inkling.data.captions import digit_sentences
from inkling.data.idx import read_idx
from inkling.data.pictures import Feed
from inkling.errors import UserError


def idx_bytes(array):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


@pytest.fixture
def mnist_folder(tmp_path):
    generator = np.random.default_rng(0)
    for prefix, count in (("train", 20), ("t10k", 10)):
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        packed = gzip.compress(idx_bytes(images))
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(packed)
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return tmp_path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 4), (2, 1, 3, 2)])
def test_idx_round_trip_is_exact(tmp_path, shape, packed):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    raw = idx_bytes(array)
    (tmp_path / "file").write_bytes(gzip.compress(raw) if packed else raw)
    np.testing.assert_array_equal(read_idx(tmp_path / "file"), array)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda raw: raw[:-3], "cut short"),
        (lambda raw: raw[:6], "cut short"),
        (lambda raw: b"", "not an IDX file"),
        (lambda raw: b"P5 28 28 255 " + raw, "not an IDX file"),
        (lambda raw: gzip.compress(raw)[:-12], "cut short or damaged"),
    ],
)
def test_a_damaged_idx_file_is_named_in_a_sentence(tmp_path, damage, says):
    raw = idx_bytes(np.zeros((4, 5, 5), np.uint8))
    (tmp_path / "bad-idx").write_bytes(damage(raw))
    with pytest.raises(UserError, match=f"bad-idx.*{says}"):
        read_idx(tmp_path / "bad-idx")


def test_mnist_is_read_from_a_folder_gzipped_or_not(mnist_folder):
    train, test = read("mnist", mnist_folder, "train"), read("mnist", mnist_folder, "test")
    assert train.images.shape == (20, 1, 28, 28)
    assert test.images.dtype == torch.uint8
    assert train.labels.tolist() == [i % 10 for i in range(20)]
    assert len(test) == 10


def test_mnist_is_found_in_torchvisions_layout(mnist_folder, tmp_path):
    raw = tmp_path / "elsewhere" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in mnist_folder.glob("*ubyte*"):
        (raw / file.name).write_bytes(file.read_bytes())
    assert len(read("mnist", tmp_path / "elsewhere", "train")) == 20


def test_bad_folders_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        read("mnist", tmp_path / "nowhere", "train")
    with pytest.raises(UserError, match="holds no train-images-idx3-ubyte"):
        read("mnist", tmp_path, "train")
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        read("mnits", None, "train")
    with pytest.raises(UserError, match="need no folder"):
        read("digits", tmp_path, "train")


def test_labels_that_are_no_digits_are_refused(mnist_folder):
    labels = np.full(20, 11, np.uint8)
    (mnist_folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    with pytest.raises(UserError, match="digits 0 to 9"):
        read("mnist", mnist_folder, "train")


def test_without_network_the_sentence_says_which_file_goes_where(tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_CACHE", str(tmp_path))
    monkeypatch.setattr(mnist, "_MIRROR", "http://127.0.0.1:9/")
    with pytest.raises(UserError, match=r"could not download train-images.*--data, or put them"):
        read("mnist", None, "train")


def test_mnist_equals_the_original(real_data):
    train, test = (read("mnist", real_data / "mnist", split) for split in ("train", "test"))
    assert len(train) == 60_000
    assert len(test) == 10_000
    # Sums of all pixels, as published for the original files by many loaders: mean 33.318 / 33.791.
    assert train.images.float().mean().item() == pytest.approx(33.3184, abs=1e-3)
    assert test.images.float().mean().item() == pytest.approx(33.7912, abs=1e-3)
    assert train.sigma_data() == pytest.approx(0.6162, abs=1e-3)
    assert train.labels.bincount().tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    for name, md5 in mnist._MD5.items():
        if "images-idx3" not in name or name.startswith("t10k"):
            assert hashlib.md5((real_data / "mnist" / name).read_bytes()).hexdigest() == md5


@pytest.mark.parametrize("name", DATASETS)
def test_every_set_has_a_licence_and_never_mirrors_digits(name):
    assert DATASETS[name].licence
    assert DATASETS[name].citation
    assert not DATASETS[name].mirror


def test_digits_are_embedded_and_real():
    train, test = read("digits", None, "train"), read("digits", None, "test")
    assert train.images.shape == (1500, 1, 8, 8)
    assert len(test) == 297
    assert train.images.max() == 255
    assert set(train.labels.tolist()) == set(range(10))


def test_the_empty_caption_is_row_zero(pictures):
    assert pictures.sentences[0] == ""
    assert len(set(pictures.sentences)) == len(pictures.sentences)
    assert all(s not in pictures.sentences for group in pictures.held_out for s in group)


def test_split_is_a_partition_from_the_seed(pictures):
    train, held = pictures.split(8, seed=3)
    assert len(train) == 32
    rows = [image.numpy().tobytes() for part in (train, held) for image in part.images]
    assert sorted(rows) == sorted(image.numpy().tobytes() for image in pictures.images)
    again = pictures.split(8, seed=3)[1]
    assert torch.equal(held.images, again.images)
    assert not torch.equal(held.images, pictures.split(8, seed=4)[1].images)


def test_an_epoch_visits_every_picture_once_in_an_order_of_its_own(pictures):
    feed = Feed(pictures, seed=0)
    first, second = (feed.rows(epoch * 40, 40) for epoch in (0, 1))
    assert sorted(first.tolist()) == list(range(40))
    assert sorted(second.tolist()) == list(range(40))
    assert first.tolist() != second.tolist()
    assert Feed(pictures, seed=0).rows(40, 40).tolist() == second.tolist()


def test_batches_run_over_the_end_of_an_epoch(pictures):
    feed = Feed(pictures, seed=0)
    whole = feed.rows(0, 80).tolist()
    assert Feed(pictures, seed=0).rows(35, 12).tolist() == whole[35:47]


def test_captions_belong_to_their_pictures_and_all_wordings_come(pictures):
    feed = Feed(pictures, seed=0)
    seen = set()
    generator = torch.Generator().manual_seed(0)
    for step in range(200):
        batch = feed.batch(step * 8, 8, torch.rand(8, generator=generator))
        for row, label in zip(batch.captions.tolist(), batch.labels.tolist(), strict=True):
            assert pictures.sentences[row] in digit_sentences(label)
            seen.add(row)
    assert seen == set(range(1, len(pictures.sentences)))


def test_the_largest_random_number_stays_inside_its_group(pictures):
    edge = torch.full((8,), float(np.nextafter(np.float32(1), np.float32(0))))
    assert Feed(pictures, seed=0).batch(0, 8, edge).captions.min() > 0
