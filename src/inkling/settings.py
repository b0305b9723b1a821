"""What every group of settings is made of: frozen values whose types and ranges are checked where
they come in. msgspec does the checking; no torch here, so that recipes load in an instant.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Whole = Annotated[int, Meta(ge=0)]
LARGEST_SEED = 2**62
"""Seeds count on from the one given, and libraries take 63 bits."""
Seed = Annotated[int, Meta(ge=0, le=LARGEST_SEED)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
BelowOne = Annotated[float, Meta(ge=0, lt=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every group of settings."""
