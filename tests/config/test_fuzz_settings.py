"""Random settings: each gives a recipe that can be stored and used, or one sentence."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkling.config.overrides import from_json, override, to_json
from inkling.config.recipes import RECIPES, small
from inkling.config.registries import REGISTRIES, leaves
from inkling.core.noise import SCHEDULES, grid
from inkling.errors import UserError
from inkling.models.build import noise_schedule, sampling_schedule
from inkling.runs.auto_recipe import resolve
from tests.conftest import fuzz

NAMES = [*RECIPES, "clip-digits", "judge-digits", "codec-digits"]
PATHS = sorted(
    {path for name in NAMES for path, _ in leaves(msgspec.to_builtins(resolve(name, [])))}
)
OPTIONS = sorted({field for kind in SCHEDULES.values() for field in kind.__dataclass_fields__})
PATHS += [f"{group}.options.{n}" for group in ("diffusion.noise", "sample.grid") for n in OPTIONS]
PATHS += [
    "net",
    "net.kind",
    "sample.grid",
    "sample.clip",
    "train",
    "",
    ".",
    "train.",
    ".lr",
    "a.b.c",
]
PLAIN = [
    *("0", "1", "2", "7", "-1", "0.5", "1e-3", "1e9", "1e308", "1e400", "-0", "nan", "inf"),
    *("true", "False", "null", "None", "Infinity", "NaN", "[]", "{}", "[[[]]]", '""', "", ","),
    *("0,1", "32,64", "[1, 2", "0,Infinity", "a,b", "999999999999999999999", "5m", "\ud800", "\0"),
    *(
        '{"name": "karras"}',
        '{"options": {"rho": NaN}}',
        '{"kind": "unet"}',
        "transformer",
        "label",
    ),
    *(name for names in REGISTRIES.values() for name in names()),
]


@st.composite
def assignments(draw):
    """Some settings, many of them odd, some with another one's value."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(PATHS) | st.text(max_size=12))
        value = draw(st.sampled_from(PLAIN) | st.text(max_size=8) | st.floats().map(repr))
        sign = draw(st.sampled_from(["=", "=", "=", " = ", "==", ""]))
        found.append(f"{path}{sign}{value}")
    return found


@fuzz
@given(name=st.sampled_from(NAMES), trial=st.booleans(), chosen=assignments())
def test_any_settings_are_a_recipe_or_a_sentence(name, trial, chosen):
    recipe = RECIPES[name] if name in RECIPES else resolve(name, [])
    if trial and name in RECIPES:
        recipe = small(recipe)
    try:
        changed = override(recipe, chosen)
    except UserError as error:
        said = str(error)
        assert said.strip()
        assert len(said.splitlines()) == 1, said
        suggested = re.search(r"there is no [\w ]+'(.*?)'; did you mean '(.*?)'\?", said)
        assert not suggested or suggested[1] != suggested[2]  # what was typed is no suggestion
        return
    assert from_json(to_json(changed)) == changed
    assert json.loads(to_json(changed))
    if name in RECIPES:
        noise_schedule(changed.diffusion.noise)
        sigmas = grid(sampling_schedule(changed.sample.grid, changed.diffusion.noise), 3)
        assert sigmas.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_takes_its_own_value(name):
    recipe = resolve(name, []) if name not in RECIPES else RECIPES[name]
    for path, value in leaves(msgspec.to_builtins(recipe)):
        if "." not in path:
            continue
        text = value if isinstance(value, str) else json.dumps(value)
        by_hand = override(recipe, ["train.fit_budget=false"])
        assert override(recipe, [f"{path}={text}"]) in (recipe, by_hand), path
