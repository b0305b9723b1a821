"""`inkling tune` on tiny runs: what it finds, stores, prints and refuses."""

import re
import shutil

import pytest
import torch
from msgspec.structs import replace
from PIL import Image

from inkling import TextToImage
from inkling.config.overrides import override
from inkling.config.recipes import DIGITS
from inkling.data.sets.shapes import scenes
from inkling.errors import UserError, UserNote
from inkling.evaluate.samples import model_of
from inkling.evaluate.shapes import FAITHFUL
from inkling.evaluate.tuning import scorer_for
from inkling.inspect.tune import Tuning
from inkling.models import checkpoint
from inkling.models.card import CallSettings
from inkling.sampling.calls import network_calls
from tests.cli.test_cli import SMALL, inkling, refuses
from tests.conftest import TINY
from tests.runs.test_resume import drive

QUICK = ("--n", 70, "--features", "pixels")


@pytest.fixture(scope="module")
def untuned(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "untuned"
    inkling("train", "digits", "--out", out, *SMALL, "--steps", 20)
    return out


@pytest.fixture(scope="module")
def tuned(untuned):
    """(a tuned run, what was said, the digest of its model before)."""
    run = untuned.parent / "tuned"
    shutil.copytree(untuned, run)
    before = model_of(run)
    said, _ = inkling("tune", run, "--calls", "3,1", *QUICK)
    return run, said, before


def card_of(run):
    return checkpoint.read(checkpoint.locate(run)).card


def test_the_best_settings_are_stored_for_each_number_of_calls(tuned):
    run, _, _ = tuned
    recipe = TextToImage.load(run, "cpu").recipe
    one, three = card_of(run).by_calls
    assert (one.calls, three.calls) == (1, 3)
    for each in (one, three):
        assert network_calls(each.settings, recipe.diffusion.noise) <= each.calls
        assert each.score > 0
        assert each.milliseconds > 0
        assert "against the second half of digits test, 297 pictures" in each.measure
        assert "seeds 70 to 139" in each.measure
    assert three.score < one.score


def test_the_table_and_the_figure_show_what_was_measured(tuned):
    run, said, _ = tuned
    lines = said.splitlines()
    head = next(line for line in lines if line.startswith("calls"))
    assert head.split()[:4] == ["calls", "sampler", "steps", "scale"]
    rows = [line for line in lines if re.match(r" +\d+  ", line)]
    assert [int(row.split()[0]) for row in rows] == [4, 1, 3]
    assert rows[0].endswith("as recommended")
    for row, entry in zip(rows[1:], card_of(run).by_calls, strict=True):
        assert f"{entry.score:.4g}" in row
        assert entry.settings.sampler in row
    tried = sum(int(row.split()[-1]) for row in rows[1:])
    assert f"{tried} candidates were tried" in said
    assert "noise floor" in said
    with Image.open(run / "tune.png") as figure:
        assert figure.width > 500


def test_the_same_search_finds_the_same_and_other_numbers_are_added(tuned):
    run, _, _ = tuned
    before = card_of(run).by_calls
    inkling("tune", run, "--calls", 1, *QUICK)
    after = card_of(run).by_calls
    assert [(each.calls, each.settings, each.score) for each in before] == [
        (each.calls, each.settings, each.score) for each in after
    ]


def test_scores_of_another_kind_replace_those_before(tuned, tmp_path):
    shutil.copytree(tuned[0], tmp_path / "run")
    inkling("tune", tmp_path / "run", "--calls", 1, "--n", 80, "--features", "pixels")
    assert [each.calls for each in card_of(tmp_path / "run").by_calls] == [1]


def test_samples_and_scores_stay_valid_and_the_weights_as_they_are(tuned, untuned):
    run, _, before = tuned
    assert model_of(run) == before == model_of(untuned)
    old, new = (checkpoint.read(checkpoint.locate(each)) for each in (untuned, run))
    assert all(torch.equal(tensor, new.tensors[name]) for name, tensor in old.tensors.items())
    assert new.recipe == old.recipe
    assert replace(new.card, by_calls=()) == old.card


def test_a_pipeline_takes_the_settings_of_at_most_so_many_calls(tuned):
    pipeline = TextToImage.load(tuned[0], "cpu")
    one, three = pipeline.card.by_calls
    assert pipeline.settings(calls=1) == pipeline.settings(calls=2) == one.settings
    assert pipeline.settings(calls=3) == pipeline.settings(calls=9) == three.settings
    assert pipeline.settings(best=True) == three.settings
    changed = pipeline.settings(calls=3, scale=1.25, steps=7)
    assert changed == replace(three.settings, scale=1.25, steps=7)
    settings = pipeline.settings(calls=2)
    assert torch.equal(pipeline("seven", calls=2), pipeline("seven", settings=settings))
    with pytest.raises(UserError, match="calls would be passed over"):
        pipeline("seven", settings=settings, calls=2)


def test_settings_that_were_measured_are_used_without_a_warning(tuned, recwarn):
    pipeline = TextToImage.load(tuned[0], "cpu")
    grid = replace(pipeline.recipe.sample.grid, options={"sigma_max": 2.0, "sigma_min": 1.0})
    sample = replace(pipeline.recipe.sample, grid=grid)
    entry = CallSettings(calls=2, settings=sample, score=1.0, measure="some")
    pipeline.card = replace(pipeline.card, by_calls=(entry,))
    pipeline.settings(calls=2)
    assert not recwarn.list
    with pytest.warns(UserNote, match="noise levels"):
        pipeline.settings(grid=grid)


def test_sample_takes_the_tuned_settings(tuned, tmp_path):
    run, _, _ = tuned
    three = card_of(run).by_calls[1].settings
    for options in (("--calls", 5), ("--best",)):
        _, said = inkling("sample", run, "seven", *options, "--out", tmp_path / "x.png")
        assert f"{three.sampler}, {three.steps} steps" in said
    _, said = inkling("sample", run, "7", "--calls", 5, "--steps", 9, "--out", tmp_path / "x.png")
    assert f"{three.sampler}, 9 steps" in said


def test_half_of_the_seeds_and_pictures_choose_and_the_others_report(untuned, monkeypatch):
    scorer = scorer_for(untuned, 70, features="pixels", device="cpu")
    seeds, reals = [], []
    sampled = scorer.evaluation.pipeline.batches

    def batches(prompts, **options):
        seeds.append(options["seeds"])
        return sampled(prompts, **options)

    def frechet(samples, real):
        reals.append(real)
        return measure(samples, real)

    from inkling.evaluate import tuning

    measure = tuning.frechet_distance
    monkeypatch.setattr(scorer.evaluation.pipeline, "batches", batches)
    monkeypatch.setattr(tuning, "frechet_distance", frechet)
    settings = scorer.evaluation.plan.settings
    scorer.choose(settings, 66)
    scorer.choose(settings, 70)
    scorer.report(settings)
    assert seeds == [[*range(66)], [*range(70)], [*range(70, 140)]]
    first, same, second = reals
    assert first is same
    assert len(first) + len(second) == len(scorer.evaluation.reference)
    assert not (first[:, None] == second[None]).all(2).any()


def test_prompt_accuracy_stands_beside_where_a_judge_reads_the_prompts(untuned):
    scorer = scorer_for(untuned, 140, device="cpu")
    assert scorer.features.name.startswith("judge digits")
    assert scorer.accuracy_name == "prompt accuracy"
    assert 0 <= scorer.report(scorer.evaluation.plan.settings).accuracy <= 1


def test_scenes_are_judged_exactly(untuned):
    scorer = scorer_for(untuned, 140, features="pixels", device="cpu")
    chosen = tuple(scenes(0.0, held=False))[:4]
    plan = scorer.evaluation.plan._replace(scenes=chosen, prompted=())
    scorer.evaluation.plan = plan
    assert scorer.accuracy_name == FAITHFUL
    images = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    assert scorer._accuracy(images, None, range(8)).value == 0


def test_a_model_without_prompts_is_tuned_without_guidance(tmp_path):
    run = tmp_path / "run"
    plain = ("--set", "data.captions=false", "--set", "text.encoder=label")
    inkling("train", "digits", "--out", run, *SMALL, "--steps", 8, *plain)
    said, _ = inkling("tune", run, "--calls", 2, *QUICK)
    assert "prompt accuracy" not in said
    (two,) = card_of(run).by_calls
    assert two.settings.steps == 2
    inkling("sample", run, "--calls", 4, "--out", tmp_path / "x.png")


def test_a_run_with_snapshots_gets_its_best_ema_length_first(tiny, tmp_path):
    run = tmp_path / "run"
    drive(override(tiny, ["train.steps=24", "train.snapshots=6"]), run)
    before = model_of(run)
    said, _ = inkling("tune", run, "--calls", 1, *QUICK)
    width = float(re.search(r"EMA length ([\d.]+) of \d lengths", said).group(1))
    assert card_of(run).ema_width == width
    assert model_of(run) != before
    with pytest.warns(UserNote):  # lengths that cannot be mixed
        tuning = Tuning(run, scorer_for(run, 70, features="pixels", device="cpu"), device="cpu")
    model = tuning.scorer.evaluation.pipeline.model.state_dict()
    stored = checkpoint.read(run / checkpoint.FILE).part("ema")
    assert all(torch.equal(model[name], tensor) for name, tensor in stored.items())


def test_what_was_found_stays_where_the_search_is_stopped(untuned, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(untuned, run)
    scorer = scorer_for(run, 70, features="pixels", device="cpu")
    results = Tuning(run, scorer, device="cpu").results([1, 2])
    next(results)
    next(results)
    results.close()
    assert [each.calls for each in card_of(run).by_calls] == [1]


@pytest.mark.parametrize("calls", ["0", "4,-1", "four", "", "4,,5", "2.5"])
def test_numbers_of_calls_that_are_none_are_refused(untuned, calls):
    said = refuses("tune", untuned, f"--calls={calls}")
    assert f"{calls!r} is not whole numbers from 1; write 4,10,20" in said


def test_a_run_that_was_never_tuned_says_how(untuned):
    for option in (("--calls", 4), ("--best",)):
        assert "run `inkling tune RUN` first" in refuses("sample", untuned, "seven", *option)


def test_calls_and_best_exclude_each_other_and_too_few_calls_name_the_choices(tuned, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tuned[0], run)
    both = refuses("sample", run, "seven", "--calls", 3, "--best")
    assert "calls=3 and best each choose the sampling settings; give one of the two" in both
    stored = checkpoint.read(run / checkpoint.FILE)
    later = replace(stored.card, by_calls=stored.card.by_calls[1:])
    checkpoint.save(run / checkpoint.FILE, stored._replace(card=later))
    said = refuses("sample", run, "seven", "--calls", 2)
    assert "calls=2 is fewer than this model was tuned for; choose from 3" in said


def test_tuned_settings_are_not_guided_by_a_clip(tuned):
    pipeline = TextToImage.load(tuned[0], "cpu")
    with pytest.raises(UserError, match="leave calls and best out with a CLIP"):
        pipeline.settings(calls=3, guided=True)


def test_a_run_without_held_out_pictures_says_what_it_needs(tmp_path):
    for number in range(30):
        Image.effect_noise((8, 8), 60).save(tmp_path / f"{number}.png")
    run = tmp_path / "run"
    inkling("train", tmp_path, "--out", run, *SMALL, "--steps", 2, "--set", "data.validation=0")
    said = refuses("tune", run, "--calls", 1, *QUICK)
    assert "has no folder of test pictures; nothing was held out of training either" in said
    assert "train with --set data.validation=500" in said
    said = refuses("tune", run, "--calls", 1, *QUICK, "--reference", "validation")
    assert "train with --set data.validation=500, or use --reference test" in said


def test_too_few_pictures_for_the_features_say_how_many_it_takes(untuned):
    few = refuses("tune", untuned, "--calls", 1, *QUICK, "--reference", "validation")
    assert "held out of training, 32 pictures" in few
    assert "needs 130" in few
    assert "take at least 65" in refuses("tune", untuned, "--n", 30, "--features", "pixels")


def test_an_unfinished_run_is_to_be_finished_first(tmp_path):
    recipe = override(DIGITS, [*TINY, "train.steps=24", "train.checkpoint_every=5"])
    drive(recipe, tmp_path / "torn", stop_at=9)
    said = refuses("tune", tmp_path / "torn")
    assert "is not finished" in said
    assert f"inkling train digits --out {tmp_path / 'torn'} --resume" in said


def test_runs_of_other_models_are_refused(tmp_path, vision_model):
    judge, nothing = tmp_path / "judge", tmp_path / "nothing"
    assert "is a safetensors file but not an inkling checkpoint" in refuses("tune", vision_model)
    inkling("train", "judge-digits", "--out", judge, "--steps", 2, "--set", "train.batch=16")
    assert "not a model that samples pictures" in refuses("tune", judge)
    assert "there is no checkpoint" in refuses("tune", nothing)
    assert not nothing.exists()
