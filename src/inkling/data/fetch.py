"""Downloads: resumed after an interruption, and verified if there is a checksum.

A download is written to a `.part` file and renamed at the end, so a file without it is complete. Of
several processes one downloads and the others wait.
"""

import hashlib
import os
from pathlib import Path

from inkling.errors import UserError
from inkling.system.once import locked
from inkling.system.progress import bar

_CHUNK = 1 << 14
"""Bytes written at a time; at most this much is lost when the connection breaks."""
_TIMEOUTS = (10, 60)
"""Seconds to connect, and to wait for the next bytes."""


def fetch(
    url: str, path: Path, *, md5: str = "", first: int | None = None, instead: str = ""
) -> Path:
    """The file at `path`, downloaded if it is not there yet.

    Args:
        url: where it is published.
        path: where to save it.
        md5: the publisher's checksum.
        first: download only this many bytes from the start.
        instead: what to do without a network, as the end of the error message.

    Raises:
        UserError: no network, no such file, a wrong checksum, a full disk.
    """
    if path.is_file():
        return path
    import requests

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path, f"another process downloads {path}"):
            if not path.is_file():
                _download(url, path, md5, first)
    except (requests.RequestException, OSError) as error:
        raise UserError(
            f"could not download {url} ({type(error).__name__}); run again to go on where it "
            f"stopped, or put the file at {path}{', ' if instead else ''}{instead}"
        ) from None
    return path


def _download(url: str, path: Path, md5: str, first: int | None) -> None:
    part = path.with_name(path.name + ".part")
    _continue(url, part, first)
    if md5:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if found != md5:
            part.unlink()
            raise UserError(
                f"{url} arrived with checksum {found}, but its publisher gives {md5}; the "
                "download was deleted, run again"
            )
    os.replace(part, path)


def _continue(url: str, part: Path, first: int | None) -> None:
    """Download the rest of a partial file."""
    import requests

    done = part.stat().st_size if part.exists() else 0
    if first is not None and done >= first:
        return
    missing = f"bytes={done}-" + (str(first - 1) if first else "")
    headers = {"Range": missing, "Accept-Encoding": "identity"} if done or first else {}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUTS) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # the file was already complete
        response.raise_for_status()
        resumed = response.status_code == requests.codes.partial_content
        length = int(response.headers.get("Content-Length", 0))
        total = (length + (done if resumed else 0)) or None
        with (
            part.open("ab" if resumed else "wb") as file,
            bar(f"downloading {part.name.removesuffix('.part')}", total, in_bytes=True) as advance,
        ):
            advance(done if resumed else 0)
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                advance(len(chunk))
                if first is not None and file.tell() >= first:
                    file.truncate(first)
                    break
        if total is not None and first is None and part.stat().st_size < total:
            raise OSError("the connection closed early")
