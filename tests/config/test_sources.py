"""The table of docs/recipes.md: what the sources state is what the recipes have, and is quoted."""

import re
from itertools import chain
from pathlib import Path

import pytest

from inkling.config.overrides import override
from inkling.config.recipes import DIFFERENCES, ORIGINS, RECIPES, explained
from tests.conftest import sources_folder

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
QUOTED_WORDS = 12
"""Most words of a quotation."""
SETTING = re.compile(r"((?:data|text|net|diffusion|train|sample)\.[a-z_.]+)(?:=(.*))?")


def sections():
    """(recipes, rows) of each source, in the order of the page; a row is its cells."""
    stated = PAGE.read_text().partition("## What the sources state")[2]
    for part in stated.split("\n### ")[1:]:
        heading, _, body = part.partition("\n")
        lines = [line for line in body.splitlines() if line.startswith("| ")]
        rows = [
            [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in lines[1:]
        ]
        yield re.findall(r"`([^`]+)`", heading), rows


SECTIONS = list(sections())


def settings_of(cell, recipes):
    """(recipe, setting, value or None) of the cell; recipes before a setting limit it to them."""
    limited, fresh = [], True
    for token in re.findall(r"`([^`]+)`", cell):
        setting = SETTING.fullmatch(token)
        if token in RECIPES:
            limited, fresh = [*([] if fresh else limited), token], False
        elif setting:
            fresh = True
            for recipe in limited or recipes:
                yield recipe, *setting.groups()


HERE = [
    found
    for recipes, rows in SECTIONS
    for found in chain.from_iterable(settings_of(row[3], recipes) for row in rows)
]


def is_stated(origin):
    """Whether the origin of a value appeals to the source's text."""
    return re.search(r"(?<!not )\bstate[sd]\b", origin) is not None


def test_every_reproduction_is_in_the_table():
    assert sorted(name for recipes, _ in SECTIONS for name in recipes) == sorted(ORIGINS)
    assert sorted(DIFFERENCES) == sorted(ORIGINS)


def test_every_row_says_where_in_which_words_and_what_is_here():
    for _, rows in SECTIONS:
        assert len(rows) > 20
        for row in rows:
            assert len(row) == 5, row
            fact, where, quotation, here, differs = row
            assert fact, row
            assert where, row
            assert quotation[0] == quotation[-1] == '"', row
            assert 0 < len(quotation.split()) <= QUOTED_WORDS, row
            assert here or differs, row


@pytest.mark.parametrize("name", ORIGINS)
def test_what_is_said_to_be_stated_has_a_row(name):
    rows = {setting for recipe, setting, _ in HERE if recipe == name}
    for setting, _, origin, _ in explained(RECIPES[name]):
        if is_stated(origin):
            assert setting in rows, f"{setting}: {origin}"


@pytest.mark.parametrize("name", ORIGINS)
def test_the_table_has_the_values_of_the_recipes_and_they_have_an_origin(name):
    recipe = RECIPES[name]
    origins = {setting: origin for setting, _, origin, _ in explained(recipe)}
    assigned = [(s, value) for n, s, value in HERE if n == name and value is not None]
    assert len(assigned) > 15
    for setting, value in assigned:
        assert override(recipe, [f"{setting}={value}"]) == recipe, f"{setting}={value}"
        assert origins[setting] != "inkling's default", setting


def words(text):
    """The text without emphasis, its white space made equal."""
    return " ".join(re.sub(r"[*`]", "", text).split())


def test_every_quotation_is_in_its_source_under_its_heading():
    folder = sources_folder()
    files = sorted(folder.glob("*.md"))
    if len(files) != len(SECTIONS):
        pytest.skip(f"not one text for each source in {folder}; set INKLING_TEST_SOURCES")
    for file, (_, rows) in zip(files, SECTIONS, strict=True):
        lines = file.read_text().splitlines()
        for _, where, quotation, *_ in rows:
            begins = [n for n, line in enumerate(lines) if line.strip("# ") == where]
            assert begins, f"{file.name} has no heading {where!r}"
            below = words("\n".join(lines[begins[0] :]))
            assert words(quotation[1:-1]) in below, f"{file.name}: {quotation}"


@pytest.mark.parametrize("origin", ["as the source states", "128 first as stated; others ours"])
def test_what_appeals_to_the_source_is_recognised(origin):
    assert is_stated(origin)
    assert not is_stated("not stated; chosen by inkling")
