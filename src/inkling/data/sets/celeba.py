"""CelebA: 202,599 faces with captions made from forty attributes; colour, 178x218."""

from pathlib import Path

from inkling.data.captions import FACE_GRAMMAR, face_sentences
from inkling.data.pictures import Dataset
from inkling.data.settings import Options
from inkling.data.source import Source
from inkling.data.sources.attributes import attributes, unlabelled
from inkling.errors import UserError
from inkling.system.cache import cache_folder

_TABLE, _PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"


def find(folder: Path | None, split: str, options: Options) -> Source:
    """CelebA from a folder; its publisher allows no direct download.

    Without the table of attributes the images have no captions.

    Raises:
        UserError: the folder lacks the images.
    """
    root = folder or cache_folder() / "celeba"
    table = next((p for p in (root / _TABLE, root / "Anno" / _TABLE) if p.is_file()), None)
    candidates = (root / "img_align_celeba", root / "Img" / "img_align_celeba")
    pictures = next((path for path in candidates if path.is_dir()), None)
    if pictures is None:
        raise UserError(
            f"there is no CelebA in {root}; fetch img_align_celeba.zip, and for captions {_TABLE} "
            f"and {_PARTITION}, from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, unpack the "
            "pictures into img_align_celeba/ beside the two, and name their folder with --data"
        )
    if table is None:
        partition = next((p for p in (root, root / "Eval") if (p / _PARTITION).is_file()), root)
        return unlabelled(pictures, split, partition / _PARTITION)
    return attributes(table, pictures, split, face_sentences, FACE_GRAMMAR)


CELEBA = Dataset(
    title="CelebA, 202,599 faces with attributes, colour, from 178x218",
    find=find,
    licence="non-commercial research only (agreement of its publisher)",
    citation="Liu, Luo, Wang & Tang 2015, Deep Learning Face Attributes in the Wild",
    size=64,
    channels=3,
    classes=False,
    mirror=True,
)
