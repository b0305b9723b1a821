"""Every setting has a meaning, a range and a default, and the command line prints them."""

import pytest

from inkling.config.kinds import KINDS
from inkling.config.meanings import meaning_of, settings_of
from inkling.config.overrides import override
from inkling.config.recipes import MNIST
from inkling.config.registries import leaves
from inkling.nets import NETWORKS
from tests.cli.test_cli import inkling, refuses

ALL = [
    setting
    for kind in KINDS.values()
    for net in NETWORKS.values()
    for setting in settings_of(kind, net)
]


@pytest.mark.parametrize("setting", {each.path: each for each in ALL}.values(), ids=str)
def test_it_says_what_it_means(setting):
    assert len(setting.meaning) > 8
    assert (
        setting.meaning[0].isupper() or not setting.meaning[0].isalpha() or ":" in setting.meaning
    )
    assert setting.meaning.endswith((".", '."'))
    assert setting.values
    assert setting.default


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_setting_of_a_recipe_is_there(kind):
    import msgspec

    recipe = override(MNIST, [f"net.kind={kind}"])
    paths = {path for path, _ in leaves(msgspec.to_builtins(recipe)) if "." in path}
    assert paths <= {each.path for each in settings_of(net=NETWORKS[kind])}


def test_types_ranges_and_defaults_are_in_words():
    known = {each.path: each for each in settings_of()}
    assert known["train.lr"].values == "number > 0"
    assert known["train.optimiser"].values == "muon, adamw"
    assert known["data.size"].values == "whole number >= 1 or null"
    assert known["sample.interval"].values == "list of: number, 2 of them"
    assert known["sample.interval"].default == "[0, 1e+09]"
    assert known["diffusion.noise.name"].default == '"auto"'
    assert known["net.kind"].default == '"unet"'
    assert "fall to zero" in meaning_of("train.decay")
    assert meaning_of("train.none") == ""


def test_the_command_line_prints_them():
    some = inkling("recipes", "shapes")[0]
    assert "A key of" in some
    assert "train.decay" not in some
    assert "other settings have their default value" in some
    every = inkling("recipes", "shapes", "--all")[0]
    assert "train.decay" in every
    assert "fall to zero" in every
    assert "number >= 0, <= 1; default 0.8" in inkling("recipes", "train.decay")[0]
    assert inkling("recipes", "net.dropout")[0].count("default") == 2
    assert "did you mean 'train.decay'" in refuses("recipes", "train.decy")
