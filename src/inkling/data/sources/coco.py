"""COCO's annotation files: images with about five captions each."""

import json
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from inkling.data.source import Content, Item, Source
from inkling.data.sources.archives import LARGEST_PICTURE
from inkling.data.sources.folders import picture_files
from inkling.errors import UserError
from inkling.system.reading import require_regular


def coco(annotations: Path, pictures: Path) -> Source:
    """The images of a caption file, in the order of the file.

    Args:
        annotations: `captions_*.json`.
        pictures: the folder of the images, or the downloaded zip.

    Raises:
        UserError: it is not a COCO annotation file, or names an image outside the folder.
    """
    try:
        notes = json.loads(require_regular(annotations).read_bytes())
        captions = defaultdict(list)
        for note in notes["annotations"]:
            captions[note["image_id"]].append(" ".join(note["caption"].split()))
        images = [
            (entry["file_name"], tuple(dict.fromkeys(filter(None, captions[entry["id"]]))))
            for entry in notes["images"]
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{annotations} is no COCO caption file ({type(error).__name__}: {error}); expected "
            "captions_train2017.json or one like it"
        ) from None
    for name, _ in images:
        if not isinstance(name, str) or Path(name).name != name or "\0" in name:
            raise UserError(f"{annotations} names the picture {name!r}, which is no file name")

    def in_folder() -> Iterator[Item]:
        for name, said in images:
            yield Item(name, pictures / name, said)

    def in_zip() -> Iterator[Item]:
        try:
            with ZipFile(require_regular(pictures)) as packed:
                inside = {Path(name).name: name for name in packed.namelist()}
                for name, said in images:
                    content = _unpacked(packed, inside[name]) if name in inside else b""
                    yield Item(name, content, said)
        except (BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
            raise UserError(f"{pictures} is damaged ({error}); fetch it again") from None

    if pictures.suffix == ".zip":
        return Source(in_zip, len(images), [annotations, pictures])
    unlisted = {file.name: file for file in picture_files(pictures)}
    files = [unlisted.pop(name) for name, _ in images if name in unlisted]
    problems = []
    if unlisted:
        problems = [f"{len(unlisted):,} pictures are not in {annotations.name} and were left out"]
    return Source(in_folder, len(images), [annotations, *files], problems=problems)


def _unpacked(packed: ZipFile, name: str) -> Content:
    """The content of a member, which may be small in the zip and unpack to any size."""
    size = packed.getinfo(name).file_size
    if size <= LARGEST_PICTURE:
        return packed.read(name)

    def refused() -> np.ndarray:
        raise ValueError(f"{size:,} bytes; at most {LARGEST_PICTURE:,} are read of a picture")

    return refused
