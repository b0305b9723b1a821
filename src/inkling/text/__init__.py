"""Encoders: captions, or pictures by their names, to conditions. Each is one class and one entry in
`ENCODERS`.
"""

from typing import Any

from inkling.registry import Registry
from inkling.text.base import TextEncoder
from inkling.text.frozen import FrozenEncoder
from inkling.text.label import LabelEncoder
from inkling.text.transformer import TransformerEncoder
from inkling.text.vision import VisionEncoder


def _as_encoder(thing: Any, _name: str) -> type[TextEncoder] | None:
    return thing if isinstance(thing, type) and issubclass(thing, TextEncoder) else None


ENCODERS: Registry[type[TextEncoder]] = Registry(
    {
        "frozen": FrozenEncoder,
        "label": LabelEncoder,
        "transformer": TransformerEncoder,
        "vision": VisionEncoder,
    },
    _as_encoder,
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
