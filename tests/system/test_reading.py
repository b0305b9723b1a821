"""Files of others: what is no file is never opened."""

import os

import pytest

from inkling.system.reading import require_regular


def test_only_regular_files_are_opened(tmp_path):
    (tmp_path / "file").touch()
    assert require_regular(tmp_path / "file") == tmp_path / "file"
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path / "absent", tmp_path):
        with pytest.raises(OSError, match=r"fifo|absent|regular"):
            require_regular(path)
