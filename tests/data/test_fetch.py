"""Downloads from a real server on this machine: resumed, checked, partial."""

import hashlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from inkling.data import Options, read
from inkling.data.fetch import fetch
from inkling.data.sets import quickdraw
from inkling.errors import UserError
from inkling.system.cache import cache_folder

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    files = {"/file": CONTENT}
    breaks_after: int | None = None
    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.headers.get("Range", ""))
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(found[1]), int(found[2] or len(content))) if found else (0, len(content))
        if found and first >= len(content):
            self.send_error(416)
            return
        part = content[first : last + 1]
        self.send_response(206 if found else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: self.breaks_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    served = type("Served", (Handler,), {"files": dict(Handler.files), "asked": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), served)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    served.url = f"http://127.0.0.1:{running.server_port}/"
    yield served
    running.shutdown()
    running.server_close()


def test_a_file_arrives_whole_and_is_fetched_once(server, tmp_path):
    for _ in range(2):
        assert fetch(server.url + "file", tmp_path / "a" / "f", md5=MD5).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_of_several_at_once_one_downloads(server, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fetch(server.url + "file", tmp_path / "f"), range(4)))
    assert {path.read_bytes() for path in found} == {CONTENT}
    assert len(server.asked) == 1


def test_a_break_is_a_sentence_and_the_next_call_goes_on_from_there(server, tmp_path):
    server.breaks_after = 100_000
    with pytest.raises(UserError, match=r"could not download.*run again to go on where it stopped"):
        fetch(server.url + "file", tmp_path / "f", md5=MD5)
    assert not (tmp_path / "f").exists()
    server.breaks_after = None
    assert fetch(server.url + "file", tmp_path / "f", md5=MD5).read_bytes() == CONTENT
    resumed_at = int(re.fullmatch(r"bytes=(\d+)-", server.asked[1])[1])
    assert 80_000 < resumed_at <= 100_000


def test_a_download_that_was_whole_but_not_renamed_is_taken(server, tmp_path):
    (tmp_path / "f.part").write_bytes(CONTENT)
    assert fetch(server.url + "file", tmp_path / "f", md5=MD5).read_bytes() == CONTENT


def test_a_wrong_checksum_is_thrown_away(server, tmp_path):
    with pytest.raises(UserError, match=f"arrived with checksum {MD5}"):
        fetch(server.url + "file", tmp_path / "f", md5="0" * 32)
    assert [path.name for path in tmp_path.iterdir()] == [".f.lock"]


def test_the_beginning_alone(server, tmp_path):
    assert fetch(server.url + "file", tmp_path / "f", first=1000).read_bytes() == CONTENT[:1000]
    assert server.asked == ["bytes=0-999"]


def test_what_is_not_there_says_which_file_goes_where(server, tmp_path):
    with pytest.raises(UserError, match=r"or put the file at .*/f, or pray"):
        fetch(server.url + "nothing", tmp_path / "f", instead="or pray")


def test_the_cache_folder_can_be_set_and_follows_the_platform(monkeypatch, tmp_path):
    monkeypatch.setenv("INKLING_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("INKLING_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder().name == "inkling"


def test_drawings_are_fetched_as_far_as_needed(server, tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(quickdraw, "_URL", server.url)
    cats = np.random.default_rng(1).integers(0, 256, (500, 784), dtype=np.uint8)
    np.save(tmp_path / "cat.npy", cats)
    server.files["/ice%20cream.npy"] = (tmp_path / "cat.npy").read_bytes()
    options = Options(classes=("ice cream",), limit=20)
    pictures = read("quickdraw", options=options)
    assert np.array_equal(pictures.pixels().reshape(-1, 784).numpy(), cats[:20])
    assert len(read("quickdraw", split="test", options=options)) == 2
    assert len(server.asked) == 1
