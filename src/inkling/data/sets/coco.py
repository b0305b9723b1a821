"""COCO 2017: 118,287 + 5,000 photographs with about five captions each."""

from pathlib import Path
from zipfile import ZipFile

from inkling.data.fetch import fetch
from inkling.data.pictures import Dataset
from inkling.data.settings import Options
from inkling.data.source import Source
from inkling.data.sources.coco import coco
from inkling.errors import UserError
from inkling.system.cache import cache_folder

_PICTURES = "http://images.cocodataset.org/zips/"
_ANNOTATIONS = "http://images.cocodataset.org/annotations/annotations_trainval2017.zip"
_PART = {"train": "train2017", "test": "val2017"}


def _download(part: str) -> tuple[Path, Path]:
    """(captions, zip of the images) in the cache; the zip is not unpacked."""
    cache = cache_folder() / "coco"
    instead = "or name a folder with annotations/, train2017/ and val2017/ with --data"
    captions = cache / "annotations" / f"captions_{part}.json"
    if not captions.is_file():
        packed = fetch(_ANNOTATIONS, cache / "annotations_trainval2017.zip", instead=instead)
        captions.parent.mkdir(parents=True, exist_ok=True)
        captions.write_bytes(ZipFile(packed).read(f"annotations/{captions.name}"))
    return captions, fetch(f"{_PICTURES}{part}.zip", cache / f"{part}.zip", instead=instead)


def find(folder: Path | None, split: str, options: Options) -> Source:
    """COCO's train2017 or val2017 with its captions.

    Raises:
        UserError: the folder lacks captions or images, or nothing could be downloaded.
    """
    part = _PART[split]
    if folder is None:
        return coco(*_download(part))
    captions = folder / "annotations" / f"captions_{part}.json"
    pictures = next((p for p in (folder / part, folder / f"{part}.zip") if p.exists()), None)
    if not captions.is_file() or pictures is None:
        raise UserError(
            f"{folder} is no COCO folder; it should hold annotations/captions_{part}.json and "
            f"{part}/ or {part}.zip"
        )
    return coco(captions, pictures)


COCO = Dataset(
    title="COCO 2017, 123,287 photographs with five captions each, colour",
    find=find,
    licence="annotations CC BY 4.0; each photograph under its own Flickr terms",
    citation="Lin et al. 2014, Microsoft COCO; Chen et al. 2015, Microsoft COCO Captions",
    size=64,
    channels=3,
    classes=False,
    mirror=True,
)
