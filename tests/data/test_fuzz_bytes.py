"""Files with arbitrary and with slightly damaged bytes: read right, or refused in a sentence.

The same cases every time; `make fuzz` tries new ones.
"""

import gzip
import io
import json
import os
import pickle
import shutil
import tarfile
import time
import warnings
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inkling.data import Options, read
from inkling.errors import UserError
from tests.conftest import fuzz

_SECONDS = 20.0
"""Longer than any of these small files may take, on a slow machine."""


def picture(form, mode="RGB"):
    raw = io.BytesIO()
    Image.effect_noise((12, 9), 60).convert(mode).save(raw, form)
    return raw.getvalue()


def tar(contents, mode):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=mode) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def zipped(contents):
    raw = io.BytesIO()
    with ZipFile(raw, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return raw.getvalue()


def parquet(columns):
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    raw = io.BytesIO()
    pq.write_table(arrow.table(columns), raw)
    return raw.getvalue()


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def npy(array):
    raw = io.BytesIO()
    np.save(raw, array)
    return raw.getvalue()


def forms():
    """(data set, files) by the name of the form; the first file is the one that is damaged."""
    png, jpeg = picture("PNG"), picture("JPEG")
    for form, end in {
        "PNG": "png",
        "JPEG": "jpg",
        "GIF": "gif",
        "WEBP": "webp",
        "BMP": "bmp",
    }.items():
        yield form, "folder", {f"a.{end}": picture(form), "b.png": png}
    for form, end in {"TIFF": "tif", "PPM": "ppm", "TGA": "tga", "ICO": "ico"}.items():
        yield form, "folder", {f"a.{end}": picture(form), "b.png": png}
    yield "palette", "folder", {"a.png": picture("PNG", "P"), "b.png": png}
    yield "texts", "folder", {"a.txt": b"a cat\nthe cat", "a.png": png, "b.jpg": jpeg}
    notes = "\n".join(json.dumps({"file_name": f"{n}.png", "text": n}) for n in "ab")
    yield "metadata", "folder", {"metadata.jsonl": notes.encode(), "a.png": png, "b.png": png}
    samples = {"a.png": png, "a.txt": b"a cat", "b.png": png, "b.json": b'{"caption": "a dog"}'}
    yield "tar", "folder", {"a.tar": tar(samples, "w"), "b.tar": tar(samples, "w")}
    yield "tar.gz", "folder", {"a.tar.gz": tar(samples, "w:gz")}
    classed = {"a.png": png, "a.cls": b"1", "b.png": png, "b.cls": b"0"}
    yield "classes in tar", "folder", {"a.tar": tar(classed, "w")}
    cells = [{"bytes": png, "path": None}] * 3
    yield "parquet", "folder", {"a.parquet": parquet({"image": cells, "label": [0, 1, 1]})}
    columns = {"image": [png, jpeg], "text": ["a cat", "a dog"]}
    yield "captions in parquet", "folder", {"a.parquet": parquet(columns)}
    digits, labels = np.zeros((4, 9, 9), np.uint8), np.arange(4, dtype=np.uint8)
    pair = {"train-images-idx3-ubyte": idx(digits), "train-labels-idx1-ubyte": idx(labels)}
    yield "idx", "mnist", pair
    yield "labels in idx", "mnist", dict(reversed(pair.items()))
    yield "idx.gz", "mnist", {f"{name}.gz": gzip.compress(raw) for name, raw in pair.items()}
    rows = np.zeros((2, 3072), np.uint8)
    batch = pickle.dumps({b"data": rows, b"labels": [3, 4]}, protocol=2)
    yield "cifar", "cifar10", {f"data_batch_{number}": batch for number in range(1, 6)}
    binary = {f"data_batch_{number}.bin": bytes(3073) for number in range(1, 6)}
    yield "cifar.bin", "cifar10", binary
    archive = tar({f"data_batch_{number}": batch for number in range(1, 6)}, "w:gz")
    yield "cifar.tar.gz", "cifar10", {"cifar-10-python.tar.gz": archive}
    yield "npy", "quickdraw", {"cat.npy": npy(np.zeros((22, 784), np.uint8))}
    drawing = json.dumps({"drawing": [[[0, 255, 90], [0, 9, 200]]]}) + "\n"
    yield "ndjson", "quickdraw", {"cat.ndjson": (drawing * 11).encode()}
    table = b"2\nMale Young\n1.png 1 -1\n2.png -1 1\n"
    faces = {f"img_align_celeba/{number}.png": png for number in (1, 2)}
    yield "attributes", "celeba", {"list_attr_celeba.txt": table, **faces}
    parts = {"list_eval_partition.txt": b"1.png 0\n2.png 0\n", "list_attr_celeba.txt": table}
    yield "partition", "celeba", {**parts, **faces}
    said = [{"image_id": number, "caption": f"picture {number}"} for number in (1, 2)]
    images = [{"id": number, "file_name": f"{number}.png"} for number in (1, 2)]
    coco = {
        "annotations/captions_train2017.json": json.dumps({"annotations": said, "images": images})
    }
    coco = {name: text.encode() for name, text in coco.items()}
    photographs = zipped({"train2017/1.png": png, "train2017/2.png": png})
    yield "coco", "coco", {**coco, "train2017.zip": photographs}
    yield "coco.zip", "coco", {"train2017.zip": photographs, **coco}


FORMS = {form: (name, files) for form, name, files in forms()}
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["put", "insert", "drop", "repeat", "cut", "flip"]),
        st.integers(0, 1 << 16),
        st.one_of(
            st.binary(min_size=1, max_size=9),
            st.sampled_from([b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", bytes(8), b"9" * 12]),
            st.sampled_from([b"-1", b"null", b"[]", b"{}", b"\n", b"\\u0000", b"1e999", b"../x"]),
        ),
    ),
    max_size=6,
)


def edited(raw, edits):
    for kind, place, new in edits:
        at = place % (len(raw) + 1)
        if kind == "put":
            raw = raw[:at] + new + raw[at + len(new) :]
        elif kind == "insert":
            raw = raw[:at] + new + raw[at:]
        elif kind == "drop":
            raw = raw[:at] + raw[at + len(new) :]
        elif kind == "repeat":
            raw = raw[:at] + raw[max(0, at - 100) :]
        elif kind == "cut":
            raw = raw[:at]
        else:
            raw = raw[:at] + bytes(byte ^ new[0] for byte in raw[at : at + 1]) + raw[at + 1 :]
    return raw


@fuzz
@given(
    form=st.sampled_from(sorted(FORMS)),
    edits=st.one_of(EDITS, st.binary(max_size=300)),
    unreadable=st.sampled_from([0.01, 1.0]),
)
def test_any_bytes_are_read_right_or_refused_in_a_sentence(
    tmp_path_factory, form, edits, unreadable
):
    name, files = FORMS[form]
    root = tmp_path_factory.mktemp("fuzz")
    first = next(iter(files))
    damaged = edits if isinstance(edits, bytes) else edited(files[first], edits)
    for file, raw in (files | {first: damaged}).items():
        (root / "data" / file).parent.mkdir(parents=True, exist_ok=True)
        (root / "data" / file).write_bytes(raw)
    begun = time.monotonic()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decoders may warn of what they can still read
        patch.setenv("INKLING_CACHE", str(root / "cache"))
        patch.setattr(os, "fsync", lambda _: None)  # the files are not kept
        try:
            found = read(name, str(root / "data"), options=Options(unreadable=unreadable))
        except UserError as error:
            assert "\n" not in str(error).strip()
            assert len(str(error)) < 1000
        else:
            assert len(found) == len(found.group) == len(found.labels) > 0
            assert found.pixels().shape[1:] == found.shape
            assert int(found.group.max()) < len(found.groups)
    assert time.monotonic() - begun < _SECONDS
    shutil.rmtree(root)


def test_every_form_is_read_where_it_is_not_damaged(tmp_path):
    for form, (name, files) in FORMS.items():
        for file, raw in files.items():
            (tmp_path / form / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / form / file).write_bytes(raw)
        pictures = read(name, str(tmp_path / form))
        assert len(pictures) > 1
        assert not [each for each in pictures.problems if "no caption" not in each]
