"""Recipes: JSON both ways, typed overrides, and sentences for mistakes."""

import pytest

from inkling.config.overrides import from_json, override, to_json
from inkling.config.recipes import RECIPES
from inkling.errors import UserError


@pytest.mark.parametrize("name", RECIPES)
def test_json_both_ways(name):
    assert from_json(to_json(RECIPES[name])) == RECIPES[name]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_where_it_comes_from_and_what_to_expect(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.source
    assert recipe.expected


@pytest.mark.parametrize(
    ("assignment", "read"),
    [
        ("train.lr=1e-3", lambda r: r.train.lr == 1e-3),
        ("train.batch=32", lambda r: r.train.batch == 32),
        ("net.widths=32,64", lambda r: r.net.widths == (32, 64)),
        ("net.widths=[16, 64]", lambda r: r.net.widths == (16, 64)),
        ("net.attention=false,true", lambda r: r.net.attention == (False, True)),
        ("net.attention=True,False", lambda r: r.net.attention == (True, False)),
        ("net.condition=add", lambda r: r.net.condition == "add"),
        ("data.path=/some/where,odd", lambda r: r.data.path == "/some/where,odd"),
        ("data.classes=0,1", lambda r: r.data.classes == ("0", "1")),
        ("data.classes=007,1e3, True", lambda r: r.data.classes == ("007", "1e3", "True")),
        ("data.classes=[1]", lambda r: r.data.classes == ("1",)),
        ('data.classes=["a, b","c"]', lambda r: r.data.classes == ("a, b", "c")),
        ("data.classes=", lambda r: r.data.classes == ()),
        ("data.path=7", lambda r: r.data.path == "7"),
        ("sample.interval=0.1,5", lambda r: r.sample.interval == (0.1, 5.0)),
        ("diffusion.noise.options.mean=-1.2", lambda r: r.diffusion.noise.options["mean"] == -1.2),
    ],
)
def test_settings_are_assigned_with_their_type(assignment, read):
    assert read(override(RECIPES["mnist"], [assignment]))


def test_several_settings_are_checked_together_and_one_level_takes_a_bare_number():
    changed = ["net.widths=32", "net.blocks=1", "net.attention=false"]
    assert override(RECIPES["mnist"], changed).net.widths == (32,)
    with pytest.raises(UserError, match=r"net.blocks has 2 entries"):
        override(RECIPES["mnist"], changed[:1])


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("train.lrr=1", r"no setting 'train.lrr'; did you mean 'train.lr'\?"),
        ("lr=1", r"no setting 'lr'"),
        ("train=1", r"no setting 'train'"),
        ("train.lr", r"name=value, such as train.lr=1e-3; got 'train.lr'"),
        ("train.lr=fast", r"train.lr=fast: expected `float`, got `str`"),
        ("train.batch=1.5", r"train.batch=1.5: expected `int`, got `float`"),
        ("train.batch=0", r"train.batch=0: expected `int` >= 1"),
        ("train.caption_drop=2", r"train.caption_drop=2: expected `float` <= 1"),
        (
            "net.condition=fil",
            r"no net.condition 'fil'; did you mean 'film'\? choose among film, add",
        ),
        ("sample.sampler=eulr", r"no sample.sampler 'eulr'; .*choose among ddim"),
        ("text.pooled=false", r"it needs text.encoder=frozen, net.cross_attention=true and"),
        ("data.caption=a digit", r"data.caption=a digit: expected `str` matching regex"),
        ("text.heads=3", r"text.width 128 is not a multiple of text.heads 3"),
        ("net.widths=32,100", r"net.widths has 100, which net.head_width 32 does not divide"),
    ],
)
def test_mistakes_are_one_sentence(assignment, says):
    with pytest.raises(UserError, match=says) as caught:
        override(RECIPES["mnist"], [assignment])
    assert "\n" not in str(caught.value)


def test_what_is_no_recipe_is_said_so():
    for text in ("{}", "[1]", "nonsense", '{"name": "x", "source": "y", "trian": {}}'):
        with pytest.raises(UserError, match="not an inkling recipe"):
            from_json(text)


def test_labels_have_no_tokens_to_attend_to():
    with pytest.raises(UserError, match=r"labels have no tokens for net.cross_attention=true"):
        override(RECIPES["mnist"], ["text.encoder=label", "net.cross_attention=true"])
