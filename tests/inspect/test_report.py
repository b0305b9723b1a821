"""The report opens from disk in a real browser: nothing fetched, all shown, fit for a phone."""

import re
import shutil
import sys

import pytest

from tests.cli.test_cli import SMALL, inkling

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiny <b>&"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["/usr/bin/inkling", "train", "digits", "--typed"])
        inkling("train", "digits", "--out", out, *SMALL, "--steps", 20)
    said, _ = inkling("report", out, "--n", 300)
    assert str(out / "report.html") in said
    return out / "report.html"


def test_the_page_is_whole(page):
    text = page.read_text("utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    for said in (
        "kernel distance",
        "noise floor",
        "t of the 1000 levels",
        "inkling train digits --typed",
        "sigma_data",
    ):
        assert said in text
    assert "tiny &lt;b&gt;&amp;" in text
    assert text.count("<img") >= 8
    assert "95 % interval" in text


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_all_of_it(page, width):
    if CHROMIUM is None:
        pytest.skip("no chromium here; Debian's package has one")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        view = browser.new_page(viewport={"width": width, "height": 844})
        wrong, asked = [], []
        view.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        view.on("pageerror", lambda error: wrong.append(str(error)))
        view.on("request", lambda request: asked.append(request.url))
        view.goto(page.as_uri())
        sizes = view.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth])")
        assert len(sizes) >= 8
        assert all(done and side > 0 for done, side in sizes)
        across = view.evaluate("document.documentElement.scrollWidth")
        assert across <= width, "nothing sticks out of the screen"
        letters = view.evaluate(
            "[...document.querySelectorAll('p, td, dd, h1')]"
            ".map(e => parseFloat(getComputedStyle(e).fontSize))"
        )
        assert min(letters) >= 14
        browser.close()
    assert wrong == []
    assert all(url.startswith(("file:", "data:")) for url in asked)
