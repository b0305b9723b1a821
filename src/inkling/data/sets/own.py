"""Your own images: a folder, a Parquet or tar file, or a data set of the hub."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from inkling.data.pictures import Dataset
from inkling.data.sets import celeba, cifar10, coco, mnist, quickdraw
from inkling.data.settings import Options
from inkling.data.source import Source
from inkling.data.sources import parquet, tars
from inkling.data.sources.folders import pictures_in
from inkling.data.sources.hub import hub
from inkling.data.sources.labels import printable
from inkling.data.sources.layouts import left_aside
from inkling.data.sources.splits import is_shard, outweighs, split_files
from inkling.data.sources.tree import TARS, Tree, scan
from inkling.errors import UserError

_PHOTOGRAPHS: tuple[tuple[str, Dataset, tuple[str, ...]], ...] = (
    ("COCO", coco.COCO, ("annotations/captions_*2017.json",)),
    ("CelebA", celeba.CELEBA, ("list_attr_celeba.txt", "Anno/list_attr_celeba.txt")),
)
"""Published sets of image files: name, set, and files by which it is recognised."""
_ARRAYS: tuple[tuple[str, Dataset, tuple[str, ...]], ...] = (
    ("MNIST", mnist.MNIST, ("*-idx3-ubyte*", "raw/*-idx3-ubyte*", "MNIST/raw/*-idx3-ubyte*")),
    ("CIFAR-10", cifar10.CIFAR10, ("data_batch_1", "data_batch_1.bin", *cifar10.FORMS)),
    ("Quick, Draw!", quickdraw.QUICKDRAW, ("*.npy", "*.ndjson")),
)
"""The same of published sets whose images are inside other files."""
_BYTES = 1000
"""Bytes of one image, for an estimate of how many an archive of arrays holds."""


class Candidate(NamedTuple):
    """One way to read a folder."""

    words: str
    pictures: int
    """How many pictures it would use; of large files an estimate."""
    find: Callable[[], Source]
    sure: bool
    """Whether its files are named as a data set's."""


def find(path: Path | None, split: str, options: Options) -> Source:
    """The images at a path: a known layout, Parquet files, tar shards or a folder of images.

    How a folder is read is decided here once, by how many pictures each way would use; what is not
    read is named in the source's `layout`.

    Raises:
        UserError: there is nothing at the path that can be read, or it can be read in two ways.
    """
    if path is None:
        raise UserError("own pictures need a folder: inkling train FOLDER, or data.path=FOLDER")
    if path.is_file():
        return _one_file(path, split)
    if not path.is_dir():
        raise UserError(f"{printable(path)} is neither a folder nor a regular file")
    for title, dataset, patterns in _PHOTOGRAPHS:
        if _matching(path, patterns):
            return _published(title, dataset, path, split, options)
    tree = scan(path)
    candidates = [*_archives(tree, split), *_arrays(tree, split, options)]
    labelled = options.captions or bool(options.classes)
    if tree.pictures or not candidates:
        count = len(tree.pictures)
        read = partial(pictures_in, tree, split, labelled)
        images = Candidate(f"{count:,} picture files", count, read, True)
        return _chosen(tree, images, candidates).find()
    return _only(tree, candidates).find()


def _chosen(tree: Tree, images: Candidate, others: Sequence[Candidate]) -> Candidate:
    """The reading that uses by far the most pictures; other files only count if they are many.

    Raises:
        UserError: two candidates are equally possible.
    """
    rivals = [each for each in others if not outweighs(images.pictures, each.pictures)]
    rivals = [each for each in rivals if each.sure or outweighs(each.pictures, images.pictures)]
    if not rivals:
        return images
    best = _only(tree, rivals)
    if best.sure and outweighs(best.pictures, images.pictures):
        return best
    raise _two_ways(tree, images, best)


def _only(tree: Tree, candidates: Sequence[Candidate]) -> Candidate:
    """The one reading whose files are named as a data set's, or the only one.

    Raises:
        UserError: several are equally possible.
    """
    sure = [each for each in candidates if each.sure] or candidates
    if len(sure) > 1:
        raise _two_ways(tree, sure[0], sure[1])
    return sure[0]


def _two_ways(tree: Tree, one: Candidate, other: Candidate) -> UserError:
    return UserError(
        f"{printable(tree.root)} can be read in two ways, as {one.words} or as {other.words}; name "
        "the subfolder or the file that you mean, or move one of the two elsewhere"
    )


def _archives(tree: Tree, split: str) -> list[Candidate]:
    """Candidates of the files that hold many images."""
    own = {name for _, _, patterns in _ARRAYS for name in _matching(tree.root, patterns)}
    shards = [name for name in tree.tars if name not in own]
    found = []
    if tree.tables:
        rows = sum(parquet.count_pictures(tree.root / name) for name in tree.tables)
        words = f"{rows:,} rows of {_files(tree.tables, 'Parquet file')}"
        read = partial(_many, tree, parquet.parquet, "Parquet file", tree.tables, split)
        found.append(Candidate(words, rows, read, True))
    if shards:
        most = 4 * len(tree.pictures) + 1
        held = sum(tars.count_pictures(tree.root / name, most) for name in shards)
        words = _files(shards, "tar file")
        read = partial(_many, tree, tars.shards, "tar file", shards, split)
        found.append(Candidate(words, held, read, all(map(is_shard, shards))))
    return found


def _arrays(tree: Tree, split: str, options: Options) -> list[Candidate]:
    """Candidates of published sets whose images are inside other files."""
    found = []
    for title, dataset, patterns in _ARRAYS:
        files = _matching(tree.root, patterns)
        if dataset is quickdraw.QUICKDRAW and (tree.pictures or tree.tables or tree.tars):
            files = [name for name in files if quickdraw.is_named(name)]
        if files:
            sizes = (_size(tree.root / name) for name in files)
            words = f"the files of {title} ({', '.join(files[:3])})"
            read = partial(_published, title, dataset, tree.root, split, options, tree)
            found.append(Candidate(words, sum(sizes) // _BYTES + 1, read, True))
    return found


def _size(path: Path) -> int:
    inside = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in inside if file.is_file())


def _matching(path: Path, patterns: Sequence[str]) -> list[str]:
    """What matches one of the patterns, as paths below the folder."""
    found = {file for pattern in patterns for file in path.glob(pattern)}
    found = {file for file in found if file.is_file() or file.is_dir()}  # no pipe
    return [str(file.relative_to(path)) for file in sorted(found)]


def _published(
    title: str,
    dataset: Dataset,
    path: Path,
    split: str,
    options: Options,
    tree: Tree | None = None,
) -> Source:
    """The files of a published set."""
    source = dataset.find(path, split, options)
    assert isinstance(source, Source), "published sets are prepared from files"
    pictures = tree.pictures if tree else []
    aside = [f"{len(pictures):,} picture files"] if pictures else []
    return replace(source, layout=f"the files of {title}{left_aside(aside)}")


def _files(names: Sequence[str], kind: str) -> str:
    more = ", ..." if len(names) > 1 else ""
    return f"{len(names):,} {kind}{'s' if len(names) > 1 else ''} ({printable(names[0])}{more})"


def _many(
    tree: Tree,
    read: Callable[[Sequence[Path], Sequence[Path]], Source],
    kind: str,
    files: Sequence[str],
    split: str,
) -> Source:
    """Files that hold many images each, with the classes of the training split.

    Raises:
        UserError: none is of this split.
    """
    train, test, _ = split_files(files)
    used = train if split == "train" else test
    if not used:
        raise UserError(
            f"{printable(tree.root)} has no {kind} of {split} pictures: none of its {kind}s has "
            f"the word {split} in its name or in a folder's"
        )
    source = read([tree.root / name for name in used], [tree.root / name for name in train])
    unused = [name for name in (*tree.tables, *tree.tars) if name not in {*train, *test}]
    left = [*unused, *tree.aside, *tree.texts, *tree.metadata, *tree.others]
    if tree.pictures:
        left.insert(0, f"{len(tree.pictures):,} picture files")
    layout = f"{_files(used, kind)}{left_aside(left)}"
    return replace(source, layout=layout, unread=tuple(tree.problems))


def _one_file(path: Path, split: str) -> Source:
    """A file that holds many images; it is of the split that its name gives, else for training.

    Raises:
        UserError: it holds no images that can be read, or none for testing.
    """
    name = path.name.lower()
    if not name.endswith((".parquet", *TARS)):
        raise UserError(
            f"{printable(path)} is a single file that inkling cannot read; give a folder of "
            "pictures, a .parquet or a .tar"
        )
    if split == "test" and not split_files([path.name])[1]:
        raise UserError(
            f"{printable(path)} is one file, and all of it is for training; name a folder with a "
            f"file for each split, such as train{path.suffix} and test{path.suffix}"
        )
    read = parquet.parquet if name.endswith(".parquet") else tars.shards
    return replace(read([path]), layout=printable(path.name))


def find_on_hub(path: Path | None, split: str, options: Options) -> Source:
    """A data set of the Hugging Face hub by its id.

    Raises:
        UserError: it cannot be loaded, or has no images.
    """
    return hub(str(path or ""), split)


FOLDER = Dataset(
    title="a folder of your own pictures",
    find=find,
    licence="that of your pictures",
    citation="yours",
)
HUB = Dataset(
    title="a data set of the Hugging Face hub",
    find=find_on_hub,
    licence="see its page on the hub",
    citation="see its page on the hub",
)
