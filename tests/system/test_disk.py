"""What is written appears complete or not at all."""

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from inkling.errors import UserError
from inkling.system.disk import (
    check_writable,
    clear_leftovers,
    free_file,
    saved,
    temporary_beside,
    write_whole,
)
from inkling.visualize import animations, grids

DEAD = 2**22 + 1
"""A process number that no process of Linux has."""


def torn(path):
    path.write_bytes(b"half of i")
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("suffix", [".png", ".npz", ".gif", ""])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    file.write_bytes(b"before")
    with pytest.raises(UserError, match=r"cannot write .*No space left on device.*as it was"):
        saved(torn, file)
    assert file.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [file]


def test_pictures_animations_and_bytes_are_torn_by_no_full_disk(tmp_path, monkeypatch):
    page = Image.new("RGB", (4, 4))
    monkeypatch.setattr(Image.Image, "save", lambda page, path, **options: torn(path))
    writers = {
        "a.png": lambda path: grids.save(page, path),
        "a.gif": lambda path: animations.save([page, page], path),
    }
    for name, write in writers.items():
        (tmp_path / name).write_bytes(b"before")
        with pytest.raises(UserError, match="No space left"):
            write(tmp_path / name)
        assert (tmp_path / name).read_bytes() == b"before"
    assert len([*tmp_path.iterdir()]) == 2


def test_the_umask_decides_who_may_read(tmp_path):
    def private(path):
        path.unlink()
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))

    before = os.umask(0o027)
    try:
        saved(private, tmp_path / "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_link_goes_on_pointing_to_its_file(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "file").read_bytes() == b"new"


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    file = tmp_path / ("a" * 251 + ".png")
    check_writable(file)
    write_whole(file, b"x")
    with pytest.raises(UserError, match="File name too long"):
        check_writable(tmp_path / "new" / ("a" * 300 + ".png"))


@pytest.mark.parametrize("name", ["file/x.png", "folder", "/proc/x.png"])
def test_what_cannot_be_written_is_known_before(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        check_writable(tmp_path / name)
    check_writable(tmp_path / "new" / "deep" / "x.png")
    assert {each.name for each in tmp_path.iterdir()} == {"file", "folder"}


def test_names_of_temporary_files_do_not_collide_and_have_the_suffix(tmp_path):
    names = {temporary_beside(tmp_path / "a.npz") for _ in range(100)}
    assert len(names) == 100
    assert {name.suffix for name in names} == {".npz"}


def test_only_old_temporary_files_of_ours_are_cleared(tmp_path):
    mine = temporary_beside(tmp_path / "a.npz")
    kept = [mine, tmp_path / ".notes.partial", tmp_path / ".inkling-x.partial"]
    (tmp_path / "below").mkdir()
    kept.append(tmp_path / "below" / f".inkling-{DEAD}-0123abcd.partial")
    left = tmp_path / f".inkling-{DEAD}-0123abcd.partial.png"
    for file in (*kept, left):
        file.write_bytes(b"")
    folder = tmp_path / f".inkling-{DEAD}-ab_1defg.partial"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    old = time.time() - 7200
    for path in (left, folder, *kept[1:]):
        os.utime(path, (old, old))
    clear_leftovers(tmp_path)
    assert all(file.exists() for file in kept)
    assert not left.exists()
    assert not folder.exists()


def test_formats_are_checked_by_name(tmp_path):
    grids.check_format(tmp_path / "a.JPG")
    grids.check_format(tmp_path / "a.svg", axes=True)
    for name in ("a.svg", "a.foo", "a"):
        with pytest.raises(UserError, match=r"is no picture format; end the name in \.png"):
            grids.check_format(tmp_path / name)
    with pytest.raises(UserError, match="is no animation"):
        animations.check_format(tmp_path / "a.png")


def test_arrays_are_read_back(tmp_path):
    saved(lambda path: np.savez_compressed(path, a=np.arange(3)), tmp_path / "new" / "a.npz")
    assert np.load(tmp_path / "new" / "a.npz")["a"].tolist() == [0, 1, 2]


def test_processes_that_write_at_one_moment_get_files_of_their_own(tmp_path):
    def made(number):
        with free_file(tmp_path / "samples.png") as file:
            write_whole(file, str(number).encode())
        return file

    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(made, range(24))]
    names = {"samples.png", *(f"samples-{number}.png" for number in range(2, 25))}
    assert {file.name for file in found} == names
    assert [int(file.read_text()) for file in found] == [*range(24)]


def test_a_file_that_was_not_written_takes_no_number(tmp_path):
    with pytest.raises(UserError, match="No space left"), free_file(tmp_path / "a.png") as file:
        saved(torn, file)
    assert not [*tmp_path.iterdir()]
    with pytest.raises(UserError, match=r"cannot write .*No such file"), free_file(file / "b.png"):
        pass
