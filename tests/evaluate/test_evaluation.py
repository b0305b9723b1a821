"""`inkling evaluate` on a tiny run: what it prints, keeps, reuses and refuses."""

import numpy as np
import pytest
import torch
from PIL import Image

from inkling import data
from inkling.data import Data
from inkling.errors import UserError
from inkling.evaluate.evaluation import Evaluation
from inkling.evaluate.features import OfPixels, features
from inkling.evaluate.memory import memory, nearest_images
from inkling.evaluate.samples import BATCH, key, model_of
from inkling.evaluate.scores import Report, check_alike
from inkling.inspect.plots import reports_of
from tests.cli.test_cli import SMALL, inkling, refuses


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiny"
    inkling("train", "digits", "--out", out, *SMALL, "--steps", 30)
    return out


def scores_of(run, features, count):
    """The one file of scores of this kind."""
    (file,) = (run / "evaluation").glob(f"scores-{features}-*{count}-*.json")
    return file


@pytest.fixture(scope="module")
def evaluated(run):
    said, _ = inkling("evaluate", run, "--n", 300, "--no-cas")
    return said


def test_every_score_has_an_interval_a_floor_and_its_terms(run, evaluated):
    report = Report.load(scores_of(run, "judge", 300))
    names = [score.name for score in report.scores]
    assert names == [
        "kernel distance",
        "Frechet distance",
        "precision",
        "recall",
        "density",
        "coverage",
        "prompt accuracy",
        "Inception-score form",
        "bits per dimension",
    ]
    for score in report.scores:
        assert score.low <= score.value <= score.high
        assert score.name in evaluated
    floors = {score.name: score.floor for score in report.scores}
    assert floors["prompt accuracy"] > 0.9
    assert floors["Frechet distance"] < report.scores[1].value
    assert abs(floors["kernel distance"]) < report.scores[0].value
    for said in ("300 pictures", "digits test", "judge digits", "resize", "seeds 0 to 299"):
        assert said in evaluated
    assert sum(map(sum, report.details["confusion"])) == 300
    assert not report.details["memorised"]["memorises"]
    assert (run / "evaluation" / "nearest.png").exists()


def test_drawn_pictures_are_used_again_and_gone_on_with(run, evaluated):
    (folder,) = (run / "evaluation").glob("drawn-*")
    first, second = sorted(folder.glob("*.npy"))
    before = first.stat().st_mtime_ns
    content = np.load(second)
    second.unlink()  # as if it had been stopped there
    chosen = Evaluation(run, 2 * BATCH)
    images = torch.cat(list(chosen.batches()))
    assert len(images) == 2 * BATCH
    assert first.stat().st_mtime_ns == before
    np.testing.assert_array_equal(np.load(second), content)
    other = Evaluation(run, 2 * BATCH, sampling={"steps": 3})
    next(other.batches())
    assert len(list((run / "evaluation").glob("drawn-*"))) == 2


@pytest.mark.parametrize("damage", [lambda raw: raw[:-100], lambda raw: raw[:20], lambda raw: b""])
def test_damaged_samples_are_sampled_again(run, evaluated, damage):
    chosen = Evaluation(run, BATCH)
    file = run / "evaluation" / f"drawn-{key(run, chosen.plan)}" / f"{0:08d}.npy"
    content = np.load(file)
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(next(chosen.batches()).numpy(), content)
    np.testing.assert_array_equal(np.load(file), content)


def test_damaged_scores_are_passed_over(run, evaluated):
    before = [report.model for report in reports_of(run)]
    for number, text in enumerate((b"", b'{"run": "x"', b"[]", b"\xff")):
        (run / "evaluation" / f"scores-torn-{number}.json").write_bytes(text)
    assert [report.model for report in reports_of(run)] == before
    for torn in (run / "evaluation").glob("scores-torn-*"):
        torn.unlink()


def test_a_damaged_model_is_one_sentence(run, tmp_path):
    (tmp_path / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:500])
    with pytest.raises(UserError, match="truncated, damaged"):
        model_of(tmp_path)


def test_an_unknown_reference_is_refused_with_the_choices(run):
    says = refuses("evaluate", run, "--reference", "foo")
    assert "there is no reference split of 'digits': 'foo'; choose among test" in says


def test_two_runs_are_compared_seed_by_seed(run, evaluated, tmp_path):
    said, _ = inkling("evaluate", run, "--n", 300, "--compare", run)
    assert "no difference to be seen" in said
    assert "better" not in said
    longer = tmp_path / "longer"
    inkling("train", "digits", "--out", longer, *SMALL, "--steps", 200)
    said, _ = inkling("evaluate", longer, "--n", 300, "--compare", run)
    assert "the first is better" in said


def test_scores_on_unlike_terms_are_not_compared(run):
    chosen = Evaluation(run, 300)
    pixels = OfPixels()
    some = chosen.terms(pixels)
    check_alike(some, Evaluation(run, 300).terms(pixels))
    with pytest.raises(UserError, match=r"cannot be compared.*n \(300 against 200\)"):
        check_alike(some, Evaluation(run, 200).terms(pixels))
    judge = features("judge", chosen.data, torch.device("cpu"))
    with pytest.raises(UserError, match="features"):
        check_alike(some, chosen.terms(judge))


def test_scores_by_two_judges_are_two_files(run):
    chosen = Evaluation(run, 300)
    some, other = OfPixels(), OfPixels()
    some.name, other.name = "judge digits 16adebcc", "judge digits a2ed6274"
    assert chosen.file(some).name.startswith("scores-judge-digits-16adebcc-300-")
    assert chosen.file(some) != chosen.file(other)


def test_a_reference_that_was_trained_on_is_refused(run, tmp_path):
    assert "trained on the split 'train'" in refuses("evaluate", run, "--reference", "train")
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        (tmp_path / "set" / split).mkdir(parents=True)
    for number in range(60):
        pixels = generator.integers(0, 256, (8, 8), dtype=np.uint8)
        for split in ("train", "test"):
            Image.fromarray(pixels).save(tmp_path / "set" / split / f"{number}.png")
    out = tmp_path / "run"
    shape = ["--set", "data.size=8", "--set", "data.channels=1", "--set", "data.validation=10"]
    inkling("train", tmp_path / "set", "--out", out, *SMALL, *shape, "--steps", 4)
    said = refuses("evaluate", out, "--n", 100, "--features", "pixels")
    assert "are training pictures, pixel by pixel" in said


def test_mistakes_are_one_sentence(run, tmp_path):
    assert "there is no kind of features 'jduge'" in refuses("evaluate", run, "--features", "jduge")
    assert "needs a model" in refuses("evaluate", run, "--features", "clip")
    assert "no checkpoint" in refuses("evaluate", tmp_path)
    assert "inkling[inception]" in refuses("evaluate", run, "--features", "inception", "--n", 20)
    _, warned = inkling("evaluate", run, "--n", 100, "--no-cas")
    assert "no Frechet distance: 100 drawn pictures for 128 features" in warned
    with pytest.raises(UserError, match="8x8 with 1 channels and real ones 9x8"):
        nearest_images(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 9))


def test_copies_are_caught_and_fresh_pictures_are_not():
    train, test = (data.read("digits", split=split).pixels() for split in ("train", "test"))
    known, fresh = train[:700], train[700:1000]
    unseen = nearest_images(test, known)
    copies = (known[:300].float() + 6 * torch.randn(300, 1, 8, 8)).clamp(0, 255).byte()
    found = memory(nearest_images(copies, known), unseen)
    assert found.memorises
    assert found.copies > 0.95
    assert "repeats training pictures" in found.summary
    honest = memory(nearest_images(fresh, known), unseen)
    assert not honest.memorises
    a_third = torch.cat([copies[:100], fresh[:200]])
    assert memory(nearest_images(a_third, known), unseen).copies == pytest.approx(1 / 3, abs=0.05)


def test_a_vision_model_of_the_hub_describes_pictures(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra clip is not installed")
    config = transformers.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=28,
        patch_size=14,
    )
    transformers.Dinov2Model(config).save_pretrained(tmp_path)
    seen = features(f"vision:{tmp_path}", Data(), torch.device("cpu"))
    images = torch.randint(0, 256, (7, 1, 8, 8), dtype=torch.uint8)
    found = seen(images).features
    assert found.shape == (7, 16)
    np.testing.assert_allclose(seen(images[3:4]).features[0], found[3], atol=1e-5)


def test_last_weights_are_drawn_apart_from_averaged_ones(run):
    averaged, last = (
        torch.cat(list(Evaluation(run, 20, weights=weights).batches()))
        for weights in ("ema", "raw")
    )
    assert not torch.equal(averaged, last)


def test_the_reference_is_no_class_after_the_other(run):
    labels = Evaluation(run, 20).reference.labels[:100]
    assert len(labels.unique()) == 10


def test_only_a_judge_of_these_classes_says_what_was_drawn(run, evaluated):
    chosen = Evaluation(run, 300)
    images = torch.cat(list(chosen.batches()))

    class Stranger(OfPixels):
        name, classes = "a classifier of other things", 1008

        def __call__(self, images):
            seen = super().__call__(images)
            return seen._replace(probabilities=np.full((len(images), 1008), 1 / 1008))

    stranger = Stranger()
    seen = stranger(images)
    names = [measure.name for measure in chosen.measures(images, seen, stranger)]
    assert "prompt accuracy" not in names
    assert "Inception-score form" in names
    assert chosen.confusion(seen, stranger) is None


def test_pictures_that_changed_since_training_are_refused(tmp_path):
    generator = np.random.default_rng(0)
    (tmp_path / "set").mkdir()

    def add(first, last):
        for number in range(first, last):
            pixels = generator.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / f"{number:03}.png")

    add(0, 80)
    out = tmp_path / "run"
    shape = ["--set", "data.size=8", "--set", "data.channels=1", "--set", "data.validation=30"]
    inkling("train", tmp_path / "set", "--out", out, *SMALL, *shape, "--steps", 4)
    said, _ = inkling("evaluate", out, "--n", 40, "--features", "pixels", "--steps", 2)
    assert "held out of training, 30 pictures" in said
    add(80, 90)
    said = refuses("evaluate", out, "--n", 40, "--features", "pixels", "--steps", 2)
    assert "50 pictures were trained on, and now there are 60" in said


def test_shapes_are_judged_exactly(tmp_path):
    out = tmp_path / "run"
    inkling(
        "train",
        "shapes",
        "--out",
        out,
        *SMALL,
        "--set",
        "data.size=16",
        "--set",
        "data.limit=500",
        "--steps",
        4,
    )
    said, _ = inkling("evaluate", out, "--n", 60, "--features", "pixels", "--steps", 2)
    scores = Report.load(scores_of(out, "pixels", 60)).scores
    faithful = [score for score in scores if score.name.startswith("faithful")]
    assert [score.name.split(": ")[1] for score in faithful] == [
        "colour",
        "shape",
        "size",
        "relation",
        "all",
    ]
    assert faithful[-1].value < 0.1, "four steps teach nothing"
    assert "captions in turn" in said
