"""Members of tar files, read as a stream: never unpacked to disk, and bounded in memory."""

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Self

from inkling.errors import UserError
from inkling.system.reading import require_regular

LARGEST_PICTURE, LARGEST_TEXT = 1 << 28, 1 << 20
"""Bytes of a member at most: a small archive may unpack to any size."""
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
"""Types of headers whose content `tarfile` itself reads into memory."""


class _Bounded(tarfile.TarInfo):
    """A sound header that may not ask for more memory than any name or attribute needs."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):  # zeros or nothing are the end; anything else would be taken for it
                raise tarfile.ReadError(str(error)) from None
            raise
        if header.size < 0 or (header.type in _EXTENDED and header.size > LARGEST_TEXT):
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        return header


def members(
    path: Path, most: Callable[[PurePosixPath], int], problems: list[str]
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Name and content of the wanted files in a tar file, compressed or not, in order.

    Args:
        path: the archive.
        most: the largest size in bytes of a member of this name; 0 if it is not wanted.
        problems: messages about members that are left out.

    Raises:
        UserError: the path of a member leads out of the archive.
        tarfile.TarError: it is no tar file, or it is damaged.
    """
    try:
        with tarfile.open(require_regular(path), "r|*", tarinfo=_Bounded) as archive:
            yield from _wanted(archive, path, most, problems)
    except (UserError, tarfile.TarError):
        raise
    except Exception as error:  # tarfile and decompression raise anything on invalid bytes
        raise tarfile.ReadError(str(error) or type(error).__name__) from None


def _wanted(
    archive: tarfile.TarFile,
    path: Path,
    most: Callable[[PurePosixPath], int],
    problems: list[str],
) -> Iterator[tuple[PurePosixPath, bytes]]:
    links: list[str] = []
    for member in archive:
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts:
            raise UserError(
                f"{path} holds a member named {member.name!r}, which leads out of the archive; "
                "no valid archive has one, so all of it is refused"
            )
        largest = most(name)
        if largest and (member.islnk() or member.issym()):
            links.append(member.name)
        if not largest or not member.isfile():
            continue
        if member.issparse() or member.size > largest:
            size = "is a sparse file" if member.issparse() else f"has {member.size:,} bytes"
            problems.append(
                f"{path.name}: {name} {size} and was left out; at most {largest:,} are read"
            )
            continue
        content = archive.extractfile(member)
        if content is not None:
            yield name, content.read()
    if links:
        problems.append(
            f"{path.name}: {len(links):,} members are links and were left out, the first is "
            f"{links[0]}; pack the files themselves (tar --dereference --hard-dereference)"
        )
    if archive.fileobj and not archive.fileobj.read(tarfile.BLOCKSIZE):
        problems.append(f"{path.name} has no end, so members may be missing; fetch it again")
