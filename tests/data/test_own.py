"""How a folder or file of one's own is read: decided once, said, refused where it is unclear."""

import io
import json
import os
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from inkling.data import Options, read
from inkling.data.sources import tree
from inkling.errors import UserError


def png(grey=0):
    raw = io.BytesIO()
    Image.new("L", (8, 8), grey).save(raw, "PNG")
    return raw.getvalue()


def own(path, split="train", **options):
    return read("folder", str(path), split, Options(**options))


def put(root, *names, grey=0):
    """Pictures under these paths; a path that ends in * stands for ten of them."""
    for name in names:
        for each in (f"{name[:-1]}{n}.png" for n in range(10)) if name.endswith("*") else (name,):
            (root / each).parent.mkdir(parents=True, exist_ok=True)
            (root / each).write_bytes(png(grey))
    return root


def classed(pictures):
    """How many pictures each class has."""
    counts = pictures.labels[pictures.labels >= 0].bincount(minlength=len(pictures.classes))
    return dict(zip(pictures.classes, counts.tolist(), strict=True))


def captions(pictures):
    return [pictures.groups[group] for group in pictures.group]


def write_tar(path, *names, labels=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for row, name in enumerate(names):
            parts = {".png": png(row)} | ({".cls": labels[row]} if labels else {})
            for ending, content in parts.items():
                member = tarfile.TarInfo(name + ending)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def write_parquet(path, labels, names=(), column="label"):
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    table = arrow.table({"image": [png(row) for row in range(len(labels))], column: labels})
    if names:
        notes = {"info": {"features": {"label": {"names": list(names)}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(notes)})
    pq.write_table(table, path)
    return path


# Classes are matched by name


def test_labels_of_a_test_folder_are_those_of_training(tmp_path):
    put(tmp_path, "train/cat/*", "train/dog/*", "train/eel/*", "test/dog/*", "test/eel/1.png")
    assert own(tmp_path, "test").classes == own(tmp_path).classes == ("cat", "dog", "eel")
    assert classed(own(tmp_path, "test")) == {"cat": 0, "dog": 10, "eel": 1}
    (tmp_path / "test" / "fox").mkdir()
    put(tmp_path, "test/fox/1.png")
    with pytest.raises(UserError, match="class 'fox', which the training pictures lack"):
        own(tmp_path, "test")


def test_a_single_class_of_a_test_folder_keeps_its_label(tmp_path):
    put(tmp_path, "train/cat/*", "train/dog/*", "test/dog/*")
    assert classed(own(tmp_path, "test")) == {"cat": 0, "dog": 10}


def test_a_test_split_without_what_training_has_is_refused(tmp_path):
    put(tmp_path, "train/cat/*", "train/dog/*", "test/*")
    with pytest.raises(UserError, match=r"the 10 test pictures of \S+ have no class folders"):
        own(tmp_path, "test")
    assert len(own(tmp_path, "test", captions=False)) == 10
    put(tmp_path / "b", "train/*", "test/*")
    for row in range(10):
        (tmp_path / "b" / "train" / f"{row}.txt").write_text("a caption")
    with pytest.raises(
        UserError, match=r"have no captions in .txt files, and the training pictures"
    ):
        own(tmp_path / "b", "test")
    put(tmp_path / "c", "train/1.png", "test/1.png")
    (tmp_path / "c" / "metadata.csv").write_text("file_name,text\ntrain/1.png,x\ntest/1.png,\n")
    with pytest.raises(UserError, match=r"have no captions or labels in metadata.csv"):
        own(tmp_path / "c", "test")
    assert len(own(tmp_path / "c")) == len(own(tmp_path / "c", "test", captions=False)) == 1


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ([3, 1, 10**12], [10**12, 3], (("1", "3", str(10**12)), [2, 1])),
        (["x", "y"], ["y", None], (("x", "y"), [1, -1])),
        ([0, -1], [-1, 0], (("0",), [-1, 0])),
    ],
)
def test_parquet_labels_are_matched_by_name(tmp_path, train, test, expected):
    write_parquet(tmp_path / "train.parquet", train)
    write_parquet(tmp_path / "test.parquet", test)
    found = own(tmp_path, "test")
    assert (found.classes, found.labels.tolist()) == expected
    write_parquet(tmp_path / "test.parquet", [7 if isinstance(train[0], int) else "z"])
    with pytest.raises(UserError, match=r"test.parquet row 0 has the class '.', which"):
        own(tmp_path, "test")


def test_numbers_count_in_the_names_of_their_own_parquet_file(tmp_path):
    write_parquet(tmp_path / "train.parquet", [0, 1], ["cat", "dog"])
    write_parquet(tmp_path / "test.parquet", [0, 1], ["dog", "cat"])
    assert own(tmp_path, "test").labels.tolist() == [1, 0]


def test_labels_of_shards_are_matched_by_name(tmp_path):
    huge = b"99999999999"
    write_tar(tmp_path / "train.tar", "a", "b", "c", labels=[b"7", huge, b"007"])
    write_tar(tmp_path / "test.tar", "a", "b", labels=[huge, b"7"])
    assert own(tmp_path).classes == ("7", "99999999999")
    assert own(tmp_path).labels.tolist() == [0, 1, 0]
    assert own(tmp_path, "test").labels.tolist() == [1, 0]


@pytest.mark.parametrize("label", [["a", "b"], {"x": 1}])
def test_labels_that_are_lists_are_one_sentence(tmp_path, label):
    write_parquet(tmp_path / "a.parquet", [label])
    with pytest.raises(UserError, match=r"a.parquet has a label that names no class"):
        own(tmp_path)


# Classes of one name


def test_folders_that_differ_in_underscores_or_case_are_one_class(tmp_path):
    put(tmp_path, "red_car/*", "red car/*", "Red Car/1.png", "ship/*")
    found = own(tmp_path)
    assert classed(found) == {"Red Car": 21, "ship": 10}
    assert found.problems == ("the folders Red Car, red car, red_car are one class, 'Red Car'",)


def test_labels_of_one_name_are_one_class(tmp_path):
    names = ["crane", "dog", "crane", "eel"]
    write_parquet(tmp_path / "train.parquet", [0, 1, 2, 3, 2], names)
    write_parquet(tmp_path / "test.parquet", [2, 3], names)
    found = own(tmp_path)
    assert found.classes == ("crane", "dog", "eel")
    assert found.labels.tolist() == [0, 1, 0, 2, 0]
    assert [said[0] for said in captions(found)] == ["crane", "dog", "crane", "eel", "crane"]
    assert found.problems == ("2 labels are named 'crane' and are one class",)
    assert own(tmp_path, "test").labels.tolist() == [0, 2]
    assert own(tmp_path, classes=("eel", "crane")).labels.tolist() == [1, 1, 0, 1]


def test_texts_that_stand_for_no_label_or_a_number_are_read_as_such(tmp_path):
    labels = ["1", "1.0", "01", "2.5", "", "nan", "NaN", "None", "-1", "-1.0", None]
    write_parquet(tmp_path / "a.parquet", labels)
    put(tmp_path / "b", *(f"{row}.png" for row in range(11)))
    rows = "".join(f"{row}.png,{label or ''}\n" for row, label in enumerate(labels))
    (tmp_path / "b" / "metadata.csv").write_text(f"file_name,label\n{rows}")
    for path in (tmp_path / "a.parquet", tmp_path / "b"):
        assert own(path).classes == ("1", "2.5")
        assert own(path).labels.tolist() == [0, 0, 0, 1] + [-1] * 7


# Splits


@pytest.mark.parametrize("kind", ["parquet", "tar"])
def test_archives_are_divided_by_the_words_of_their_paths(tmp_path, kind):
    def write(name, count):
        if kind == "parquet":
            return write_parquet(tmp_path / f"{name}.parquet", ["x"] * count)
        return write_tar(tmp_path / f"{name}.tar", *"abcdefg"[:count])

    write("train/0000", 2)
    write("test/0000", 3)
    write("data/contrast-train-00000-of-00001", 1)
    write("latest", 4)
    write("validation/0000", 1)
    assert (len(own(tmp_path)), len(own(tmp_path, "test"))) == (3, 3)
    assert f"left aside: latest.{kind}, validation" in own(tmp_path).layout


def test_a_file_called_latest_or_contrast_is_no_test_split(tmp_path):
    write_tar(tmp_path / "latest.tar", "a")
    write_tar(tmp_path / "contrast.tar", "b", "c")
    assert len(own(tmp_path)) == 3
    with pytest.raises(UserError, match="has no tar file of test pictures"):
        own(tmp_path, "test")


def test_a_single_file_is_no_test_split_unless_its_name_is(tmp_path):
    write_tar(tmp_path / "all.tar", "a")
    assert len(own(tmp_path / "all.tar")) == 1
    with pytest.raises(UserError, match="is one file, and all of it is for training"):
        own(tmp_path / "all.tar", "test")
    assert len(own(write_tar(tmp_path / "my-test.tar", "a", "b"), "test")) == 2


def test_a_folder_around_the_splits_is_no_class(tmp_path):
    put(tmp_path, "set/train/a/*", "set/train/b/*", "set/test/b/*")
    assert classed(own(tmp_path)) == {"a": 10, "b": 10}
    assert classed(own(tmp_path, "test")) == {"a": 0, "b": 10}


def test_splits_are_words_of_folders_that_hold_folders(tmp_path):
    for part in ("seg_train", "seg_test"):
        put(tmp_path, f"{part}/{part}/a/*", f"{part}/{part}/b/*")
    put(tmp_path, "seg_pred/*")
    for split in ("train", "test"):
        assert classed(own(tmp_path, split)) == {"a": 10, "b": 10}
    put(tmp_path / "b", "train station/*", "test tube/*")
    assert classed(own(tmp_path / "b")) == {"test tube": 10, "train station": 10}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train_images", "test_images"),
        ("train2017", "val2017"),
        ("training_set", "test-data"),
        ("trainA", "testA"),
        ("cats_train", "cats_test"),
    ],
)
@pytest.mark.parametrize("inside", ["", "a/", "b/"])
def test_folders_whose_names_hold_a_split_are_splits(tmp_path, train, test, inside):
    put(tmp_path, f"{train}/a/*" if inside else f"{train}/*")
    put(tmp_path, f"{train}/b/*" if inside else f"{train}/1.png")
    put(tmp_path, f"{test}/{inside}1.png")
    assert len(own(tmp_path)) == (20 if inside else 10)
    assert len(own(tmp_path, "test")) == 1
    assert own(tmp_path).classes == own(tmp_path, "test").classes == (tuple("ab") * bool(inside))


def test_of_several_words_for_testing_one_is_the_split(tmp_path):
    put(tmp_path, "seg_train/a/*", "seg_train/b/*", "seg_val/a/*", "seg_test/b/1.png")
    assert classed(own(tmp_path)) == {"a": 10, "b": 10}
    assert classed(own(tmp_path, "test")) == {"a": 0, "b": 1}
    assert own(tmp_path).layout.endswith("left aside: seg_val/ (10 pictures)")


@pytest.mark.parametrize("name", ["test_set", "animals_test"])
def test_a_folder_with_the_classes_beside_it_is_their_test_split(tmp_path, name):
    put(tmp_path, "cats/*", "dogs/*", f"{name}/cats/*", f"{name}/dogs/1.png")
    assert classed(own(tmp_path)) == {"cats": 10, "dogs": 10}
    assert classed(own(tmp_path, "test")) == {"cats": 10, "dogs": 1}


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("cats/*", "dogs/*", "test_images/*"), "may be a test split or a class"),
        (("cats/*", "dogs/*", "train_images/*"), "may be the training split or a class"),
        (("trainA/*", "trainB/*", "testA/*", "testB/*"), "trainA and trainB; name the one"),
        (
            ("cat_train/*", "cat_test/*", "dog_train/*", "dog_test/*"),
            "name a class and a split at once",
        ),
        (("cats/*", "dogs/*", "cats_test/*", "dogs_test/*"), "name a class and a split at once"),
        (("test_images/*",), "no folder of train pictures"),
    ],
)
def test_folders_that_may_be_splits_are_refused_with_the_choices(tmp_path, names, says):
    with pytest.raises(UserError, match=says):
        own(put(tmp_path, *names))


def test_a_class_whose_name_holds_a_split_stays_a_class(tmp_path):
    put(tmp_path, "train station/*", "airport/*", "test tube/*")
    assert own(tmp_path).classes == ("airport", "test tube", "train station")
    shutil.rmtree(tmp_path / "test tube")
    assert own(tmp_path).classes == ("airport", "train station")
    put(
        tmp_path / "b", "train \u00e0 vapeur/*", "test \u043a\u043e\u0442/*", "\u043a\u0438\u0442/*"
    )
    assert len(own(tmp_path / "b").classes) == 3


def test_splits_inside_the_folders_of_classes(tmp_path):
    put(tmp_path, "cat/train/*", "dog/train/*", "dog/test/*")
    assert classed(own(tmp_path)) == {"cat": 10, "dog": 10}
    assert classed(own(tmp_path, "test")) == {"cat": 0, "dog": 10}


def test_a_test_folder_beside_classes_is_never_trained_on(tmp_path):
    put(tmp_path, "cat/*", "dog/*", "test/dog/*")
    assert classed(own(tmp_path)) == {"cat": 10, "dog": 10}
    assert classed(own(tmp_path, "test")) == {"cat": 0, "dog": 10}
    assert own(tmp_path, "test").layout == "10 pictures in 1 class folders of the test split"
    with pytest.raises(UserError, match="no folder of train pictures"):
        own(put(tmp_path / "other", "test/*"))
    put(tmp_path / "loose", "*", "test/*")
    assert len(own(tmp_path / "loose")) == len(own(tmp_path / "loose", "test")) == 10


@pytest.mark.parametrize("name", ["valid", "test"])
def test_a_folder_that_may_be_a_test_split_or_a_class_is_refused(tmp_path, name):
    put(tmp_path, "invalid/*", f"{name}/*")
    with pytest.raises(UserError, match="may be a test split or a class: put the others into"):
        own(tmp_path)


def test_a_class_called_train_beside_others_is_a_class(tmp_path):
    put(tmp_path, "car/*", "plane/*", "train/*")
    assert classed(own(tmp_path)) == {"car": 10, "plane": 10, "train": 10}
    put(tmp_path, "test/*")
    with pytest.raises(UserError, match="they may be splits or classes"):
        own(tmp_path)
    shutil.rmtree(tmp_path / "test")
    put(tmp_path, "plane/jets/1.png")
    with pytest.raises(UserError, match="may be the training split or a class; read "):
        own(tmp_path)


# One decision


def test_an_archive_and_notes_beside_class_folders_are_left_aside(tmp_path):
    put(tmp_path, "cat/*", "dog/*", "eel/*")
    write_tar(tmp_path / "backup.tar", *"abcdefghij")
    (tmp_path / "notes.txt").write_text("to do")
    np.save(tmp_path / "features.npy", np.zeros(3))
    found = own(tmp_path)
    assert classed(found) == {"cat": 10, "dog": 10, "eel": 10}
    assert found.layout == (
        "30 pictures in 3 class folders; left aside: backup.tar, notes.txt, features.npy"
    )
    assert found.layout in found.describe()


def test_a_preview_beside_shards_is_left_aside(tmp_path):
    put(tmp_path, "banner.png")
    write_tar(tmp_path / "shard-0000.tar", *"abcdef")
    assert len(own(tmp_path)) == 6
    assert "left aside: 1 picture files" in own(tmp_path).layout


def test_two_equally_possible_readings_are_refused_with_the_choices(tmp_path):
    put(tmp_path, "*")
    write_tar(tmp_path / "shard-0000.tar", *"abcdef")
    with pytest.raises(UserError, match=r"two ways, as 10 picture files or as 1 tar file \(shard"):
        own(tmp_path)
    assert len(own(tmp_path / "shard-0000.tar")) == 6


def test_a_stray_drawing_file_does_not_make_it_quick_draw(tmp_path):
    put(tmp_path, "cat/*", "dog/*")
    np.save(tmp_path / "embedding.npy", np.zeros((500, 784), np.uint8))
    assert classed(own(tmp_path)) == {"cat": 10, "dog": 10}
    (tmp_path / "embedding.npy").rename(tmp_path / "apple.npy")
    found = own(tmp_path)
    assert (found.classes, len(found)) == (("apple",), 454)
    assert found.layout == "the files of Quick, Draw!; left aside: 20 picture files"


def test_a_loose_picture_or_a_stray_text_drops_no_label(tmp_path):
    put(tmp_path, "cat/*", "dog/*", "banner.png")
    (tmp_path / "cat" / "1.txt").write_text("a caption")
    found = own(tmp_path)
    assert classed(found) == {"cat": 10, "dog": 10}
    assert found.layout.endswith("left aside: banner.png, cat/1.txt")
    assert len(own(tmp_path, captions=False)) == 21


def test_half_loose_pictures_or_half_the_texts_are_refused(tmp_path):
    put(tmp_path, "cat/*", "dog/*", "*")
    with pytest.raises(UserError, match=r"20 pictures in 2 class folders.*or as 30 pictures with"):
        own(tmp_path)
    assert len(own(tmp_path, captions=False)) == 30
    put(tmp_path / "b", "cat/*", "dog/*")
    for row in range(10):
        (tmp_path / "b" / "cat" / f"{row}.txt").write_text("a caption")
    with pytest.raises(UserError, match=r"10 pictures with a .txt .* or as 20 pictures in 2 class"):
        own(tmp_path / "b")


def test_linked_folders_are_followed_once(tmp_path):
    put(tmp_path / "elsewhere", "1.png", "2.png")
    root = put(tmp_path / "set", "dog/*", "eel/*")
    (root / "cat").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(root / "dog")
    (root / "dog" / "up").symlink_to(root)
    (root / "eel" / "world").symlink_to(tmp_path)
    found = own(root)
    assert classed(found) == {"cat": 2, "dog": 10, "eel": 10}
    assert len(found.problems) == 3
    assert all("links to a folder that is read already" in each for each in found.problems)


def test_what_cannot_be_read_is_said(tmp_path, monkeypatch):
    root = put(tmp_path / "set", "cat/*", "dog/*", "eel/*")
    (root / "cat" / "gone.png").symlink_to(tmp_path / "nowhere")
    (root / "cat" / "loop.png").symlink_to(root / "cat" / "loop.png")
    os.mkfifo(root / "cat" / "pipe.png")
    honest = os.scandir

    def refusing(path):
        if str(path).endswith("eel"):
            raise PermissionError(13, "Permission denied")
        return honest(path)

    monkeypatch.setattr(tree.os, "scandir", refusing)
    found = own(root)
    assert classed(found) == {"cat": 10, "dog": 10}
    assert sorted(found.problems) == [
        "cat/gone.png is a link to nothing",
        "cat/loop.png is a link to nothing",
        "cat/pipe.png is no regular file",
        "eel cannot be read (Permission denied)",
    ]


@pytest.mark.parametrize("name", ["1.txt", "metadata.csv"])
def test_captions_that_cannot_be_read_are_one_sentence(tmp_path, monkeypatch, name):
    put(tmp_path, "1.png")
    (tmp_path / name).write_text("x")

    def refusing(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refusing)
    with pytest.raises(UserError, match=rf"cannot read .*/{name}: Permission denied"):
        own(tmp_path)


def test_a_pipe_with_the_name_of_an_archive_is_not_waited_for(tmp_path):
    put(tmp_path, "*")
    for name in ("cifar-10-python.tar.gz", "cat.npy", "a.parquet", "metadata.csv", "1.txt"):
        os.mkfifo(tmp_path / name)
    assert len(own(tmp_path)) == 10


def test_files_of_other_programs_are_no_pictures(tmp_path):
    put(tmp_path, "*")
    for name in ("clip.mpg", "table.h5", "drawing.eps"):
        (tmp_path / name).write_bytes(b"x" * 100)
    assert len(own(tmp_path)) == 10
    assert own(tmp_path).layout.endswith("left aside: clip.mpg, drawing.eps, table.h5")


def test_runs_and_their_sheets_are_never_data(tmp_path):
    put(tmp_path, "cat/*", "dog/*", "runs/own/samples/*", "runs/data-own.png", "old/run/samples/*")
    for run in (tmp_path / "runs" / "own", tmp_path / "old" / "run"):
        (run / "recipe.json").write_text("{}")
    found = own(tmp_path)
    assert classed(found) == {"cat": 10, "dog": 10}
    assert found.layout.endswith("left aside: old/run/, runs/")
    put(tmp_path / "b", "cat/*", "runs/*")
    assert classed(own(tmp_path / "b")) == {"cat": 10, "runs": 10}


def test_a_run_inside_the_pictures_themselves_is_no_data(tmp_path):
    put(tmp_path, "*", "samples/step-1.png", "evaluation/1.png", "curves.png")
    put(tmp_path, "samples.png", "samples-2.png")
    (tmp_path / "recipe.json").write_text("{}")
    assert len(own(tmp_path)) == 10


# Metadata


def test_metadata_as_csv_in_the_imagefolder_convention(tmp_path):
    put(tmp_path, "0.png", "1.png", "2.png")
    (tmp_path / "metadata.csv").write_text(
        'file_name,text\r\n1.png,"a cat, asleep"\r\n0.png,"two\nlines"\r\n2.png,\r\n'
    )
    found = own(tmp_path)
    assert captions(found) == [("a cat, asleep",), ("two\nlines",), ("",)]
    (tmp_path / "metadata.csv").write_text('file_name,text\n0.png,"never closed\n')
    with pytest.raises(UserError, match="no sound CSV file"):
        own(tmp_path)


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_metadata_above_the_splits(tmp_path, ending):
    put(tmp_path, "train/a.png", "train/b.png", "test/c.png")
    rows = [("train/b.png", "bee"), ("test/c.png", "sea"), ("train/a.png", "hay")]
    if ending == "csv":
        text = "file_name,caption\n" + "".join(f"{name},{said}\n" for name, said in rows)
    else:
        text = "".join(json.dumps({"file_name": n, "caption": said}) + "\n" for n, said in rows)
    (tmp_path / f"metadata.{ending}").write_text(text)
    assert captions(own(tmp_path)) == [("bee",), ("hay",)]
    assert captions(own(tmp_path, "test")) == [("sea",)]
    assert own(tmp_path).problems == own(tmp_path, "test").problems == ()


def test_labels_in_metadata_are_classes_by_name(tmp_path):
    put(tmp_path, *(f"{part}/{n}.png" for part in ("train", "test") for n in range(3)))
    for part, labels in (("train", ["b", "a", ["x"]]), ("test", ["b", "b", None])):
        rows = [{"file_name": f"{n}.png", "label": label} for n, label in enumerate(labels)]
        (tmp_path / part / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert own(tmp_path).classes == ("a", "b")
    assert own(tmp_path).labels.tolist() == [1, 0, -1]
    assert "line 3 has a label that names no class" in own(tmp_path).problems[0]
    assert own(tmp_path, "test").labels.tolist() == [1, 1, -1]


def test_metadata_that_name_no_picture_or_few_are_refused(tmp_path):
    put(tmp_path, "cat/*", "dog/*")
    note = tmp_path / "metadata.jsonl"
    note.write_text(json.dumps({"file_name": "elsewhere/1.png", "text": "x"}))
    with pytest.raises(UserError, match="names none of its 20 pictures; file_name should be"):
        own(tmp_path)
    note.write_text(json.dumps({"file_name": "cat/1.png", "text": "x"}))
    with pytest.raises(UserError, match=r"as the 1 pictures in metadata.jsonl or as 20 pictures"):
        own(tmp_path)
    note.write_text(json.dumps({"file_name": "cat/1.png", "width": 8}))
    assert classed(own(tmp_path)) == {"cat": 10, "dog": 10}


def test_a_caption_with_an_unquoted_comma_is_refused(tmp_path):
    put(tmp_path, "0.png", "1.png")
    note = tmp_path / "metadata.csv"
    note.write_text("file_name,text\n0.png,a cat\n1.png,a dog, asleep\n")
    with pytest.raises(UserError, match=r"line 3 has more cells .* put a caption with a comma in"):
        own(tmp_path)
    note.write_text("file_name,text\n0.png,a cat,\n1.png,a dog,\n")  # nothing is lost
    assert captions(own(tmp_path)) == [("a cat",), ("a dog",)]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("metadata.csv", "filename,caption\n0.png,x\n", "file_name; it has filename, caption"),
        ("metadata.csv", "file_name;text\n0.png;x\n", r"it has file_name;text \(separate columns"),
        ("metadata.csv", "f\0i\0l\0e\0", "has no column file_name; it has f"),
        ("Metadata.CSV", "filename\n0.png\n", "Metadata.CSV has no column file_name"),
        ("metadata.csv", "file_name,text\n", "names no picture"),
        ("metadata.jsonl", '[{"file_name": "0.png", "text": "x"}]', "names no picture; give it"),
        ("METADATA.JSONL", "", "names no picture"),
    ],
)
def test_metadata_that_name_nothing_are_refused(tmp_path, name, text, says):
    put(tmp_path, "0.png")
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=says):
        own(tmp_path)


def test_metadata_in_capitals_or_utf16_are_read(tmp_path):
    put(tmp_path, "0.png")
    (tmp_path / "Metadata.CSV").write_text("file_name,text\n0.png,caf\u00e9\n", encoding="utf-16")
    assert captions(own(tmp_path)) == [("caf\u00e9",)]


def test_line_separators_inside_captions_lose_no_picture(tmp_path):
    said = "one\u2028two\x0bthree\x85four"
    rows = [{"file_name": f"{n}.png", "text": said} for n in range(3)]
    put(tmp_path, "0.png", "1.png", "2.png")
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "metadata.jsonl").write_text(text, newline="")
    assert captions(own(tmp_path)) == [(said,)] * 3
    put(tmp_path / "b", "0.png")
    (tmp_path / "b" / "0.txt").write_text(f"{said}\nfive")
    assert captions(own(tmp_path / "b")) == [(said, "five")]


def test_odd_names_in_metadata_are_left_out_or_counted(tmp_path):
    put(tmp_path, "0.png")
    names = ["0.png", "a\0b.png", 7, ["0.png"], "x" * 5000, "\ud800.png", "gone.png"]
    rows = [{"file_name": name, "text": "half \ud800"} for name in names]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = own(tmp_path, unreadable=0.9)
    assert captions(found) == [("half ?",)]
    assert sum("names no picture" in each for each in found.problems) == 3
    assert sum("it is not there" in each for each in found.problems) == 3


def test_snapshots_of_the_hub_are_links_to_files_outside(tmp_path):
    put(tmp_path / "blobs", "abc")
    inside = tmp_path / "snapshots" / "main"
    inside.mkdir(parents=True)
    (inside / "0.png").symlink_to("../../blobs/abc")
    (inside / "metadata.jsonl").write_text(json.dumps({"file_name": "0.png", "text": "x"}))
    assert captions(own(inside)) == [("x",)]
    (inside / "metadata.jsonl").write_text(json.dumps({"file_name": "/etc/0.png", "text": "x"}))
    with pytest.raises(UserError, match="lies outside"):
        own(inside)


# Names


def test_names_that_are_not_utf8(tmp_path):
    root = os.fsencode(tmp_path)
    for folder in (b"caf\xe9", b"dog"):
        os.mkdir(os.path.join(root, folder))
        with open(os.path.join(root, folder, b"\xff.png"), "wb") as file:
            file.write(png())
    with open(os.path.join(root, b"dog", b"bad\xfe.png"), "wb"):
        pass
    found = own(tmp_path, unreadable=0.5)
    assert classed(found) == {"caf\u00e9": 1, "dog": 1}
    assert found.problems[0].startswith("dog/bad\u00fe.png: ")
    with pytest.raises(UserError, match="is not UTF-8, so no recipe can hold it"):
        own(os.fsdecode(os.path.join(root, b"caf\xe9")))


@pytest.mark.parametrize("path", ["no\0where", "x" * 5000, "~nobody/x", "/dev/null"])
def test_paths_that_cannot_be_are_one_sentence(path):
    with pytest.raises(UserError):
        own(path)


def test_pictures_that_are_gone_are_named_with_the_way_to_name_others(tmp_path):
    with pytest.raises(UserError, match=r"no folder \S+gone; name where the pictures are now with"):
        own(tmp_path / "gone")
