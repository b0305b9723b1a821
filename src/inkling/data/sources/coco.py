"""COCO's annotation files: images with about five captions each."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from inkling.data.source import Item, Source
from inkling.data.sources.folders import picture_files
from inkling.errors import UserError


def coco(annotations: Path, pictures: Path) -> Source:
    """The images of a caption file, in the order of the file.

    Args:
        annotations: `captions_*.json`.
        pictures: the folder of the images, or the downloaded zip.

    Raises:
        UserError: it is not a COCO annotation file, or names an image outside the folder.
    """
    try:
        notes = json.loads(annotations.read_bytes())
        captions = defaultdict(list)
        for note in notes["annotations"]:
            captions[note["image_id"]].append(" ".join(note["caption"].split()))
        images = [(entry["id"], entry["file_name"]) for entry in notes["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{annotations} is no COCO caption file ({type(error).__name__}: {error}); expected "
            "captions_train2017.json or one like it"
        ) from None
    for _, name in images:
        if Path(name).name != name:
            raise UserError(f"{annotations} names the picture {name!r}, which is no file name")

    def captions_of(number: int) -> tuple[str, ...]:
        return tuple(dict.fromkeys(filter(None, captions[number])))

    def in_folder() -> Iterator[Item]:
        for number, name in images:
            yield Item(name, pictures / name, captions_of(number))

    def in_zip() -> Iterator[Item]:
        try:
            with ZipFile(pictures) as packed:
                inside = {Path(name).name: name for name in packed.namelist()}
                for number, name in images:
                    content = packed.read(inside[name]) if name in inside else b""
                    yield Item(name, content, captions_of(number))
        except BadZipFile as error:
            raise UserError(f"{pictures} is damaged ({error}); fetch it again") from None

    if pictures.suffix == ".zip":
        return Source(in_zip, len(images), [annotations, pictures])
    unlisted = {file.name: file for file in picture_files(pictures)}
    files = [unlisted.pop(name) for _, name in images if name in unlisted]
    problems = []
    if unlisted:
        problems = [f"{len(unlisted):,} pictures are not in {annotations.name} and were left out"]
    return Source(in_folder, len(images), [annotations, *files], problems=problems)
