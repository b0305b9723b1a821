"""Recipes: JSON both ways, typed overrides, and sentences for mistakes."""

import msgspec
import pytest
import torch
from msgspec.structs import replace

from inkling.config.other_names import OTHER_NAMES
from inkling.config.overrides import from_json, override, to_json
from inkling.config.recipe import AUTO, Recipe
from inkling.config.recipes import RECIPES
from inkling.config.registries import leaves
from inkling.config.sample import ClipGuidance, Sample, ScheduleConfig
from inkling.core.noise import SCHEDULES, ends_of
from inkling.errors import UserError
from inkling.models.build import noise_schedule, sampling_schedule, sampling_start
from inkling.training.measured import levels_for


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
        ('diffusion.noise.options={"mean": 0}', lambda r: r.diffusion.noise.options == {"mean": 0}),
        ("diffusion.noise.name=auto", lambda r: r == RECIPES["mnist"]),
        ("diffusion.noise.name=lognormal", lambda r: r.diffusion.noise.options == {}),
        ("diffusion.noise.name=cosine", lambda r: r.diffusion.noise.options == {}),
        ('sample.grid={"name": "flow"}', lambda r: r.sample.grid == ScheduleConfig(name="flow")),
        ('sample.clip={"model": "x"}', lambda r: r.sample.clip == ClipGuidance(model="x")),
        ("data.classes=0,1", lambda r: r.data.classes == ("0", "1")),
        ("data.classes=7", lambda r: r.data.classes == ("7",)),
        ('data.classes=["a, b", "c"]', lambda r: r.data.classes == ("a, b", "c")),
        ("data.classes=", lambda r: r.data.classes == ()),
    ],
)
def test_settings_are_assigned_with_their_type(assignment, read):
    assert read(override(RECIPES["mnist"], [assignment]))


def test_several_settings_are_checked_together_and_one_entry_is_for_all_levels():
    net = override(RECIPES["mnist"], ["net.widths=32,64,96"]).net
    assert net.blocks_by_level() == (1, 1, 1)
    assert net.attention_by_level() == (False, False, False)
    assert override(RECIPES["mnist"], ["net.widths=32"]).net.widths == (32,)
    ups = override(RECIPES["mnist"], ["net.widths=32,64,96", "net.up_widths=64"]).net
    assert ups.up_widths_by_level() == (64, 64, 64)
    assert ups.up_attention_by_level() == (False, False, False)
    ups = override(RECIPES["mnist"], ["net.up_attention=true"]).net
    assert ups.up_attention_by_level() == (True, True)
    with pytest.raises(UserError, match=r"net.up_widths has 3 entries .* or one for all"):
        override(RECIPES["mnist-ddpm"], ["net.widths=32,64"])
    two = override(RECIPES["mnist"], ["net.blocks=1,2", "net.attention=true"]).net
    assert two.blocks_by_level() == (1, 2)
    assert two.attention_by_level() == (True, True)
    with pytest.raises(UserError, match=r"net.blocks has 2 entries .* or one for all"):
        override(RECIPES["mnist"], ["net.widths=32", "net.blocks=1,2"])


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("train.lrr=1", r"no setting 'train.lrr'; did you mean 'train.lr'\?"),
        ("lr=1", r"no setting 'lr'; did you mean 'train.lr'\?"),
        ("steps=1", r"did you mean 'train.steps' or 'sample.steps' or 'sample.clip.steps'\?"),
        ("train.scale=1", r"no setting 'train.scale'; did you mean 'sample.scale'\?"),
        ("learning_rate=1", r"no setting 'learning_rate'; did you mean 'train.lr'\?"),
        ("train.learning-rate=1", r"did you mean 'train.lr'\?"),
        ("batch_size=1", r"did you mean 'train.batch'\?"),
        ("epochs=1", r"did you mean 'train.epochs'\?"),
        ("guidance_scale=1", r"did you mean 'sample.scale'\?"),
        ("num_inference_steps=1", r"did you mean 'sample.steps'\?"),
        ("train=1", r"train is a group of settings"),
        ("train.lr", r"name=value, such as train.lr=1e-3; got 'train.lr'"),
        ("train.lr=fast", r"train.lr=fast: expected a number, got text"),
        ("train.batch=1.5", r"train.batch=1.5: expected a whole number, got a number"),
        ("train.batch=0", r"train.batch=0: expected a whole number >= 1"),
        ("train.caption_drop=2", r"train.caption_drop=2: expected a number <= 1"),
        (
            "net.condition=fil",
            r"no net.condition 'fil'; did you mean 'film'\? choose among film, add",
        ),
        ("sample.sampler=eulr", r"no sample.sampler 'eulr'; did you mean 'euler'\? choose among"),
        ("sample.eta=0.5", r"eta=0.5 .* of ddim, and dpmpp_2m takes none; sample with ddim"),
        ("sample.eta=2", r"sample.eta=2: expected a number <= 1"),
        ("text.pooled=false", r"text.encoder=frozen or vision, net.cross_attention=true and"),
        ("data.caption=a digit", r"data.caption=a digit: expected text matching regex"),
        ("text.heads=3", r"text.width 128 is not a multiple of text.heads 3"),
        ("sample.interval=0,Infinity", r"sample.interval=0,Infinity: settings are finite numbers"),
        ("train.lr=nan", r"train.lr=nan: settings are finite numbers"),
        ("train.lr=1e999", r"train.lr=1e999: settings are finite numbers"),
        ("diffusion.noise=cosine", r"diffusion.noise is a group of settings; set one of them"),
        ("diffusion.noise.options=7", r"diffusion.noise.options is a group of settings; set one"),
        ("sample.grid.options.sigma_min=0", r"Karras\(.*it needs 0 < sigma_min < sigma_max"),
        ("sample.grid.options.sigma_mim=1", r"did you mean 'sigma_min'"),
        ("diffusion.noise.options.std=0", r"LogNormal\(.*std > 0"),
        ("diffusion.noise.options.mean=900", r"more than a millionth of its mass"),
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


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("setting", ["diffusion.noise.name", "sample.grid.name"])
def test_another_schedule_brings_its_own_options(name, setting):
    for schedule in SCHEDULES:
        trained = ["diffusion.noise.name=lognormal"] * (RECIPES[name].diffusion.noise.name == AUTO)
        recipe = override(RECIPES[name], [*trained, f"{setting}={schedule}"])
        noise_schedule(recipe.diffusion.noise)
        sampling_schedule(recipe.sample.grid, recipe.diffusion.noise)
        option = ["diffusion.noise.options.sigma_max=20", f"diffusion.noise.name={schedule}"]
        if schedule in ("karras", "lognormal"):
            assert ends_of(noise_schedule(override(recipe, option).diffusion.noise))[1] == (
                pytest.approx(20)
            )
        else:
            with pytest.raises(UserError, match=f"no option of the schedule '{schedule}'"):
                override(recipe, option)


def test_sampling_follows_the_range_of_training():
    recipe = override(RECIPES["mnist"], ["diffusion.noise.name=linear", "sample.grid.options={}"])
    schedule = sampling_schedule(recipe.sample.grid, recipe.diffusion.noise)
    assert ends_of(schedule) == pytest.approx(ends_of(noise_schedule(recipe.diffusion.noise)))
    own = override(recipe, ["sample.grid.options.sigma_max=50"])
    assert ends_of(sampling_schedule(own.sample.grid, own.diffusion.noise))[1] == pytest.approx(50)
    for name in ("mnist-ddpm", "mnist-class-l1", "coco-text"):
        few = override(RECIPES[name], ["diffusion.noise.options.timesteps=20"])
        assert sampling_schedule(few.sample.grid, few.diffusion.noise) == (
            noise_schedule(few.diffusion.noise)
        )


def settled(recipe):
    """The recipe with the noise levels that pictures would have it have."""
    if recipe.diffusion.noise.name != AUTO:
        return recipe
    chosen = levels_for(torch.randn(50, 3, 8, 8), 0.5, drawings=True)
    return replace(recipe, diffusion=replace(recipe.diffusion, noise=chosen))


def test_a_range_that_does_not_fit_training_is_one_line():
    def problem(name, *settings):
        recipe = settled(override(RECIPES[name], [*settings, "diffusion.sigma_data=0.5"]))
        return sampling_start(recipe.diffusion, recipe.sample.grid).problem

    for name in RECIPES:
        assert problem(name) == "", name
    twenty = "diffusion.noise.options.timesteps=20"
    assert "it starts as if from pure noise, where 73% is signal" in problem("coco-text", twenty)
    assert "it starts at 169 times the noisiest level of training" in problem(
        "mnist", "diffusion.noise.name=linear", twenty, "sample.grid.options.sigma_max=80"
    )
    assert "sampling 0.001 to 80: it ends at 5 times less than training ever had" in problem(
        "mnist", "sample.grid.options.sigma_min=0.001"
    )


def test_a_negative_prompt_needs_a_scale_above_one():
    for scale in (0.0, 0.5, 1.0):
        with pytest.raises(UserError, match=f"at scale {scale:g} guidance does not lead away"):
            Sample(negative_prompt="eight", scale=scale)
    assert Sample(negative_prompt="eight", scale=1.1).scale == 1.1


def test_parts_of_a_group_that_is_given_whole_are_set_after_it():
    whole = ['sample.grid={"name": "karras"}', "sample.grid.options.sigma_max=5"]
    for order in (whole, whole[::-1]):
        assert override(RECIPES["mnist"], order).sample.grid.options == {"sigma_max": 5}
    clip = ['sample.clip={"model": "x"}', "sample.clip.sampler=ddim"]
    assert override(RECIPES["mnist"], clip).sample.clip == ClipGuidance(model="x", sampler="ddim")
    with pytest.raises(UserError, match="it needs 0 < sigma_min"):
        bad = 'diffusion.noise={"name": "karras", "options": {"sigma_min": 0}}'
        override(RECIPES["mnist"], [bad])


def test_intervals_without_a_level_are_refused():
    for setting in ("sample.interval=5,1", "sample.clip.interval=3,3"):
        with pytest.raises(UserError, match="has no noise level in it"):
            override(RECIPES["mnist"], [setting])


def test_sampling_that_starts_too_low_or_ends_too_high_is_one_line():
    def problem(*settings):
        recipe = settled(override(RECIPES["mnist"], [*settings, "diffusion.sigma_data=0.5"]))
        return sampling_start(recipe.diffusion, recipe.sample.grid).problem

    assert "where 71% is signal" in problem("sample.grid.options.sigma_max=0.5")
    assert "its last step removes all noise from 5 at once" in (
        problem("sample.grid.options.sigma_min=5")
    )


def test_every_name_from_elsewhere_stands_for_a_setting():
    known = {path for path, _ in leaves(msgspec.to_builtins(Recipe(name="", source="")))}
    assert set(OTHER_NAMES.values()) <= known
    assert not {path.rpartition(".")[2] for path in known} & set(OTHER_NAMES)
