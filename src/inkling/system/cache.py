"""The cache folder: downloads, prepared images and encoded captions."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$INKLING_CACHE`, or the platform's cache folder."""
    import platformdirs

    return Path(os.environ.get("INKLING_CACHE") or platformdirs.user_cache_dir("inkling"))
