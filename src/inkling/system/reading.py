"""Reading files that others made."""

import errno
import stat
from pathlib import Path


def require_regular(path: Path) -> Path:
    """The path, if it is a regular file: a FIFO or a device would block, perhaps for ever.

    Raises:
        OSError: there is nothing, or something that is no regular file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path
