"""Every example runs as it stands, only for a few steps."""

import runpy
import sys
from contextlib import chdir
from pathlib import Path

import pytest

from inkling.core import SAMPLERS
from inkling.data import DATASETS
from inkling.nets import NETWORKS

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.fixture(autouse=True)
def registries_as_they_were():
    kept = [(registry, dict(registry)) for registry in (SAMPLERS, NETWORKS, DATASETS)]
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs_and_leaves_a_picture(path, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [path.name, "3"])
    monkeypatch.syspath_prepend(path.parent)  # as `python FILE` has it
    with chdir(tmp_path):
        runpy.run_path(str(path), run_name="__main__")
    assert list(tmp_path.rglob("*.png"))


def test_the_first_one_is_short_and_needs_core_and_nets_only():
    source = next(path for path in EXAMPLES if path.stem == "minimal").read_text()
    assert source.count("\n") <= 60
    imported = {line.split()[1] for line in source.splitlines() if line.startswith("from inkling")}
    assert imported == {"inkling.core", "inkling.nets"}
