"""The house rules, held by parsing the source."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import inkling

HOUSE = Path(inkling.__file__).parent
LAYERS = [
    {"errors", "contracts"},
    {"cache", "progress", "disk"},
    {"core", "nets", "text", "data", "device"},
    {"recipe"},
    {"clip_recipe"},
    {"overrides"},
    {"recipes", "assemble", "pace"},
    {"checkpoint", "work", "suit", "clip", "facts"},
    {"learner"},
    {"train", "generate", "validate", "contrast"},
    {"evaluate", "visualize"},
    {"posthoc", "survey", "trackers", "verify"},
    {"folder"},
    {"driver", "plots"},
    {"console", "report"},
    {"doctor", "watch"},
    {"cli"},
    {"__init__", "__main__"},
]
"""Imports go downwards only. Rooms of one layer do not know each other."""
MODULES = sorted(HOUSE.rglob("*.py"))


def room(parts):
    return parts[0].removesuffix(".py")


def layer(name):
    return next(i for i, rooms in enumerate(LAYERS) if name in rooms)


def imported_rooms(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("inkling"):
            inner = (node.module or "").split(".")[1:]
            yield from [inner[0]] if inner else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("inkling."))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_imports_go_downwards(path):
    here = room(path.relative_to(HOUSE).parts)
    for there in imported_rooms(ast.parse(path.read_text())):
        if there in (here, "__version__"):
            continue
        assert layer(there) < layer(here), f"{here} must not import {there}"


def test_training_and_scores_do_not_know_each_other():
    for path in (HOUSE / "evaluate").rglob("*.py"):
        assert "train" not in set(imported_rooms(ast.parse(path.read_text())))


def test_core_needs_torch_and_nothing_else():
    for path in (HOUSE / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            outside = {name.split(".")[0] for name in names if name}
            assert outside <= {"torch", "inkling", *__import__("sys").stdlib_module_names}


def test_public_names_are_sorted_and_there():
    assert inkling.__all__ == sorted(inkling.__all__, key=lambda n: (not n.isupper(), n))
    for name in inkling.__all__:
        assert getattr(inkling, name) is not None


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(HOUSE)))
def test_every_module_imports_says_what_it_is_and_is_short(path):
    dotted = ".".join(("inkling", *path.relative_to(HOUSE).with_suffix("").parts))
    if not dotted.endswith("__main__"):
        importlib.import_module(dotted.removesuffix(".__init__"))
    source = path.read_text()
    assert ast.get_docstring(ast.parse(source)), "a file opens with what it is"
    assert source.count("\n") <= 320
    assert source.isascii()


def test_nothing_is_pickled_and_no_class_is_named_by_a_string():
    for path in MODULES:
        source = path.read_text()
        # One reader needs pickle, for CIFAR's archives, behind an unpickler that knows arrays only.
        allowed = source.replace("import pickle\n", "") if path.name == "cifar.py" else source
        assert not re.search(r"import pickle|torch\.load\(|\beval\(['\"]|globals\(\)\[", allowed), (
            path
        )
