"""Downloads: resumed after a break, checked where the publisher gives a checksum, kept in a cache.

Written beside and renamed, so that a file under its own name is a whole file.
"""

import hashlib
import os
from pathlib import Path

from inkling.errors import UserError
from inkling.system.progress import bar

_CHUNK = 1 << 14
"""Bytes at a time; what is lost when the line breaks."""
_PATIENCE = (10, 60)
"""Seconds to connect, and to wait for the next bytes."""


def fetch(
    url: str, path: Path, *, md5: str = "", first: int | None = None, instead: str = ""
) -> Path:
    """The file at `path`, downloaded if it is not there yet.

    Args:
        url: where it is published.
        path: where it shall be.
        md5: the publisher's checksum.
        first: only so many bytes from the start.
        instead: what to do without a network, as the end of a sentence.

    Raises:
        UserError: no network, no such file, a wrong checksum, a full disk.
    """
    if path.is_file():
        return path
    import requests

    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _continue(url, part, first)
    except (requests.RequestException, OSError) as error:
        raise UserError(
            f"could not download {url} ({type(error).__name__}); run again to go on where it "
            f"stopped, or put the file at {path}{', ' if instead else ''}{instead}"
        ) from None
    if md5:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != md5:
            part.unlink()
            raise UserError(
                f"{url} arrived with checksum {found} where its publisher says {md5}; it was "
                "thrown away, run again"
            )
    os.replace(part, path)
    return path


def _continue(url: str, part: Path, first: int | None) -> None:
    """Bring what is there of a download to its end."""
    import requests

    have = part.stat().st_size if part.exists() else 0
    if first is not None and have >= first:
        return
    wanted = f"bytes={have}-" + (str(first - 1) if first else "")
    headers = {"Range": wanted, "Accept-Encoding": "identity"} if have or first else {}
    with requests.get(url, headers=headers, stream=True, timeout=_PATIENCE) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # all of it was there
        answer.raise_for_status()
        resumed = answer.status_code == requests.codes.partial_content
        length = int(answer.headers.get("Content-Length", 0))
        total = (length + (have if resumed else 0)) or None
        with (
            part.open("ab" if resumed else "wb") as file,
            bar(f"downloading {part.name.removesuffix('.part')}", total, in_bytes=True) as advance,
        ):
            advance(have if resumed else 0)
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
                advance(len(chunk))
                if first is not None and file.tell() >= first:
                    file.truncate(first)
                    break
        if total is not None and first is None and part.stat().st_size < total:
            raise OSError("the connection closed early")
