"""Random folders of one's own: each gives the right pictures and captions, or one sentence.

The test writes a folder by a known layout and works out what should be read from it. Every picture
has a grey value of its own, by which it is recognised.
"""

import csv
import io
import json
import os
import tarfile
import tempfile
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inkling.data import Options, read
from inkling.errors import UserError
from tests.conftest import fuzz

SPLITS = {"train", "training", "test", "testing", "validation", "valid", "val", "eval"}
ENDINGS = (".png", ".PNG", ".bmp", ".gif")
SEPARATORS = "\u2028\x0b\x85"


@dataclass
class Plan:
    """A folder to write, and what should be read from it."""

    files: dict = field(default_factory=dict)
    links: dict = field(default_factory=dict)
    pipes: list = field(default_factory=list)
    train: dict = field(default_factory=dict)
    """Caption (the first of a class) by grey value."""
    test: dict = field(default_factory=dict)
    refused: bool = False

    def write(self, folder):
        """Returns the folder to read; what it links to lies beside it."""
        root = os.path.join(folder, "data")
        for name, content in self.files.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        for name, target in self.links.items():
            os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
            target = os.path.join(folder, target) if target.startswith("elsewhere") else target
            os.symlink(target, os.path.join(root, name))
        for name in self.pipes:
            os.mkfifo(os.path.join(root, name))
        return root


def encoded(grey, ending=".png", side=1):
    raw = io.BytesIO()
    Image.new("L", (side, side), grey).save(
        raw, {"bmp": "BMP", "gif": "GIF"}.get(ending[1:], "PNG")
    )
    return raw.getvalue()


def class_name(folder):
    """The class that a folder spells, worked out here."""
    try:
        name = os.fsencode(folder).decode()
    except UnicodeDecodeError:
        name = os.fsencode(folder).decode("latin-1")
    name = unicodedata.normalize("NFC", name)
    return " ".join(name.replace("_", " ").split()) or name


def usable(name):
    special = name.casefold() in {*SPLITS, "runs", "metadata", "annotations", "con"}
    whole = 0 < len(os.fsencode(name)) < 200 and class_name(name).strip()
    return whole and not special and not name.startswith(".")


letters = st.characters(codec="utf-8", exclude_characters="/\0")
bad_bytes = st.integers(0x80, 0xFF).map(lambda byte: chr(0xDC00 + byte))
names = st.one_of(
    st.sampled_from(["cat", "red_car", "Golden Retriever", "0", "10", "a\nb", "-", "x" * 190]),
    st.text(st.one_of(letters, bad_bytes), min_size=1, max_size=12),
).filter(usable)
words = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc",), exclude_characters="\0"),
    min_size=1,
    max_size=30,
).filter(str.strip)
captions = st.one_of(words, words.map(lambda text: f"a{SEPARATORS}{text}b"))


class Greys:
    """Grey values that no other picture has."""

    def __init__(self):
        self.next = 0

    def picture(self, draw, plan, folder, expected, caption, empty=True):
        """Add a picture; returns its path without extension, and its extension."""
        grey, self.next = self.next, self.next + 1
        ending = draw(st.sampled_from(ENDINGS))
        stem = os.path.join(folder, f"{draw(names)[:20]}-{grey}")
        broken = empty and draw(st.integers(0, 11)) == 0
        content = b"" if broken else encoded(grey, ending.lower(), draw(st.integers(1, 8)))
        plan.files[stem + ending] = content
        if not broken:
            expected[grey] = caption
        return stem, ending, grey


def below(draw, folder):
    return os.path.join(folder, draw(names)) if draw(st.booleans()) else folder


def class_folders(draw, plan, greys, prefix, expected):
    """A folder for each class, some pictures beside them, some with texts."""
    kinds = draw(
        st.lists(names, min_size=2, max_size=4, unique_by=lambda n: class_name(n).casefold())
    )
    by_class, by_text, texts = {}, {}, 0
    inside = []
    for number, name in enumerate(kinds):
        place = os.path.join(prefix, name)
        if draw(st.integers(0, 5)) == 0:
            plan.links[place] = f"elsewhere/{number}"
            place = f"../elsewhere/{number}"
        for _ in range(draw(st.integers(1, 5))):
            folder = below(draw, place)
            inside.append(greys.picture(draw, plan, folder, by_class, class_name(name)))
    loose = [
        greys.picture(draw, plan, prefix, by_text, "")
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2, 9])))
    ]
    each = draw(st.sampled_from(["none", "none", "one", "all", "half"]))
    total = [*inside, *loose]
    chosen = {"none": [], "one": total[:1], "all": total, "half": total[::2]}[each]
    said = dict.fromkeys([*by_class, *by_text], "")
    for stem, _, grey in chosen:
        text = draw(captions)
        plan.files[stem + ".txt"] = text.encode()
        texts += 1
        if grey in said:
            said[grey] = text.strip()
    if texts and texts >= 4 * (len(total) - texts):
        expected |= said
    elif (texts and len(total) - texts < 4 * texts) or len(inside) < 4 * len(loose):
        plan.refused = True
    else:
        expected |= by_class
    return kinds


def bare(draw, plan, greys, prefix, expected):
    folder = os.path.join(prefix, draw(names)) if draw(st.booleans()) else prefix
    for _ in range(draw(st.integers(1, 6))):
        greys.picture(draw, plan, folder, expected, "")


def with_texts(draw, plan, greys, prefix, expected):
    for row in range(draw(st.integers(1, 6))):
        text = draw(captions) if row == 0 or draw(st.booleans()) else ""
        stem, _, _ = greys.picture(draw, plan, prefix, expected, text.strip())
        if text:
            plan.files[stem + ".txt"] = (
                draw(st.sampled_from(["", "\ufeff"])).encode() + text.encode()
            )


def with_metadata(draw, plan, greys, prefix, expected, above=""):
    """Rows for some pictures, with lines that name none; `above` is the folder of the file."""
    rows = []
    kind = draw(st.sampled_from(["jsonl", "csv"]))
    for row in range(draw(st.integers(1, 6))):
        listed = row == 0 or draw(st.integers(0, 3)) > 0
        text = draw(captions) if listed else ""
        before = {} if listed else None
        mine = expected if listed else before or {}
        stem, ending, _ = greys.picture(draw, plan, prefix, mine, text.strip())
        name = os.path.relpath(stem + ending, above or prefix or ".")
        try:
            name.encode()
        except UnicodeEncodeError:  # no JSON can name it
            for grey, said in list(mine.items()):
                if listed and said == text.strip() and grey == greys.next - 1:
                    del mine[grey]
            continue
        if listed:
            rows.append((name, text))
    rows += [
        (name, "lost")
        for name in draw(st.lists(st.sampled_from(["gone.png", "x" * 400 + ".png"]), max_size=2))
    ]
    if kind == "csv":
        text = io.StringIO(newline="")
        csv.writer(text).writerows([("file_name", "text"), *rows])
        content = text.getvalue()
    else:
        lines = [json.dumps({"file_name": n, "text": t}, ensure_ascii=False) for n, t in rows]
        junk = draw(
            st.lists(
                st.sampled_from(
                    [
                        "",
                        "{",
                        "null",
                        "[1]",
                        '{"file_name": 7}',
                        '{"file_name": "a\\u0000"}',
                        "9" * 5000,
                    ]
                ),
                max_size=3,
            )
        )
        content = draw(st.sampled_from(["\n", "\r\n"])).join([*junk, *lines, *junk])
    plan.files[os.path.join(above or prefix, f"metadata.{kind}")] = content.encode("utf-8")
    if not any(name != "gone.png" and not name.startswith("xxx") for name, _ in rows):
        plan.refused = None  # whatever
    return rows


def archive(draw, plan, greys, prefix, expected):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for _ in range(draw(st.integers(1, 5))):
            grey, greys.next = greys.next, greys.next + 1
            text = draw(captions)
            for ending, content in ((".png", encoded(grey)), (".txt", text.encode())):
                member = tarfile.TarInfo(f"{grey}{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            expected[grey] = text.strip()
    plan.files[os.path.join(prefix, f"{draw(names)[:20]}.tar")] = raw.getvalue()


def table(draw, plan, greys, prefix, expected):
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = []
    for _ in range(draw(st.integers(1, 5))):
        grey, greys.next = greys.next, greys.next + 1
        label = draw(st.sampled_from([None, -1, 0, 7, 10**12]))
        rows.append({"image": {"bytes": encoded(grey), "path": None}, "label": label})
        expected[grey] = "" if label in (None, -1) else str(label)
    raw = io.BytesIO()
    pq.write_table(arrow.Table.from_pylist(rows), raw)
    plan.files[os.path.join(prefix, f"{draw(names)[:20]}.parquet")] = raw.getvalue()
    return {label for label in expected.values() if label}


def clutter(draw, plan, archives):
    """Files and links that should change nothing."""
    choices = ["notes", "hidden", "video", "dangling", "pipe", "up", "run", "numpy"]
    for kind in draw(
        st.lists(st.sampled_from(choices + ["tar"] * archives), max_size=4, unique=True)
    ):
        if kind == "notes":
            plan.files["notes about this.txt"] = b"to do"
        elif kind == "hidden":
            plan.files[".hidden/1.png"] = encoded(255)
            plan.files[".1.png"] = encoded(255)
        elif kind == "video":
            plan.files["clip.mpg"] = plan.files["model.h5"] = plan.files["x.eps"] = b"x" * 50
        elif kind == "dangling":
            plan.links["gone away.png"] = "nowhere/at/all"
            plan.links["itself.png"] = "itself.png"
        elif kind == "pipe":
            plan.pipes.append("pipe.png")
        elif kind == "up":
            plan.links["up"] = ".."
        elif kind == "run":
            plan.files["runs/own/recipe.json"] = plan.files["runs/own/metrics.jsonl"] = b"{}"
            plan.files["runs/own/samples/1.png"] = plan.files["runs/data-x.png"] = encoded(255)
        elif kind == "numpy":
            plan.files["features.npy"] = b"\x93NUMPY"
        elif kind == "tar":
            plan.files["backup.tar"] = draw(st.binary(max_size=600))


@st.composite
def plans(draw):
    plan, greys = Plan(), Greys()
    kind = draw(
        st.sampled_from(["classes", "classes", "bare", "texts", "metadata", "archive", "table"])
    )
    wrapper = draw(st.sampled_from(["", "", "set"]))
    split = draw(st.booleans())
    train = (
        os.path.join(wrapper, draw(st.sampled_from(["train", "Training"]))) if split else wrapper
    )
    test = os.path.join(wrapper, draw(st.sampled_from(["test", "VAL"])))
    if kind == "classes":
        kinds = class_folders(draw, plan, greys, train, plan.train)
        if split and not plan.refused:
            said = set(plan.train.values()) <= {class_name(name) for name in kinds}
            for name in kinds[1:] if said and plan.train else ():
                greys.picture(
                    draw, plan, os.path.join(test, name), plan.test, class_name(name), False
                )
    elif kind == "metadata":
        above = wrapper if split and draw(st.booleans()) else ""
        if above:
            with_metadata(draw, plan, greys, train, plan.train, above)
        else:
            with_metadata(draw, plan, greys, train, plan.train)
    elif kind == "table":
        known = table(draw, plan, greys, train, plan.train)
        if split:
            named = table(draw, plan, greys, test, plan.test)
            if not known:
                plan.test = dict.fromkeys(plan.test, "")
            elif not named <= known:
                plan.test = {}  # classes that training lacks are refused
    else:
        make = {"bare": bare, "texts": with_texts, "archive": archive}[kind]
        make(draw, plan, greys, train, plan.train)
        if split:
            make(draw, plan, greys, test, plan.test)
    clutter(draw, plan, kind not in ("archive", "table"))
    return plan


def found(path, split):
    pictures = read("folder", path, split, Options(unreadable=0.999, size=4, channels=1))
    greys = pictures.pixels().flatten(1).float().mean(1).round().int().tolist()
    said = [pictures.groups[group][0] for group in pictures.group]
    assert len(set(greys)) == len(greys)
    assert "\n" not in pictures.layout
    return dict(zip(greys, said, strict=True))


def sentence(error):
    text = str(error)
    text.encode()
    assert text
    assert "\n" not in text
    return text


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INKLING_CACHE", str(tmp_path_factory.mktemp("fuzz")))
        yield


@fuzz
@given(plans())
def test_a_folder_gives_the_pictures_and_captions_written_into_it(plan):
    with tempfile.TemporaryDirectory() as folder:
        root = plan.write(folder)
        for split, expected in (("train", plan.train), ("test", plan.test)):
            try:
                read_back = found(root, split)
            except UserError as error:
                said = sentence(error)
                # Texts beside all training pictures, and none beside those for testing.
                bare = split == "test" and "no captions in .txt files" in said
                assert plan.refused is not False or not expected or bare, said
                continue
            assert plan.refused is not True
            if plan.refused is False:
                assert read_back == expected


pieces = st.one_of(
    names,
    st.sampled_from(["train", "test", "runs", "annotations", "raw", "img_align_celeba"]),
)
KNOWN = (
    *("metadata.jsonl", "metadata.csv", "train.tar", "train.parquet", "x.tar.gz", "recipe.json"),
    *("cat.npy", "cat.ndjson", "data_batch_1", "list_attr_celeba.txt", "metrics.jsonl"),
    *("train-images-idx3-ubyte", "cifar-10-python.tar.gz", "captions_train2017.json"),
)
"""File names that mean something."""
files = st.one_of(
    st.tuples(
        names, st.sampled_from([*ENDINGS, ".txt", ".tar", ".parquet", ".json", ".npy", ""])
    ).map("".join),
    st.sampled_from(KNOWN),
)
lines = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(str.encode),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["file_name", "text", "label", "caption", "x"]), inner, max_size=4
            ),
        ),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()),
)
contents = st.one_of(st.just(encoded(7)), st.just(b""), st.lists(lines, max_size=4).map(b"\n".join))


@fuzz
@given(
    st.lists(
        st.tuples(st.lists(pieces, max_size=3), files, st.one_of(contents, st.just(None))),
        max_size=8,
    )
)
def test_anything_at_all_gives_pictures_or_one_sentence(entries):
    with tempfile.TemporaryDirectory() as folder:
        pictures = 0
        for folders, name, content in entries:
            path = Path(folder, *folders, name)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if content is None:
                    path.symlink_to(os.pardir)
                else:
                    path.write_bytes(content)
                    pictures += name.lower().endswith(ENDINGS) and content == encoded(7)
            except OSError:  # a file where a folder should be
                continue
        for split in ("train", "test"):
            try:
                assert len(found_any(folder, split)) <= pictures
            except UserError as error:
                sentence(error)


def found_any(path, split):
    pictures = read("folder", path, split, Options(unreadable=0.999, size=4, channels=1))
    "\n".join((pictures.layout, *pictures.problems, *pictures.sentences)).encode()
    return pictures
