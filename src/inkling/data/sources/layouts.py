"""The ways to read a folder of images, each a source: by metadata, caption files or folders.

`folders.py` decides which.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from inkling.data.source import Item, Source
from inkling.data.sources.labels import lines, printable, same_class, spoken, unknown_class
from inkling.data.sources.metadata import Note, Notes, read_text
from inkling.data.sources.splits import Named, Splits
from inkling.data.sources.tree import Tree
from inkling.errors import UserError

_NAMED_ASIDE = 5
"""Files left aside that are named."""


class Reading(NamedTuple):
    """How images are read, decided once from the training split."""

    kind: str
    """"metadata", "texts", "folders" or "bare"."""
    classes: tuple[str, ...] = ()
    """The classes of the training split."""
    depth: int = 0
    """Folders inside the split around those of the classes."""


class Part(NamedTuple):
    """The images of a split, and what is known of their folder."""

    tree: Tree
    split: str
    splits: Splits
    named: list[Named]
    notes: Notes
    reading: Reading

    @property
    def metadata(self) -> str:
        """The names of the metadata files, in words."""
        return metadata_names(self.tree)

    def item(self, path: str, captions: tuple[str, ...] = (), label: int = -1) -> Item:
        """An image of the folder."""
        return Item(printable(path), self.tree.root / path, captions, label)

    def source(
        self,
        items: Callable[[], Iterator[Item]],
        count: int,
        used: Sequence[str],
        layout: str,
        aside: Sequence[str],
        problems: list[str],
    ) -> Source:
        """A source of the files `used`, with a sentence about how they were read."""
        tree = self.tree
        of_split = f" of the {self.split} split" if self.splits.divided else ""
        left = [*tree.aside, *tree.tables, *tree.tars, *self.splits.aside, *aside, *tree.others]
        return Source(
            items,
            count,
            [tree.root / name for name in used],
            stamp=f"{self.reading.kind} {self.reading.depth}",
            classes=self.reading.classes,
            problems=problems,
            layout=layout + of_split + left_aside(left),
            unread=tuple(tree.problems),
        )


def metadata_names(tree: Tree) -> str:
    """The names of the metadata files, in words."""
    return " and ".join(sorted({os.path.basename(name) for name in tree.metadata}))


def texts_of(tree: Tree) -> dict[str, str]:
    """Caption files by path without extension."""
    return {os.path.splitext(name)[0]: name for name in tree.texts}


def left_aside(names: Sequence[str]) -> str:
    """What was not read, as the end of a sentence."""
    if not names:
        return ""
    more = len(names) - _NAMED_ASIDE
    said = ", ".join(map(printable, names[:_NAMED_ASIDE]))
    return f"; left aside: {said}" + (f" and {more:,} more" if more > 0 else "")


def _bare(part: Part) -> Source:
    paths = [each.path for each in part.named]

    def items() -> Iterator[Item]:
        yield from map(part.item, paths)

    layout = f"{len(paths):,} pictures without captions"
    aside = [*part.tree.metadata, *part.tree.texts]
    return part.source(items, len(paths), paths, layout, aside, list(part.notes.problems))


def _by_folder(part: Part) -> Source:
    """Images in a folder for each class; those beside the folders are left aside."""
    depth, classes = part.reading.depth, part.reading.classes
    folder = {e.path: e.parts[depth] if len(e.parts) > depth + 1 else "" for e in part.named}
    number = {same_class(name): row for row, name in enumerate(classes)}
    loose = [path for path, name in folder.items() if not name]
    paths = [path for path, name in folder.items() if name] or loose
    folders = sorted({name for name in folder.values() if name})
    for name in folders:
        if same_class(name) not in number:
            raise unknown_class(printable(part.tree.root), spoken(name), classes)
    label = {"": -1} | {name: number[same_class(name)] for name in folders}

    def items() -> Iterator[Item]:
        yield from (part.item(path, (), label[folder[path]]) for path in paths)

    problems = list(part.notes.problems)
    for row in sorted(set(label.values()) - {-1}):
        several = [printable(name) for name in folders if label[name] == row]
        if len(several) > 1:
            problems.append(f"the folders {', '.join(several)} are one class, {classes[row]!r}")
    layout = f"{len(paths):,} pictures in {len(folders)} class folders"
    aside = [*(loose if loose != paths else ()), *part.tree.metadata, *part.tree.texts]
    return part.source(items, len(paths), paths, layout, aside, problems)


def _with_texts(part: Part) -> Source:
    """Images with caption files beside them."""
    texts = texts_of(part.tree)
    text_of = {each.path: texts.get(os.path.splitext(each.path)[0]) for each in part.named}
    problems: list[str] = []

    def items() -> Iterator[Item]:
        problems[:] = part.notes.problems
        for path, text in text_of.items():
            said = lines(read_text(part.tree.root / text, problems)) if text else []
            yield part.item(path, tuple(line.strip() for line in said if line.strip()))

    used = sorted({text for text in text_of.values() if text})
    layout = f"{len(text_of):,} pictures, {len(used):,} .txt files of captions beside them"
    stems = {os.path.splitext(path)[0] for path in part.tree.pictures}
    stray = [text for stem, text in texts.items() if stem not in stems]
    aside = [*part.tree.metadata, *stray]
    return part.source(items, len(text_of), [*text_of, *used], layout, aside, problems)


def _with_metadata(part: Part) -> Source:
    """Images that metadata list, in their order."""
    tree, notes, classes = part.tree, part.notes, part.reading.classes
    mine = {each.path for each in part.named}
    path, parts = part.named[0]
    inner = os.sep.join(parts)
    around = path.removesuffix(inner) if path.endswith(inner) else ""  # the folder of the split
    missing = notes.by_name.keys() - set(tree.pictures)
    lost = {name for name in missing if name.startswith(around)}
    listed = [note for name, note in notes.by_name.items() if name in mine or name in lost]
    files = [note.name for note in listed if note.name in mine]
    if not files:
        raise UserError(
            f"{part.metadata} in {printable(tree.root)} names none of the {len(mine):,} pictures "
            "of this split; list them, or remove that file"
        )
    number = {name: row for row, name in enumerate(classes)}
    for note in listed:
        if classes and note.label and note.label not in number:
            raise unknown_class(printable(tree.root), note.label, classes)
    problems = list(notes.problems)
    if len(files) < len(mine):
        unlisted = len(mine) - len(files)
        problems.append(f"{unlisted:,} pictures are not in {part.metadata} and were left out")

    def item(note: Note) -> Item:
        if note.name in lost:
            return Item(printable(note.name), _absent)
        return part.item(note.name, note.captions, number.get(note.label, -1))

    def items() -> Iterator[Item]:
        yield from map(item, listed)

    layout = f"{len(listed):,} pictures in {', '.join(map(printable, tree.metadata))}"
    used = [*files, *tree.metadata]
    return part.source(items, len(listed), used, layout, tree.texts, problems)


def _absent() -> np.ndarray:
    raise FileNotFoundError("the metadata name it, but it is not there")


READERS: dict[str, Callable[[Part], Source]] = {
    "metadata": _with_metadata,
    "texts": _with_texts,
    "folders": _by_folder,
    "bare": _bare,
}
