"""The README is true: its commands and its Python run as written, only shorter."""

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
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.S | re.M)
COMMANDS = [
    shlex.split(line, comments=True)
    for language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
    if line.startswith("inkling ")
]


def shorter(words, mnist):
    """The command with two steps in place of a budget, and MNIST from a folder."""
    words = [*words[1:]]
    if words[0] == "train":
        if "--budget" in words:
            at = words.index("--budget")
            words[at : at + 2] = []
        if not words[1].startswith("clip-"):
            words += [part for setting in TINY for part in ("--set", setting)]
        words += ["--steps", "2"]
    if words[:2] in (["train", "mnist"], ["judge", "mnist"]) and "--data" not in words:
        words += ["--data", str(mnist)]
    return words


def run(words):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0, words


def test_there_are_commands_to_run():
    verbs = {words[1] for words in COMMANDS}
    assert {"train", "sample", "recipes"} <= verbs


def test_the_commands_and_the_python_run_in_order(tmp_path):
    mnist = real_data_folder() / "mnist"
    (tmp_path / "photographs").mkdir()
    for row in range(40):
        Image.effect_noise((30, 20), 60).save(tmp_path / "photographs" / f"{row}.png")
    with chdir(tmp_path):
        for words in COMMANDS:
            if mnist.is_dir() or "mnist" not in " ".join(words):
                run(shorter(words, mnist))
        for language, block in BLOCKS:
            if language == "python":
                block = re.sub(r'"train.budget=\d+"', ", ".join(map(repr, TINY)), block)
                ast.parse(block)
                exec(block, {"__name__": "readme"})
        assert list(tmp_path.rglob("*.png"))


def test_the_tree_names_every_room():
    tree = README.split("## What stands where")[1]
    for path in Path(inkling.__file__).parent.iterdir():
        if path.name not in ("py.typed", "__pycache__"):
            assert path.stem.strip("_") in tree, path.name


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", README):
        name = "".join(target)
        if not name.startswith("http"):
            assert (ROOT / name).exists(), name


def test_the_test_command_is_the_one_of_ci():
    assert "make test" in README
    assert "make test" in (ROOT / ".ci" / "run").read_text()
