"""Encoders: captions, or pictures by their names, to conditions. Each is one class and one entry in
`ENCODERS`.
"""

from inkling.registry import Registry, subclass_of
from inkling.text.base import TextEncoder
from inkling.text.frozen import FrozenEncoder
from inkling.text.label import LabelEncoder
from inkling.text.transformer import TransformerEncoder
from inkling.text.vision import VisionEncoder

ENCODERS: Registry[type[TextEncoder]] = Registry(
    {
        "frozen": FrozenEncoder,
        "label": LabelEncoder,
        "transformer": TransformerEncoder,
        "vision": VisionEncoder,
    },
    subclass_of(TextEncoder),
    "an encoder: a subclass of inkling.text.TextEncoder",
    {"clip": "frozen", "t5": "frozen", "bert": "frozen", "class": "label", "image": "vision"},
)

__all__ = [
    "ENCODERS",
    "FrozenEncoder",
    "LabelEncoder",
    "TextEncoder",
    "TransformerEncoder",
    "VisionEncoder",
]
