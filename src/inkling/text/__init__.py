"""Encoders: captions, or pictures by their names, to conditions. Each is one class and one entry in
`ENCODERS`.
"""

from inkling.text.base import TextEncoder
from inkling.text.frozen import FrozenEncoder
from inkling.text.label import LabelEncoder
from inkling.text.transformer import TransformerEncoder
from inkling.text.vision import VisionEncoder

ENCODERS: dict[str, type[TextEncoder]] = {
    "frozen": FrozenEncoder,
    "label": LabelEncoder,
    "transformer": TransformerEncoder,
    "vision": VisionEncoder,
}

__all__ = [
    "ENCODERS",
    "FrozenEncoder",
    "LabelEncoder",
    "TextEncoder",
    "TransformerEncoder",
    "VisionEncoder",
]
