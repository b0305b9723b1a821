"""The cache of prepared pictures: whole or not there, found again, chosen form."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from inkling.data import Options, preparation, read
from inkling.data.source import Source
from inkling.errors import UserError, UserNote
from inkling.system import once
from inkling.system.cache import cache_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prepared"


def write(folder, count, size=(12, 12), mode="RGB"):
    folder.mkdir(parents=True, exist_ok=True)
    for row in range(count):
        Image.effect_noise(size, 60).convert(mode).save(folder / f"{row:04}.png")
    return folder


def own(folder, **options):
    return read("folder", str(folder), options=Options(**options))


def test_preparing_twice_decodes_once(tmp_path, cache, monkeypatch):
    folder = write(tmp_path / "a", 5)
    first = own(folder).pixels()
    monkeypatch.setattr("inkling.data.preparation.decode", None)
    assert (own(folder).pixels() == first).all()
    assert len(list(cache.glob("folder-*"))) == 1


def test_other_files_or_settings_are_another_cache(tmp_path, cache):
    folder = write(tmp_path / "a", 5)
    own(folder)
    own(folder, size=8)
    own(folder, size=8, resize="fit")
    assert len(list(cache.glob("folder-*"))) == 3
    Image.new("RGB", (12, 12)).save(folder / "0000.png")
    assert own(folder).pixels()[0].sum() == 0
    write(folder, 6)
    assert len(own(folder)) == 6


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)], (28, 28)),
        ([(48, 32)], (32, 48)),
        ([(500, 300)], (64, 64)),
        ([(30, 41), (50, 31), (33, 33)], (28, 28)),
        ([(5, 6), (6, 5)], (8, 8)),
    ],
)
def test_the_size_is_chosen_from_the_pictures(tmp_path, sizes, expected):
    for row, size in enumerate(sizes):
        write(tmp_path / "all" / str(row), 2, size)
    assert tuple(own(tmp_path / "all", captions=False).shape[1:]) == expected


def test_grey_stays_grey_and_one_coloured_picture_makes_all_colour(tmp_path):
    folder = write(tmp_path / "a", 3, mode="L")
    assert own(folder).shape[0] == 1
    assert own(folder, channels=3).shape[0] == 3
    Image.new("RGB", (12, 12), (255, 0, 0)).save(folder / "red.png")
    pictures = own(folder)
    assert pictures.shape[0] == 3
    assert (pictures.pixels()[:3, :1] == pictures.pixels()[:3]).all()


def test_prepared_pictures_are_memory_mapped_and_the_file_is_never_changed(tmp_path, cache):
    folder = write(tmp_path / "a", 3)
    pictures = own(folder)
    file = next(cache.glob("*/images.u8"))
    before = file.read_bytes()
    assert before == pictures.pixels().numpy().tobytes()
    pictures.images[0] = 0
    assert file.read_bytes() == before


def test_a_full_or_read_only_cache_is_one_sentence(tmp_path, monkeypatch):
    folder = write(tmp_path / "a", 3)
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("INKLING_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot write the prepared pictures .*INKLING_CACHE"):
        own(folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("INKLING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("inkling.data.preparation.os.fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        own(folder)
    assert [file.suffix for file in cache_folder().glob("prepared/*")] == [".lock"]


def test_what_a_killed_preparation_left_is_cleared_unless_its_lock_is_held(tmp_path, cache):
    left, alive = (cache / f".folder-{name}.partial" for name in ("left", "alive"))
    for folder in (left, alive):
        folder.mkdir(parents=True)
    with FileLock(cache / ".folder-alive.lock"):  # by whatever process, in whatever container
        own(write(tmp_path / "a", 2))
    assert not left.exists()
    assert alive.exists()


def test_of_several_at_once_one_decodes_and_the_others_wait(tmp_path, monkeypatch):
    folder = write(tmp_path / "a", 20)
    decoded = []
    honest = preparation.decode
    monkeypatch.setattr(preparation, "decode", lambda *a: decoded.append(a) or honest(*a))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: own(folder).fingerprint, range(4)))
    assert len(decoded) == 20
    assert len(set(found)) == 1


def test_a_long_wait_for_another_process_is_announced(tmp_path, cache, monkeypatch):
    folder = write(tmp_path / "a", 2)
    own(folder)
    (prepared,) = cache.glob("folder-*")
    (prepared / "about.json").unlink()
    monkeypatch.setattr(once, "_PATIENCE", 0.05)
    held = threading.Event()

    def hold():
        with FileLock(cache / f".{prepared.name}.lock"):
            held.set()
            time.sleep(0.2)

    threading.Thread(target=hold).start()
    held.wait()
    with (
        pytest.warns(UserNote, match="another process makes the same prepared pictures"),
        pytest.warns(UserNote, match="are damaged and are made again"),
    ):
        assert len(own(folder)) == 2


@pytest.mark.parametrize("name", ["images.u8", "about.json"])
@pytest.mark.parametrize("left", [0, 40, None])
def test_damaged_prepared_pictures_are_prepared_again_with_a_note(tmp_path, cache, name, left):
    folder = write(tmp_path / "a", 3)
    before = own(folder).pixels().clone()
    (file,) = cache.glob(f"folder-*/{name}")
    file.unlink() if left is None else os.truncate(file, left)
    with pytest.warns(UserNote, match="are damaged and are made again"):
        assert (own(folder).pixels() == before).all()
    assert (own(folder).pixels() == before).all()  # without a note


@pytest.mark.parametrize(
    "damage", [{"group": [0, 9, 0]}, {"group": [0, -1, 0]}, {"groups": [[]]}, {"labels": [0, 0, 7]}]
)
def test_prepared_pictures_of_impossible_captions_are_prepared_again(tmp_path, cache, damage):
    folder = write(tmp_path / "a", 3)
    own(folder)
    (file,) = cache.glob("folder-*/about.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | damage))
    with pytest.warns(UserNote, match="are damaged and are made again"):
        assert own(folder).group.tolist() == [0, 0, 0]


def test_prepared_pictures_have_the_permissions_of_the_umask(tmp_path, cache):
    before = os.umask(0o022)
    try:
        own(write(tmp_path / "a", 2))
    finally:
        os.umask(before)
    (prepared,) = cache.glob("folder-*")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (prepared, *prepared.iterdir())}
    assert modes == {prepared.name: 0o755, "images.u8": 0o644, "about.json": 0o644}


def test_prepared_pictures_of_another_user_are_one_sentence(tmp_path, cache, monkeypatch):
    folder = write(tmp_path / "a", 2)
    own(folder)

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(UserError, match=r"cannot read the prepared pictures .*Permission denied"):
        own(folder)


def test_a_file_that_cannot_be_read_is_not_blamed_on_the_cache(tmp_path, monkeypatch):
    folder = write(tmp_path / "a", 2)
    (folder / "0000.txt").write_text("a caption")

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(UserError, match=r"^cannot read \S+/a/0000.txt: Permission denied"):
        own(folder)


def test_a_file_that_is_not_there_has_a_fingerprint_too(tmp_path):
    source = Source(lambda: iter(()), 0, [tmp_path / "gone.png"])
    before = preparation.fingerprint(source, Options())
    (tmp_path / "gone.png").touch()
    assert preparation.fingerprint(source, Options()) != before


def test_an_interruption_stops_the_threads_and_leaves_nothing_behind(tmp_path, cache, monkeypatch):
    folder = write(tmp_path / "a", 200, (100, 100))  # large enough for threads
    decoded = []

    def slow(*_):
        decoded.append(0)
        if len(decoded) == 5:
            threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
        time.sleep(0.05)
        raise ValueError("slow")

    monkeypatch.setattr(preparation, "decode", slow)
    begun = time.monotonic()
    # A shell starts programs in the background with this signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            own(folder, size=8)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begun < 2  # all of them would take 5 seconds
    time.sleep(0.1)
    done = len(decoded)
    time.sleep(0.2)
    assert len(decoded) == done < 150
    assert not list(cache.glob("*.partial"))


KILLER = """
import os, random, signal, sys, time
from inkling.data import Options, read
from pathlib import Path

folder, chances = sys.argv[1], random.Random(0)

def whole():
    return sorted(Path(os.environ["INKLING_CACHE"], "prepared").glob("folder-*"))

begun = time.monotonic()
child = os.fork()
if child == 0:
    os.environ["INKLING_CACHE"] += "/rehearsal"
    read("folder", folder)
    os._exit(0)
os.waitpid(child, 0)
takes = time.monotonic() - begun
killed = 0
while killed < 10:
    child = os.fork()
    if child == 0:
        read("folder", folder)
        os._exit(0)
    time.sleep(chances.random() * takes)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    killed += 1
    if whole():  # it had just been finished: away with it, and again
        for file in whole()[0].iterdir():
            file.unlink()
        whole()[0].rmdir()
print(len(read("folder", folder)), len(whole()))
"""


@pytest.mark.slow
def test_killed_ten_times_at_random_it_ends_with_the_same_bytes(tmp_path, cache, monkeypatch):
    folder = write(tmp_path / "many", 600, (64, 64))
    done = subprocess.run(
        [sys.executable, "-c", KILLER, folder], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["600", "1"]
    again = tmp_path / "again"
    monkeypatch.setenv("INKLING_CACHE", str(again))
    own(folder)
    ours, theirs = (next(Path(p).glob("folder-*")) for p in (again / "prepared", cache))
    for name in ("images.u8", "about.json"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


@pytest.mark.slow
def test_a_hundred_thousand_tiny_files(tmp_path):
    folder = tmp_path / "many"
    for part in range(10):
        (folder / f"class {part}").mkdir(parents=True)
        Image.effect_noise((8, 8), 50).save(tmp_path / f"{part}.png")
    for row in range(100_000):  # links, so that the test spends its time on reading
        os.link(tmp_path / f"{row % 10}.png", folder / f"class {row % 10}" / f"{row}.png")
    pictures = own(folder)
    assert pictures.pixels().shape == (100_000, 1, 8, 8)
    assert pictures.labels.bincount().tolist() == [10_000] * 10


def test_the_limit_counts_each_class(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "set" / name, 5)
    assert own(tmp_path / "set", limit=2).labels.tolist() == [0, 0, 1, 1]
    assert len(own(tmp_path / "set" / "a", limit=3)) == 3


def test_unknown_classes_are_one_sentence(tmp_path):
    for name in ("cat", "dog"):
        write(tmp_path / "set" / name, 2)
    with pytest.raises(UserError, match="no class 'dgo'; did you mean 'dog'"):
        own(tmp_path / "set", classes=("dgo",))
    assert own(tmp_path / "set", classes=("dog",)).classes == ("dog",)
