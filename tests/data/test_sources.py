"""Every format, on small files written here: what is lossless comes back pixel by pixel."""

import io
import json
import os
import pickle
import shutil
import tarfile
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from PIL import Image

from inkling.data import Options, read
from inkling.data.sets import cifar10
from inkling.data.sets.cifar10 import CLASSES
from inkling.data.sources.parquet import parquet
from inkling.data.sources.strokes import rasterised
from inkling.data.sources.tars import shards
from inkling.errors import UserError

RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def png(pixels):
    raw = io.BytesIO()
    Image.fromarray(pixels).save(raw, "PNG")
    return raw.getvalue()


def chw(pixels):
    return pixels.transpose(0, 3, 1, 2)


def own(path, split="train", **options):
    return read("folder", str(path), split, Options(**options))


# CIFAR


def python_batch(pixels, labels):
    """As Python 2 pickled it: byte strings for keys, protocol 2."""
    rows = chw(pixels).reshape(len(pixels), -1)
    return pickle.dumps({b"data": rows, b"labels": labels}, protocol=2)


def binary_batch(pixels, labels):
    rows = chw(pixels).reshape(len(pixels), -1)
    return b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, rows, strict=True))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("folder", "ending", "written", "archive"),
    [
        ("cifar-10-batches-py", "", python_batch, "cifar-10-python.tar.gz"),
        ("cifar-10-batches-bin", ".bin", binary_batch, "cifar-10-binary.tar.gz"),
    ],
)
def test_cifar_archives_round_trip(tmp_path, folder, ending, written, archive, packed):
    pixels, labels = noise(30, 32, 32, 3), (np.arange(30) % 10).tolist()
    inside = tmp_path / folder
    inside.mkdir()
    for number in range(5):
        part = slice(number * 5, number * 5 + 5)
        raw = written(pixels[part], labels[part])
        (inside / f"data_batch_{number + 1}{ending}").write_bytes(raw)
    (inside / f"test_batch{ending}").write_bytes(written(pixels[25:], labels[25:]))
    (inside / "readme.html").write_text("not a batch")
    if packed:
        with tarfile.open(tmp_path / archive, "w:gz") as tar:
            tar.add(inside, folder)
        for file in inside.iterdir():
            file.unlink()
        inside.rmdir()
    train, test = (read("cifar10", str(tmp_path), split) for split in ("train", "test"))
    assert np.array_equal(train.pixels().numpy(), chw(pixels[:25]))
    assert train.labels.tolist() == labels[:25]
    assert np.array_equal(test.pixels().numpy(), chw(pixels[25:]))
    assert train.classes == CLASSES
    assert np.array_equal(own(tmp_path).pixels().numpy(), chw(pixels[:25]))


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path):
    proof = tmp_path / "proof"
    for number in range(1, 6):
        raw = pickle.dumps({b"data": Malicious(proof), b"labels": [0]}, protocol=2)
        (tmp_path / f"data_batch_{number}").write_bytes(raw)
    with pytest.raises(UserError, match=r"data_batch_1.*asks for \w+.system, which no picture"):
        read("cifar10", str(tmp_path))
    assert not proof.exists()
    pickle.loads(raw)  # the same bytes do run where nobody looks
    assert proof.exists()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "sound CIFAR-10 archive"),
        (b"cposix\nsystem\n.", "asks for posix.system"),
        (b"cbuiltins\neval\n.", "asks for builtins.eval"),
        (pickle.dumps({b"data": 1}), "sound CIFAR-10 archive"),
        (pickle.dumps([1, 2, 3])[:-3], "sound CIFAR-10 archive"),
    ],
)
def test_pickles_that_hold_no_batch_are_one_sentence(tmp_path, raw, says):
    for number in range(1, 6):
        (tmp_path / f"data_batch_{number}").write_bytes(raw)
    with pytest.raises(UserError, match=says):
        read("cifar10", str(tmp_path))


def test_a_missing_batch_is_named(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(python_batch(noise(1, 32, 32, 3), [3]))
    with pytest.raises(UserError, match="lacks data_batch_2, data_batch_3"):
        read("cifar10", str(tmp_path))


# Quick, Draw!


def test_bitmaps_round_trip_and_are_split(tmp_path):
    cats, dogs = noise(22, 784), noise(11, 784)
    np.save(tmp_path / "cat.npy", cats)
    np.save(tmp_path / "dog.npy", dogs)
    train, test = (read("quickdraw", str(tmp_path), split) for split in ("train", "test"))
    assert train.classes == ("cat", "dog")
    expected = np.concatenate([cats[:20], dogs[:10]]).reshape(-1, 1, 28, 28)
    assert np.array_equal(train.pixels().numpy(), expected)
    assert test.labels.tolist() == [0, 0, 1]
    one = read("quickdraw", str(tmp_path), options=Options(classes=("dog",), limit=4))
    assert np.array_equal(one.pixels().numpy(), dogs[:4].reshape(-1, 1, 28, 28))


def test_the_beginning_of_a_bitmap_file_is_enough(tmp_path):
    cats = noise(40, 784)
    np.save(tmp_path / "whole.npy", cats)
    raw = (tmp_path / "whole.npy").read_bytes()
    (tmp_path / "cat.npy").write_bytes(raw[: 128 + 11 * 784 + 100])
    assert len(read("quickdraw", str(tmp_path))) == 10


def strokes(*lines):
    return json.dumps({"word": "cat", "drawing": lines}) + "\n"


def test_strokes_are_drawn_and_bad_lines_named(tmp_path):
    square = ([0, 255, 255, 0, 0], [0, 0, 255, 255, 0])
    (tmp_path / "cat.ndjson").write_text(
        strokes(square) + "\n" + "{not json}\n" + strokes(([10], [10]), ([200], [200])) * 10
    )
    pictures = read("quickdraw", str(tmp_path))
    assert pictures.shape == (1, 28, 28)
    image = pictures.pixels()[0, 0].float()
    assert image[14, 14] == 0  # the inside of an outline is empty
    assert image.amax(0).max() == 255
    assert abs(image - image.flip(0)).max() <= 64  # a centred square is symmetric
    assert pictures.problems == ("cat.ndjson line 3 is no drawing and was left out",)
    large = read("quickdraw", str(tmp_path), options=Options(size=64))
    assert large.shape == (1, 64, 64)


def test_a_drawing_keeps_its_ink_at_every_size():
    line = [[(0.0, 128.0), (255.0, 128.0)]]
    shares = [rasterised(line, side).mean() / 255 for side in (16, 28, 64, 128)]
    assert max(shares) - min(shares) < 0.01
    assert 0.03 < shares[-1] < 0.08


def test_unknown_drawings_and_empty_folders_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="holds no Quick, Draw! files"):
        read("quickdraw", str(tmp_path))
    with pytest.raises(UserError, match="did you mean 'cat'"):
        read("quickdraw", str(tmp_path), options=Options(classes=("catt",)))
    np.save(tmp_path / "cat.npy", np.zeros((3, 100)))
    with pytest.raises(UserError, match="float64 of shape"):
        read("quickdraw", str(tmp_path))


# Parquet, tar, hub


def write_parquet(path, columns, names=()):
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = arrow.table(columns)
    if names:
        notes = {"info": {"features": {"label": {"names": list(names), "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(notes)})
    pq.write_table(table, path)


@pytest.mark.parametrize("column", ["img", "image"])
def test_parquet_in_the_layout_of_the_hub_round_trips(tmp_path, column):
    pixels = noise(12, 16, 16, 3)
    cells = [{"bytes": png(image), "path": None} for image in pixels]
    labels = [i % 2 for i in range(12)]
    write_parquet(tmp_path / "train.parquet", {column: cells, "label": labels}, ["cat", "dog"])
    pictures = own(tmp_path)
    assert np.array_equal(pictures.pixels().numpy(), chw(pixels))
    assert pictures.labels.tolist() == labels
    assert pictures.classes == ("cat", "dog")
    assert "a picture of a dog" in pictures.groups[1]
    assert len(own(tmp_path / "train.parquet")) == 12


def test_numbers_in_cifar_parquet_are_places_among_its_ten_classes(tmp_path):
    for split, labels in (("train", [3, 9]), ("test", [9, 9, 5])):
        (tmp_path / split).mkdir()
        cells = [png(image) for image in noise(len(labels), 32, 32, 3)]
        write_parquet(tmp_path / split / "0000.parquet", {"img": cells, "label": labels})
        assert read("cifar10", str(tmp_path), split).labels.tolist() == labels


def test_parquet_with_captions_or_named_classes(tmp_path):
    cells = [png(image) for image in noise(3, 8, 8)]
    said = [["one", "two"], ["three"], []]
    write_parquet(tmp_path / "a.parquet", {"image": cells, "caption": said, "label": [0, 1, 2]})
    pictures = own(tmp_path)
    assert [pictures.groups[g] for g in pictures.group] == [("one", "two"), ("three",), ("",)]
    assert pictures.shape == (1, 8, 8)
    assert pictures.classes == ()
    write_parquet(tmp_path / "a.parquet", {"image": cells, "label": ["x", "y", "x"]})
    assert own(tmp_path).labels.tolist() == [0, 1, 0]


def test_a_number_is_the_place_of_its_class_and_a_missing_label_is_none(tmp_path):
    cells = [png(image) for image in noise(4, 8, 8)]
    columns = {"image": cells, "label": [0, 1, None, 7]}
    write_parquet(tmp_path / "a.parquet", columns, ["1", "0"])
    pictures = own(tmp_path)
    assert pictures.labels.tolist() == [0, 1, -1, -1]
    said = [pictures.groups[group] for group in pictures.group]
    assert [group[0] for group in said] == ["1", "0", "", ""]
    assert pictures.problems == ("2 of 4 pictures have no caption",)


def test_arrays_are_loaded_once(tmp_path, monkeypatch):
    calls = []
    honest = cifar10.read_cifar
    monkeypatch.setattr(cifar10, "read_cifar", lambda *a: calls.append(a) or honest(*a))
    for number in range(1, 6):
        (tmp_path / f"data_batch_{number}").write_bytes(python_batch(noise(1, 32, 32, 3), [3]))
    assert len(read("cifar10", str(tmp_path))) == 5
    assert len(calls) == 1


def test_parquet_without_pictures_or_damaged_is_one_sentence(tmp_path):
    write_parquet(tmp_path / "a.parquet", {"words": ["x"]})
    with pytest.raises(UserError, match="has columns words"):
        own(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(UserError, match="not sound Parquet"):
        own(tmp_path)


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_shards_are_streamed_with_captions(tmp_path, ending):
    pixels = noise(6, 8, 8, 3)
    mode = "w:gz" if ending.endswith("gz") else "w"
    for shard in range(2):
        with tarfile.open(tmp_path / f"train-{shard}.{ending}", mode) as tar:
            for row in range(3):
                add(tar, f"{shard}{row}.png", png(pixels[3 * shard + row]))
                if row == 0:
                    add(tar, f"{shard}{row}.txt", f"picture {shard}{row}".encode())
                if row == 1:
                    add(tar, f"{shard}{row}.json", json.dumps({"caption": "noted"}).encode())
    pictures = own(tmp_path)
    assert np.array_equal(pictures.pixels().numpy(), chw(pixels))
    said = [pictures.groups[group] for group in pictures.group]
    assert said == [("picture 00",), ("noted",), ("",), ("picture 10",), ("noted",), ("",)]


def test_shards_with_classes(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for row in range(4):
            add(tar, f"{row}.png", png(noise(8, 8)))
            add(tar, f"{row}.cls", str(row % 2).encode())
    assert own(tmp_path / "a.tar").labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png", "a/../../evil.png"])
def test_a_member_that_leads_out_is_refused_and_nothing_is_written(tmp_path, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    with tarfile.open(inside / "a.tar", "w") as tar:
        add(tar, "ok.png", png(noise(8, 8)))
        add(tar, name, png(noise(8, 8)))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="leads out of the archive"):
        own(inside)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_torn_shard_is_one_sentence(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(UserError, match="no sound tar file"):
        own(tmp_path)


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (1024 + 300, "no sound tar file"),
        (1024 + 512, "no sound tar file"),
        (1024, "a.tar has no end"),
    ],
)
def test_a_shard_that_is_cut_short_is_said(tmp_path, left, says):
    write_tar(tmp_path / "a.tar", {"0.png": png(noise(8, 8)), "1.png": png(noise(8, 8))})
    with (tmp_path / "a.tar").open("r+b") as file:
        file.truncate(left)
    if "sound" not in says:
        assert says in own(tmp_path / "a.tar").problems[0]
        return
    with pytest.raises(UserError, match=says):
        own(tmp_path / "a.tar")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    write_tar(tmp_path / "a.tar", {"0.png": png(noise(8, 8)), "1.png": png(noise(8, 8))})
    with (tmp_path / "a.tar").open("r+b") as file:
        file.seek(1024 + 150)
        file.write(b"x")
    with pytest.raises(UserError, match="no sound tar file"):
        own(tmp_path / "a.tar")


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_links_inside_shards_are_counted(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "0.png", png(noise(8, 8)))
        for name in ("1.png", "2.png", "note"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "0.png"
            tar.addfile(link)
    pictures = own(tmp_path)
    assert len(pictures) == 1
    assert "2 members are links and were left out, the first is 1.png" in pictures.problems[0]


def test_pictures_that_share_a_key_are_counted(tmp_path):
    names = [f"2023.{row}.png" for row in range(9)] + ["b.left.png", "b.right.png", "c.png"]
    write_tar(tmp_path / "a.tar", {name: png(noise(8, 8)) for name in names})
    pictures = own(tmp_path)
    assert len(pictures) == 3
    assert pictures.problems == (
        "a.tar: 8 more pictures share the key 2023 and were left out; names end at their first dot",
        "a.tar: 1 more pictures share the key b and were left out; names end at their first dot",
    )


def test_parquet_that_unpacks_to_far_more_than_pictures_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("inkling.data.sources.parquet.LARGEST_PICTURE", 1 << 16)
    file = tmp_path / "a.parquet"
    for cells in ([bytes(1 << 20)], [bytes(1 << 20), *[png(noise(8, 8))] * 20]):
        write_parquet(file, {"image": cells})
        with pytest.raises(UserError, match=r"a.parquet has \d+ rows that unpack from .* to 1,0"):
            own(file)
    write_parquet(file, {"image": [png(noise(64, 64))] * 8 + [png(noise(200, 200))] * 4})
    assert len(own(file)) == 12


def parts_of(batch):
    return {f"cifar-10-batches-py/data_batch_{number}": batch for number in range(1, 6)}


def write_tar(path, contents, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in contents.items():
            add(tar, name, content)


class Sparse(tarfile.TarInfo):
    """A header that claims terabytes of holes in a few bytes, in the old GNU format."""

    def create_gnu_header(self, info, encoding, errors):
        raw = bytearray(super().create_gnu_header(info, encoding, errors))
        raw[156:157] = tarfile.GNUTYPE_SPARSE
        raw[386:410] = b"00000000000\x00" + b"00000000000\x00"  # one piece: nothing at 0
        raw[483:495] = tarfile.itn(1 << 42, 12, tarfile.GNU_FORMAT)  # the size with its holes
        raw[148:156] = b" " * 8
        raw[148:156] = b"%06o\x00 " % sum(raw[:512])
        return bytes(raw)


def test_a_sparse_member_is_left_out_and_takes_no_memory(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        add(tar, "a.png", png(noise(8, 8)))
        tar.addfile(Sparse("b.png"))
        add(tar, "c.png", png(noise(8, 8)))
    pictures = own(tmp_path)
    assert len(pictures) == 2
    assert pictures.problems == (
        "a.tar: b.png is a sparse file and was left out; at most 268,435,456 are read",
    )


def test_members_that_are_too_large_or_not_wanted_are_never_read(tmp_path, monkeypatch):
    monkeypatch.setattr("inkling.data.sources.tars.LARGEST_PICTURE", 2000)
    monkeypatch.setattr("inkling.data.sources.tars.LARGEST_TEXT", 100)
    wanted, read_names = png(noise(8, 8)), []
    honest = tarfile.TarFile.extractfile
    monkeypatch.setattr(
        tarfile.TarFile,
        "extractfile",
        lambda self, member: read_names.append(member.name) or honest(self, member),
    )
    contents = {"a.png": wanted, "a.txt": b"a cat", "a.bin": bytes(9000), "a.npy": bytes(9)}
    contents |= {"b.png": bytes(2001), "b.txt": b"a dog", "c.png": wanted, "c.txt": bytes(101)}
    write_tar(tmp_path / "a.tar.gz", contents, "w:gz")
    pictures = own(tmp_path)
    assert len(pictures) == 2
    assert set(read_names) == {"a.png", "a.txt", "b.txt", "c.png"}
    assert pictures.problems == (
        "a.tar.gz: b.png has 2,001 bytes and was left out; at most 2,000 are read",
        "a.tar.gz: c.txt has 101 bytes and was left out; at most 100 are read",
        "1 of 2 pictures have no caption",
    )


def test_a_header_of_gigabytes_is_refused(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    raw = header.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(raw + bytes(1 << 16))
    with pytest.raises(UserError, match=r"no sound tar file \(a header of 8,589,934,592 bytes"):
        own(tmp_path)


def test_a_fifo_named_like_an_archive_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(UserError, match=r"a.tar is no sound tar file .*not a regular file"):
        shards([tmp_path / "a.tar"])
    (tmp_path / "a.tar").rename(tmp_path / "a.parquet")
    pytest.importorskip("pyarrow")
    with pytest.raises(UserError, match=r"a.parquet is not sound Parquet .*not a regular file"):
        parquet([tmp_path / "a.parquet"])


def test_parquet_that_is_damaged_in_the_middle_names_the_file(tmp_path):
    cells = [png(image) for image in noise(600, 16, 16, 3)]
    for name in ("a", "b"):
        write_parquet(tmp_path / f"{name}.parquet", {"image": cells})
    raw = bytearray((tmp_path / "b.parquet").read_bytes())
    raw[4:200] = bytes(196)
    (tmp_path / "b.parquet").write_bytes(raw)
    with pytest.raises(UserError, match=r"^\S+/b.parquet is not sound Parquet"):
        own(tmp_path)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        # the memo's place 2**31; an array of 2**40 bytes; labels that are none
        (b"\x80\x02]r\xff\xff\xff\x7f.", "numbers an object 2147483647"),
        (b"\x80\x02cnumpy\nndarray\n\x8a\x06\0\0\0\0\0\x01\x85R.", "not callable"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}), "2 pictures need"),
        (pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}), "from 0 to 9"),
        (pickle.dumps({b"data": np.zeros((1, 3072)), b"labels": [1]}), "float64 data"),
        (pickle.dumps([1, 2]), "no data and labels"),
    ],
)
def test_a_batch_of_cifar_takes_no_more_memory_than_it_holds(tmp_path, raw, says):
    write_tar(tmp_path / "cifar-10-python.tar.gz", parts_of(raw), "w:gz")
    with pytest.raises(UserError, match=f"sound CIFAR-10 archive: data_batch_1: .*{says}"):
        read("cifar10", str(tmp_path))


def test_a_huge_batch_of_cifar_is_never_read(tmp_path, monkeypatch):
    monkeypatch.setattr("inkling.data.sources.cifar._LARGEST", 1000)
    write_tar(tmp_path / "cifar-10-python.tar.gz", parts_of(bytes(1001)), "w:gz")
    with pytest.raises(UserError, match="data_batch_1 has 1,001 bytes"):
        read("cifar10", str(tmp_path))


def test_any_hub_data_set_through_its_library(tmp_path):
    pytest.importorskip("datasets")
    pixels = noise(4, 8, 8, 3)
    for row, image in enumerate(pixels):
        place = tmp_path / "set" / "train" / ("cat", "dog")[row % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{row}.png").write_bytes(png(image))
    pictures = read("hub", str(tmp_path / "set"))
    order = [0, 2, 1, 3]
    assert np.array_equal(pictures.pixels().numpy(), chw(pixels[order]))
    assert pictures.classes == ("cat", "dog")
    with pytest.raises(UserError, match="needs its id"):
        read("hub", ":some")
    with pytest.raises(UserError, match="cannot load 'no/such-set' from the hub"):
        read("hub", "no/such-set")


# Folders


def test_a_folder_for_each_class(tmp_path):
    pixels = noise(6, 8, 8)
    for row, image in enumerate(pixels):
        place = tmp_path / ("golden_retriever", "tabby cat")[row // 3]
        place.mkdir(exist_ok=True)
        (place / f"{row}.png").write_bytes(png(image))
    (tmp_path / "golden_retriever" / ".hidden.png").write_bytes(b"")
    pictures = own(tmp_path)
    assert pictures.classes == ("golden retriever", "tabby cat")
    assert pictures.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(pictures.pixels().numpy()[:, 0], pixels)
    assert "a golden retriever" in pictures.groups[0]
    assert not own(tmp_path, captions=False).conditional


def test_train_and_test_folders_are_splits_and_not_classes(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        (tmp_path / split).mkdir()
        for row in range(count):
            (tmp_path / split / f"{row}.png").write_bytes(png(noise(8, 8)))
    assert len(own(tmp_path)) == 3
    assert len(own(tmp_path, "test")) == 2
    with pytest.raises(UserError, match="no folder of test pictures"):
        own(tmp_path / "train", "test")


def test_metadata_in_the_imagefolder_convention(tmp_path):
    pixels = noise(3, 8, 8, 3)
    for row, image in enumerate(pixels):
        (tmp_path / f"{row}.png").write_bytes(png(image))
    rows = [
        {"file_name": "2.png", "text": "the last"},
        {"file_name": "0.png", "text": ["the first", "again"]},
        {"name": "x"},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n\n".join(map(json.dumps, rows)) + "\nnonsense\n")
    pictures = own(tmp_path)
    assert np.array_equal(pictures.pixels().numpy(), chw(pixels[[2, 0]]))
    assert [pictures.groups[g] for g in pictures.group] == [("the last",), ("the first", "again")]
    assert pictures.problems == (
        "metadata.jsonl line 5 names no picture and was left out",
        "metadata.jsonl line 6 names no picture and was left out",
        "1 pictures are not in metadata.jsonl and were left out",
    )


def test_metadata_that_leads_out_of_the_folder_is_refused(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    for place in (tmp_path, inside):
        (place / "a.png").write_bytes(png(noise(8, 8)))
    (inside / "metadata.jsonl").write_text(json.dumps({"file_name": "../a.png", "text": "x"}))
    with pytest.raises(UserError, match="lies outside"):
        own(inside)


def test_metadata_with_impossible_names_is_left_out(tmp_path):
    (tmp_path / "a.png").write_bytes(png(noise(8, 8)))
    lines = ['{"file_name": "a.png"}', '{"file_name": "a\\u0000.png"}', "[" * 100_000]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    assert own(tmp_path).problems == (
        "metadata.jsonl line 2 names no picture and was left out",
        "metadata.jsonl line 3 names no picture and was left out",
    )


def test_captions_beside_the_pictures_in_every_encoding(tmp_path):
    texts = {
        "a": b"a cat\n\n  \n  the same cat  \n",
        "b": b"\xef\xbb\xbfa dog with a byte-order mark",
        "c": "a caf\u00e9".encode("latin-1"),
        "d": "a \U0001f98a in the snow \u2603".encode(),
        "e": b"\n\n",
    }
    for name, raw in texts.items():
        (tmp_path / f"{name}.png").write_bytes(png(noise(8, 8)))
        (tmp_path / f"{name}.txt").write_bytes(raw)
    pictures = own(tmp_path)
    assert [pictures.groups[group] for group in pictures.group] == [
        ("a cat", "the same cat"),
        ("a dog with a byte-order mark",),
        ("a caf\u00e9",),
        ("a \U0001f98a in the snow \u2603",),
        ("",),
    ]
    assert pictures.problems == (
        "c.txt is not UTF-8 and was read as Latin-1",
        "1 of 5 pictures have no caption",
    )


def test_the_folder_one_stands_in(tmp_path, monkeypatch):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(png(noise(8, 8)))
    monkeypatch.chdir(tmp_path)
    assert own(".").classes == ("cat", "dog")
    assert own("cat/..").labels.tolist() == [0, 1]


def test_one_folder_deep_is_no_class(tmp_path):
    (tmp_path / "all").mkdir()
    for row in range(2):
        (tmp_path / "all" / f"{row}.png").write_bytes(png(noise(8, 8)))
    assert not own(tmp_path).conditional


def test_a_place_without_pictures_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="holds no pictures in a format that Pillow reads"):
        own(tmp_path)
    (tmp_path / "notes.docx").write_bytes(b"x")
    with pytest.raises(UserError, match="single file that inkling cannot read"):
        own(tmp_path / "notes.docx")


# COCO and CelebA


def coco_folder(tmp_path, count=3):
    pixels = noise(count, 64, 64, 3)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train2017").mkdir()
    for row, image in enumerate(pixels):
        (tmp_path / "train2017" / f"{row:012}.png").write_bytes(png(image))
    notes = {
        "images": [{"id": 7 + row, "file_name": f"{row:012}.png"} for row in range(count)],
        "annotations": [
            {"image_id": 7 + row, "id": 10 * row + k, "caption": f" caption\n{k} of {row}. "}
            for row in range(count)
            for k in range(5)
        ],
    }
    (tmp_path / "annotations" / "captions_train2017.json").write_text(json.dumps(notes))
    return pixels


@pytest.mark.parametrize("zipped", [False, True])
def test_coco_annotations_with_a_folder_or_its_zip(tmp_path, zipped):
    pixels = coco_folder(tmp_path)
    if zipped:
        with ZipFile(tmp_path / "train2017.zip", "w") as packed:
            for file in sorted((tmp_path / "train2017").iterdir()):
                packed.write(file, f"train2017/{file.name}")
                file.unlink()
        (tmp_path / "train2017").rmdir()
    pictures = read("coco", str(tmp_path))
    assert np.array_equal(pictures.pixels().numpy(), chw(pixels))
    assert pictures.groups[1] == tuple(f"caption {k} of 1." for k in range(5))


def test_a_member_of_cocos_zip_that_unpacks_to_gigabytes_is_unreadable(tmp_path, monkeypatch):
    coco_folder(tmp_path)
    with ZipFile(tmp_path / "train2017.zip", "w", ZIP_DEFLATED) as packed:
        for row in range(3):
            packed.writestr(f"train2017/{row:012}.png", png(noise(8, 8)) + bytes(2000 * row))
    shutil.rmtree(tmp_path / "train2017")
    monkeypatch.setattr("inkling.data.sources.coco.LARGEST_PICTURE", 3000)
    with pytest.raises(UserError, match=r"1 of 3 .*000000000002.png: [4,\d]+ bytes; at most 3,000"):
        read("coco", str(tmp_path))


def test_an_annotated_picture_that_is_not_there_is_counted(tmp_path):
    coco_folder(tmp_path)
    (tmp_path / "train2017" / f"{1:012}.png").unlink()
    with pytest.raises(UserError, match=r"1 of 3 pictures cannot be read.*000000000001.png"):
        read("coco", str(tmp_path))
    assert len(read("coco", str(tmp_path), options=Options(unreadable=0.5))) == 2


def test_coco_annotations_must_be_sound_and_stay_inside(tmp_path):
    coco_folder(tmp_path)
    file = tmp_path / "annotations" / "captions_train2017.json"
    notes = json.loads(file.read_text())
    notes["images"][0]["file_name"] = "../../etc/passwd.png"
    file.write_text(json.dumps(notes))
    with pytest.raises(UserError, match="which is no file name"):
        read("coco", str(tmp_path))
    file.write_text("{}")
    with pytest.raises(UserError, match="is no COCO caption file"):
        read("coco", str(tmp_path))
    with pytest.raises(UserError, match="is no COCO folder"):
        read("coco", str(tmp_path), "test")


ATTRIBUTES = ["Bald", "Bangs", "Blond_Hair", "Eyeglasses", "Male", "No_Beard", "Smiling", "Young"]


def celeba_folder(tmp_path, rows):
    pixels = noise(len(rows), 64, 64, 3)
    (tmp_path / "img_align_celeba").mkdir()
    table, parts = [str(len(rows)), " ".join(ATTRIBUTES)], []
    for number, (marked, part) in enumerate(rows, start=1):
        name = f"{number:06}.png"
        (tmp_path / "img_align_celeba" / name).write_bytes(png(pixels[number - 1]))
        values = ["1" if a in marked else "-1" for a in ATTRIBUTES]
        table.append(f"{name}  " + " ".join(values))
        parts.append(f"{name} {part}")
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(table) + "\n")
    (tmp_path / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    return pixels


def test_celeba_without_its_attributes_has_no_captions(tmp_path):
    celeba_folder(tmp_path, [({"Male"}, 0), ({"Young"}, 2), (set(), 0)])
    (tmp_path / "list_attr_celeba.txt").unlink()
    train, test = (read("celeba", str(tmp_path), split) for split in ("train", "test"))
    assert (len(train), len(test)) == (2, 1)
    assert not train.conditional
    (tmp_path / "list_eval_partition.txt").unlink()
    assert len(read("celeba", str(tmp_path))) == 3
    with pytest.raises(UserError, match=r"holds no .jpg or .png pictures of the split 'test'"):
        read("celeba", str(tmp_path), "test")


def test_celeba_speaks_of_what_it_shows(tmp_path):
    rows = [
        ({"Bangs", "Blond_Hair", "No_Beard", "Smiling", "Young"}, 0),
        ({"Bald", "Eyeglasses", "Male"}, 0),
        ({"Male", "No_Beard"}, 1),
        ({"No_Beard"}, 2),
    ]
    pixels = celeba_folder(tmp_path, rows)
    train, test = (read("celeba", str(tmp_path), split) for split in ("train", "test"))
    assert np.array_equal(train.pixels().numpy(), chw(pixels[:2]))
    assert train.groups == (
        (
            "a smiling young woman",
            "a smiling young woman with blond hair",
            "a smiling young woman with blond hair and bangs",
        ),
        (
            "an older man",
            "an older man with a bald head",
            "an older man with a bald head and a beard, wearing glasses",
        ),
    )
    assert np.array_equal(test.pixels().numpy(), chw(pixels[3:]))
    bare = read("celeba", str(tmp_path), options=Options(captions=False))
    assert not bare.conditional
    assert np.array_equal(own(tmp_path).pixels().numpy(), chw(pixels[:2]))


def test_a_torn_attribute_table_is_one_sentence(tmp_path):
    celeba_folder(tmp_path, [({"Male"}, 0), ({"Young"}, 0)])
    table = tmp_path / "list_attr_celeba.txt"
    table.write_text(table.read_text()[:-15])
    with pytest.raises(UserError, match="cut short"):
        read("celeba", str(tmp_path))
    table.write_text("Bald Bangs\n")
    with pytest.raises(UserError, match="is no attribute table"):
        read("celeba", str(tmp_path))
    with pytest.raises(UserError, match=r"there is no CelebA in .*mmlab"):
        read("celeba", str(tmp_path / "img_align_celeba"))


def test_an_attribute_table_stays_inside_its_folder(tmp_path):
    celeba_folder(tmp_path, [({"Male"}, 0), ({"Young"}, 0)])
    table = tmp_path / "list_attr_celeba.txt"
    table.write_text(table.read_text().replace("000002.png", "../x.png"))
    with pytest.raises(UserError, match=r"'../x.png', which is no file name"):
        read("celeba", str(tmp_path))
