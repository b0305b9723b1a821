"""Where downloads, prepared pictures and encoded captions are kept."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$INKLING_CACHE`, or the platform's folder for caches."""
    import platformdirs

    return Path(os.environ.get("INKLING_CACHE") or platformdirs.user_cache_dir("inkling"))
