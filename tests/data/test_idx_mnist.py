"""Reading IDX files and MNIST."""

import gzip
import struct

import numpy as np
import pytest
import torch

from inkling.data import Options, read
from inkling.data.sets import mnist
from inkling.data.sources.idx import read_idx
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
    train, test = (read("mnist", str(mnist_folder), split) for split in ("train", "test"))
    assert train.pixels().shape == (20, 1, 28, 28)
    assert test.pixels().dtype == torch.uint8
    assert train.labels.tolist() == [i % 10 for i in range(20)]
    assert len(test) == 10


def test_mnist_is_found_in_torchvisions_layout(mnist_folder, tmp_path):
    raw = tmp_path / "elsewhere" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in mnist_folder.glob("*ubyte*"):
        (raw / file.name).write_bytes(file.read_bytes())
    assert len(read("mnist", str(tmp_path / "elsewhere"))) == 20


def test_bad_folders_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        read("mnist", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="holds no train-images-idx3-ubyte"):
        read("mnist", str(tmp_path))
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        read("mnits")
    with pytest.raises(UserError, match="no split of 'digits': 'tset'; did you mean 'test'"):
        read("digits", split="tset")
    with pytest.raises(UserError, match=r"data.hold_out=0.1 means nothing for 'digits'"):
        read("digits", options=Options(hold_out=0.1))
    with pytest.raises(UserError, match="need no folder"):
        read("digits", str(tmp_path))


def test_labels_that_are_no_digits_are_refused(mnist_folder):
    labels = np.full(20, 11, np.uint8)
    (mnist_folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    with pytest.raises(UserError, match="digits 0 to 9"):
        read("mnist", str(mnist_folder))


def test_without_network_the_sentence_says_which_file_goes_where(tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_CACHE", str(tmp_path))
    monkeypatch.setattr(mnist, "MIRROR", "http://127.0.0.1:9/")
    with pytest.raises(
        UserError, match=r"could not download .*train-images.*put the file at .*--data"
    ):
        read("mnist")


def test_a_gzip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("inkling.data.sources.idx._LARGEST", 1000)
    (tmp_path / "file").write_bytes(gzip.compress(idx_bytes(np.zeros(2000, np.uint8))))
    with pytest.raises(UserError, match="unpacks to more than 1,000 bytes"):
        read_idx(tmp_path / "file")
