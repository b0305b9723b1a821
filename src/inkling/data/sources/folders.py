"""Folders of images: with metadata, with caption files, by class, or images alone.

How a folder is read is decided here, once, from its training split.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from PIL import Image

from inkling.data.decode import FORMATS
from inkling.data.source import Source
from inkling.data.sources.labels import distinct, printable, same_class, spoken
from inkling.data.sources.layouts import READERS, Part, Reading, metadata_names, texts_of
from inkling.data.sources.metadata import Notes, read_metadata
from inkling.data.sources.splits import Named, outweighs, splits_of
from inkling.data.sources.tree import PICTURES, Tree
from inkling.errors import UserError


@cache
def endings() -> frozenset[str]:
    """The file name extensions of images, of formats that are read here."""
    known = Image.registered_extensions().items()
    return PICTURES & frozenset(ending for ending, name in known if name in FORMATS)


def picture_files(folder: Path) -> list[Path]:
    """Every image file below a folder, sorted, without hidden ones."""
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if os.path.splitext(name)[1].lower() in endings() and not name.startswith("."):
                found.append(os.path.join(root, name))
    return [Path(path) for path in sorted(found)]


def pictures_in(tree: Tree, split: str, labelled: bool) -> Source:
    """The images of a folder, with captions or classes from its files or its folders.

    `metadata.jsonl` or `metadata.csv` with `file_name` and a column of captions or labels (the
    hub's imagefolder convention); or `.txt` files beside the images, one caption a line; or a
    folder for each class; or images alone. The classes are those of the training split.

    Args:
        tree: the files.
        split: "train" or "test".
        labelled: False: no captions and classes are wanted.

    Raises:
        UserError: there is no such split, or the files can be read in two ways.
    """
    root = printable(tree.root)
    if not tree.pictures:
        problem = f"; {tree.problems[0]}" if tree.problems else ""
        raise UserError(f"{root} holds no pictures in a format that Pillow reads{problem}")
    structured = {part for name in tree.metadata for part in os.path.dirname(name).split(os.sep)}
    splits = splits_of(root, tree.pictures, structured)
    named = splits.train if split == "train" else splits.test
    if not named:
        raise UserError(f"{root} has no folder of {split} pictures")
    notes = read_metadata(tree.root, tree.metadata)
    reading = _reading(tree, splits.train or named, notes, labelled)
    part = Part(tree, split, splits, named, notes, reading)
    if labelled and split == "test" and splits.train:
        _check_described(part)
    return READERS[reading.kind](part)


def _check_described(part: Part) -> None:
    """Refuse test images of which none has a caption or a class, where those for training have.

    Raises:
        UserError: none has.
    """
    notes, texts, depth = part.notes.by_name, texts_of(part.tree), part.reading.depth
    described: dict[str, Callable[[Named], bool]] = {
        "metadata": lambda e: (
            e.path not in notes or bool(notes[e.path].captions or notes[e.path].label)
        ),
        "texts": lambda e: os.path.splitext(e.path)[0] in texts,
        "folders": lambda e: len(e.parts) > depth + 1,
        "bare": lambda e: True,
    }
    if not any(map(described[part.reading.kind], part.named)):
        lacking = {
            "metadata": f"captions or labels in {part.metadata}",
            "texts": "captions in .txt files",
            "folders": "class folders",
        }[part.reading.kind]
        raise UserError(
            f"the {len(part.named):,} test pictures of {printable(part.tree.root)} have no "
            f"{lacking}, and the training pictures have; add them, or move these pictures elsewhere"
        )


def _reading(tree: Tree, named: Sequence[Named], notes: Notes, labelled: bool) -> Reading:
    """How images are read.

    Raises:
        UserError: two ways are equally possible.
    """
    total, names = len(named), metadata_names(tree)
    depth, folders = _class_folders(named)
    classed, texts = sum(folders.values()), texts_of(tree)
    with_text = sum(os.path.splitext(each.path)[0] in texts for each in named)
    noted = [notes.by_name[each.path] for each in named if each.path in notes.by_name]
    by_class = f"{classed:,} pictures in {len(folders)} class folders"
    if notes.useful and not notes.by_name.keys() & set(tree.pictures):
        raise UserError(
            f"{names} in {printable(tree.root)} names none of its {len(tree.pictures):,} "
            "pictures; file_name should be a path relative to the folder of that file"
        )
    if notes.useful and noted:
        if labelled and (folders or with_text) and outweighs(total - len(noted), len(noted)):
            other = by_class if folders else f"{with_text:,} pictures with a .txt file"
            fix = f"remove {names}, or list all pictures in it"
            raise _two_ways(tree, f"the {len(noted):,} pictures in {names}", other, fix, False)
        labels = () if notes.captioned else distinct(note.label for note in noted)
        return Reading("metadata", labels)
    if not labelled:
        return Reading("bare")
    if with_text and (not folders or outweighs(with_text, total - with_text)):
        return Reading("texts")
    if with_text and not outweighs(total - with_text, with_text):
        one = f"{with_text:,} pictures with a .txt file of captions"
        raise _two_ways(tree, one, by_class, "give each picture its .txt or remove these files")
    if folders and not outweighs(classed, total - classed):
        one = f"{by_class}, without {total - classed:,} beside them"
        other = f"{total:,} pictures without captions"
        raise _two_ways(tree, one, other, "move those beside the folders into one")
    if not folders:
        return Reading("bare")
    return Reading("folders", tuple(map(spoken, _merged(folders))), depth)


def _two_ways(tree: Tree, one: str, other: str, fix: str, bare: bool = True) -> UserError:
    more = ", or take all without captions with data.captions=false" if bare else ""
    return UserError(
        f"{printable(tree.root)} can be read in two ways, as {one} or as {other}; {fix}{more}"
    )


def _class_folders(named: Sequence[Named]) -> tuple[int, dict[str, int]]:
    """(folders around those of the classes, images of each class folder); empty: no classes."""
    depth = 0
    while True:
        inside = [each.parts[depth] for each in named if len(each.parts) > depth + 1]
        found = dict(Counter(inside))
        if len(_merged(found)) != 1 or len(inside) < len(named):
            return (depth, found) if len(_merged(found)) > 1 else (0, {})
        depth += 1


def _merged(folders: Iterable[str]) -> list[str]:
    """The first of the folders of each class, in order."""
    first: dict[str, str] = {}
    for name in sorted(folders):
        first.setdefault(same_class(name), name)
    return list(first.values())
