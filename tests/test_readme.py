"""The pages are true: their commands and their Python run as written, only shorter."""

import ast
import re
import shlex
from contextlib import chdir
from pathlib import Path

import pytest
from PIL import Image

import inkling
from inkling.cli import main
from tests.conftest import TINY, real_data_folder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = ["README.md", *(f"docs/{name}.md" for name in ("train", "sample", "own-data", "evaluate"))]
MOST_LINES = 200


def blocks(page):
    """(language, code) of every fenced block of a page."""
    text = (ROOT / page).read_text()
    return re.findall(r"^```(\w+)\n(.*?)^```", text, flags=re.S | re.M)


def commands(page):
    """The inkling commands of a page."""
    return [
        shlex.split(line, comments=True)
        for language, block in blocks(page)
        if language == "sh"
        for line in block.splitlines()
        if line.startswith("inkling ")
    ]


def settings_for(words):
    """Small settings for a training command, those that its kind of recipe and network has."""
    if words[1].startswith("clip-"):
        return ["towers.width=32", "towers.layers=1", "towers.heads=2", "train.batch=16"]
    if words[1].startswith(("judge-", "codec-")):
        return ["train.batch=16", "train.previews=1"]
    given = {word.split("=")[0] for word in words if "=" in word}
    small = [setting for setting in TINY if setting.split("=")[0] not in given]
    if "net.kind=transformer" in words:
        small = [setting for setting in small if not setting.startswith("net.")]
    return small


def shorter(words, mnist):
    """The command with two steps in place of a budget, and MNIST from a folder."""
    words = [*words[1:]]
    if words[0] == "train" and "--resume" not in words:  # a resumed run keeps its own settings
        for end in {"--budget", "--epochs"} & {*words}:
            at = words.index(end)
            words[at : at + 2] = []
        if "--steps" in words:
            at = words.index("--steps")
            words[at : at + 2] = []
        words += [part for setting in settings_for(words) for part in ("--set", setting)]
        # A judge has to know something, or its scores are refused.
        words += ["--steps", "150" if "judge" in words[1] else "2"]
    if words[0] == "distil":
        at = words.index("--budget")
        words[at : at + 2] = ["--steps", "2", "--set", "distil.sample.steps=4"]
    if words[0] == "tune":  # one call has few settings
        words = [*words[:2], "--calls", "1", "--n", "70", "--features", "pixels"]
    if words[0] == "ema" or "train.snapshots" in " ".join(words):
        words = [word.replace("snapshots=8", "snapshots=2") for word in words]
    if words[:2] == ["train", "mnist"] and "--data" not in words:
        words += ["--data", str(mnist)]
    return words


def run(words):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0, words


def test_there_are_commands_to_run_and_the_front_page_is_short():
    verbs = {words[1] for words in commands("README.md")}
    assert {"train", "sample", "recipes"} <= verbs
    assert README.count("\n") <= MOST_LINES


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_and_the_python_run_in_order(page, tmp_path):
    mnist = real_data_folder() / "mnist"
    (tmp_path / "photographs").mkdir()
    for row in range(40):
        Image.effect_noise((30, 20), 60).save(tmp_path / "photographs" / f"{row}.png")
    for name in ("three", "eight"):
        Image.effect_noise((30, 20), 60).save(tmp_path / f"{name}.png")
    with chdir(tmp_path):
        for words in commands(page):
            if mnist.is_dir() or "mnist" not in " ".join(words):
                run(shorter(words, mnist))
        for language, block in blocks(page):
            if language == "python":
                block = re.sub(r'"train.budget=\d+"', ", ".join(map(repr, TINY)), block)
                ast.parse(block)
                exec(block, {"__name__": "readme"})
        assert list(tmp_path.rglob("*.png"))


def test_the_tree_names_every_room():
    tree = README.split("## Code map")[1]
    for path in Path(inkling.__file__).parent.iterdir():
        if path.name not in ("py.typed", "__pycache__", "__init__.py", "__main__.py"):
            assert path.stem.strip("_") in tree, path.name


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", README):
        name = "".join(target)
        if not name.startswith("http"):
            assert (ROOT / name).exists(), name


def test_the_test_command_is_the_one_of_ci():
    assert "make test" in README
    assert "make test" in (ROOT / ".ci" / "run").read_text()
