"""Every file below a folder of one's own, by kind; what programs wrote there is set aside."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from inkling.data.sources.labels import printable
from inkling.data.sources.metadata import FILES as METADATA
from inkling.errors import UserError

PICTURES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".avif", ".heic", ".jp2", ".j2k"}
)
"""File name extensions of pictures; Pillow claims others too, of videos and scientific data."""
TARS = (".tar", ".tar.gz", ".tgz")
_RUN = frozenset(
    {"metrics.jsonl", "model.safetensors", "samples", "checkpoints", "milestones", "averages"}
)
"""What lies beside a run's recipe.json."""
_OUTPUTS = frozenset(
    {"samples", "checkpoints", "milestones", "averages", "evaluation", "plots", "curves.png"}
)
"""What a run writes that could be taken for data, where a folder of pictures is a run folder."""
_SAMPLES = re.compile(r"samples(-\d+)?\.png")
"""The sheets of `inkling sample`, which are there too."""
_SHEETS = ("data-", "verify")
"""How the names of images begin that commands write into runs/."""


@dataclass
class Tree:
    """The files below a folder, as sorted paths relative to it."""

    root: Path
    pictures: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    """Parquet files."""
    tars: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    metadata: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Files of any other kind."""
    aside: list[str] = field(default_factory=list)
    """Folders and files that inkling wrote."""
    problems: list[str] = field(default_factory=list)
    """Messages about folders and links that could not be read."""

    def kinds(self) -> tuple[list[str], ...]:
        """The lists of files."""
        return self.pictures, self.tables, self.tars, self.texts, self.metadata, self.others


def scan(root: Path) -> Tree:
    """All files below a folder but hidden ones; links are followed, each folder is read once.

    Raises:
        UserError: the folder itself cannot be read.
    """
    tree = Tree(Path(os.path.abspath(root)))
    seen: set[tuple[int, int]] = set()
    links = [""]
    while links:  # a folder comes before the links to it, so that it keeps its own name
        links = sorted(link for start in links for link in _enter(tree, start, seen))
    for names in tree.kinds():
        names.sort()
    tree.aside.sort()
    return tree


def _enter(tree: Tree, start: str, seen: set[tuple[int, int]]) -> list[str]:
    """Read a folder and the real folders in it; returns the links to folders among them."""
    links: list[str] = []
    pending = [start]
    while pending:
        inside = pending.pop()
        path = os.path.join(tree.root, inside) if inside else os.fspath(tree.root)
        try:
            stat = os.stat(path)
            if (stat.st_dev, stat.st_ino) in seen or (inside and _contains(path, tree.root)):
                tree.problems.append(f"{printable(inside)} links to a folder that is read already")
                continue
            seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if not inside:
                raise UserError(f"cannot read {printable(path)}: {error.strerror}") from None
            tree.problems.append(f"{printable(inside)} cannot be read ({error.strerror})")
            continue
        if inside and _is_output(path, {entry.name for entry in entries}):
            tree.aside.append(inside + os.sep)
            continue
        of_run = not inside and _is_run({entry.name for entry in entries})
        for entry in entries:
            name = os.path.join(inside, entry.name)
            if entry.name.startswith("."):
                continue
            if of_run and (entry.name in _OUTPUTS or _SAMPLES.fullmatch(entry.name)):
                tree.aside.append(name)
            elif not _is_folder(entry):
                _add(tree, name, entry)
            else:
                (links if entry.is_symlink() else pending).append(name)
    return links


def _contains(path: str, root: Path) -> bool:
    """Whether a link leads to a folder around the one that is read."""
    return os.path.islink(path) and Path(os.path.realpath(root)).is_relative_to(
        os.path.realpath(path)
    )


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _add(tree: Tree, name: str, entry: "os.DirEntry[str]") -> None:
    """Enter a file under its kind."""
    stem, ending = os.path.splitext(entry.name.lower())
    try:
        regular = entry.is_file()
    except OSError:
        regular = False
    if not regular:
        why = "is a link to nothing" if entry.is_symlink() else "is no regular file"
        tree.problems.append(f"{printable(name)} {why}")
    elif ending in PICTURES:
        tree.pictures.append(name)
    elif ending == ".parquet":
        tree.tables.append(name)
    elif entry.name.lower().endswith(TARS):
        tree.tars.append(name)
    elif ending == ".txt" and stem:
        tree.texts.append(name)
    elif entry.name.lower() in METADATA:
        tree.metadata.append(name)
    else:
        tree.others.append(name)


def _is_run(names: set[str]) -> bool:
    return "recipe.json" in names and not names.isdisjoint(_RUN)


def _is_output(path: str, names: set[str]) -> bool:
    """Whether a folder holds a run, or is the `runs` folder that commands write into."""
    ours = os.path.basename(path) == "runs" and any(_is_of_runs(path, name) for name in names)
    return ours or _is_run(names)


def _is_of_runs(path: str, name: str) -> bool:
    if name.endswith(".png"):
        return name.startswith(_SHEETS)
    inner = os.path.join(path, name)
    try:
        return os.path.isdir(inner) and _is_run(set(os.listdir(inner)))
    except OSError:
        return False
