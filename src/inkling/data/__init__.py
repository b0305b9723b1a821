"""Images and captions. A *source* reads a file format; a *data set* names a source and its
captions. All of them become `Pictures` in memory. A new data set is one file and one entry in
`DATASETS`.
"""

from typing import TYPE_CHECKING

from inkling.lazy import attach

if TYPE_CHECKING:
    from inkling.data.pictures import Dataset, Pictures
    from inkling.data.registry import DATASETS, read, read_picture, read_pictures
    from inkling.data.settings import Data, Options

__getattr__ = attach(
    __name__,
    {
        "DATASETS": "inkling.data.registry",
        "Data": "inkling.data.settings",
        "Dataset": "inkling.data.pictures",
        "Options": "inkling.data.settings",
        "Pictures": "inkling.data.pictures",
        "read": "inkling.data.registry",
        "read_picture": "inkling.data.registry",
        "read_pictures": "inkling.data.registry",
    },
)

__all__ = [
    "DATASETS",
    "Data",
    "Dataset",
    "Options",
    "Pictures",
    "read",
    "read_picture",
    "read_pictures",
]
