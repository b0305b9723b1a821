"""Files: permissions, and what is no file."""

import os

import pytest

from inkling.system.disk import honour_umask, require_regular


def test_permissions_follow_the_umask(tmp_path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.touch(0o600)
    folder.mkdir(0o700)
    before = os.umask(0o027)
    try:
        assert honour_umask(file).stat().st_mode & 0o777 == 0o640
        assert honour_umask(folder).stat().st_mode & 0o777 == 0o750
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_only_regular_files_are_opened(tmp_path):
    (tmp_path / "file").touch()
    assert require_regular(tmp_path / "file") == tmp_path / "file"
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path / "absent", tmp_path):
        with pytest.raises(OSError, match=r"fifo|absent|regular"):
            require_regular(path)
