"""The house rules, held by parsing the source."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import inkling

HOUSE = Path(inkling.__file__).parent
LAYERS = {
    "the tuples and errors that everything shares": {
        "errors",
        "extras",
        "contracts",
        "settings",
        "pixels",
        "lazy",
        "registry",
    },
    "the machine": {"system"},
    "the parts: mathematics, networks, text, pictures": {"core", "nets", "text", "data"},
    "every setting, as values": {"config"},
    "parts put together, and kept in files": {"models"},
    "what learns, and what samples": {"training", "sampling"},
    "numbers about samples": {"evaluate"},
    "figures": {"visualize"},
    "a run on disk": {"runs"},
    "what looks at runs and data": {"inspect"},
    "the command line": {"cli"},
}
"""Imports go downwards only. Rooms of one layer do not know each other, but all know `errors`."""
FACE = {"__init__", "__main__"}
"""The package's own face: may know every room, and no room knows it."""
MODULES = sorted(HOUSE.rglob("*.py"))


def room(parts):
    return parts[0].removesuffix(".py")


def layer(name):
    if name in FACE:
        return len(LAYERS)
    return next(i for i, rooms in enumerate(LAYERS.values()) if name in rooms)


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
        if there in (here, "__version__", "errors"):
            continue
        assert layer(there) < layer(here), f"{here} must not import {there}"


def test_the_tree_is_shallow():
    assert len(LAYERS) <= 11
    assert len([path for path in HOUSE.iterdir() if path.is_file()]) <= 10


def test_core_needs_torch_and_numpy_and_nothing_else():
    for path in (HOUSE / "core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            outside = {name.split(".")[0] for name in names if name}
            assert outside <= {"torch", "numpy", "inkling", *__import__("sys").stdlib_module_names}


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
