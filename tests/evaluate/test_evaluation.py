"""`inkling evaluate` on a tiny run: what it prints, keeps, reuses and refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from inkling import data
from inkling.data import Data
from inkling.errors import UserError, UserNote
from inkling.evaluate.evaluation import Evaluation
from inkling.evaluate.features import OfPixels, features
from inkling.evaluate.judge import judge_for
from inkling.evaluate.measures import Measure, accuracy_of
from inkling.evaluate.memory import memory, nearest_images
from inkling.evaluate.samples import BATCH, in_frequencies, key, model_of
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
        "judge on real pictures",
        "bits per dimension",
    ]
    for score in report.scores:
        assert score.low <= score.value <= score.high
        assert score.name in evaluated
    floors = {score.name: score.floor for score in report.scores}
    accuracy = report.scores[names.index("judge on real pictures")]
    assert 0.9 < floors["prompt accuracy"] == accuracy.value < 1  # of pictures it never saw
    assert accuracy.n == 297
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


def test_what_was_held_out_of_training_may_be_the_reference(run):
    chosen = Evaluation(run, 20, reference="validation")
    assert chosen.held_against.startswith("digits, held out of training, 32 pictures")
    assert len(chosen.reference) == 32
    known = {image.numpy().tobytes() for image in chosen.train.pixels()}
    assert not known & {image.numpy().tobytes() for image in chosen.reference.pixels()}


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
    assert "pip install -e" in refuses("evaluate", run, "--features", "inception", "--n", 20)
    _, warned = inkling("evaluate", run, "--n", 100, "--no-cas")
    assert "no Frechet distance: 100 drawn pictures for 128 features" in warned
    with pytest.raises(UserError, match="8x8 with 1 channels and real ones 9x8"):
        nearest_images(torch.zeros(2, 1, 8, 8), [torch.zeros(2, 1, 8, 9)])


def test_copies_are_caught_and_fresh_pictures_are_not():
    train, test = (data.read("digits", split=split).pixels() for split in ("train", "test"))
    known, fresh = train[:700], train[700:1000]
    unseen = nearest_images(test, [known])
    copies = (known[:300].float() + 6 * torch.randn(300, 1, 8, 8)).clamp(0, 255).byte()
    found = memory(nearest_images(copies, [known]), unseen, 700)
    assert found.memorises
    assert found.copies > 0.95
    assert "repeats training pictures" in found.summary
    honest = memory(nearest_images(fresh, [known]), unseen, 700)
    assert not honest.memorises
    a_third = torch.cat([copies[:100], fresh[:200]])
    found = memory(nearest_images(a_third, [known]), unseen, 700)
    assert found.copies == pytest.approx(1 / 3, abs=0.05)
    assert "one of 700 training pictures" in found.summary


def test_neighbours_are_found_in_whatever_part_they_lie_mirrored_too():
    known = data.read("digits").pixels()[:900]
    parts = [known[:500], known[500:501], known[501:]]
    some = torch.tensor([3, 499, 500, 501, 899])
    near = nearest_images(known[some], parts)
    assert near.row.tolist() == some.tolist()
    assert near.distance.max() < 1e-3
    flipped = known[some].flip(-1)
    assert nearest_images(flipped, parts).distance.min() > 0.1
    near = nearest_images(flipped, parts, mirrored=True)
    assert near.row.tolist() == some.tolist()
    assert near.distance.max() < 1e-3


def test_a_model_that_mirrors_copies_memorises(run, monkeypatch):
    chosen = Evaluation(run, 300)
    copies = chosen.train.at(torch.arange(300)).flip(-1)
    assert not chosen.memorised(copies)[0].memorises
    chosen.train = replace(chosen.train, mirror=True)
    found, near = chosen.memorised(copies)
    assert found.memorises
    assert found.searched == len(chosen.train)
    assert (near.row == torch.arange(300)).float().mean() > 0.95


def test_classes_are_prompted_for_as_often_as_in_the_reference():
    assert in_frequencies([1] * 4, 10) == (0, 1, 2, 3, 0, 1, 2, 3, 0, 1)
    order = np.array(in_frequencies([90, 9, 1], 1000))
    for n in (1, 10, 137, 500, 1000):
        counts = np.bincount(order[:n], minlength=3)
        assert np.abs(counts - n * np.array([0.9, 0.09, 0.01])).max() < 1


@pytest.fixture(scope="module")
def unequal(tmp_path_factory):
    """A run on digits of which nine in ten are threes, the others eights."""
    folder = tmp_path_factory.mktemp("unequal")
    for split in ("train", "test"):
        found = data.read("digits", split=split)
        for label, share in ((3, 1), (8, 9)):
            (folder / split / f"digit {label}").mkdir(parents=True)
            rows = torch.where(found.labels == label)[0][::share]
            for row in rows.tolist():
                file = folder / split / f"digit {label}" / f"{row}.png"
                Image.fromarray(found.at(torch.tensor([row]))[0, 0].numpy()).save(file)
    out = tmp_path_factory.mktemp("runs") / "unequal"
    settings = ["--set", "data.validation=0", "--set", "net.patch=1", "--steps", 20]
    inkling("train", folder, "--out", out, *SMALL, *settings)
    return out


def test_prompts_have_the_frequencies_of_the_reference(unequal):
    chosen = Evaluation(unequal, 33)
    labels = chosen.reference.labels.numpy()
    share = (labels == 0).mean()
    assert share > 0.85
    assert (chosen.prompted == 0).mean() == pytest.approx(share, abs=1 / 33)
    assert "2 classes as often as in the reference" in chosen.plan.describe()
    balanced = Evaluation(unequal, 20, balanced=True)
    assert balanced.prompted.tolist() == [0, 1] * 10
    assert "2 classes equally often" in balanced.plan.describe()
    counts = balanced.reference.labels.bincount().tolist()
    assert counts[0] == counts[1]


def test_a_judge_that_learnt_nothing_is_refused(run):
    chosen = Evaluation(run, 300)
    judge = features("judge", chosen.data, torch.device("cpu"))

    class Guessing:
        name, resize, classes = "judge that guesses", "", judge.classes

        def __call__(self, images):
            seen = judge(images)
            return seen._replace(probabilities=np.eye(10)[np.zeros(len(images), dtype=int)])

    with pytest.raises(
        UserError, match=r"judge that guesses is right about .*its scores would mean"
    ):
        chosen.judge_accuracy(Guessing())
    assert chosen.judge_accuracy(judge).value > 0.9
    assert chosen.judge_accuracy(OfPixels()) is None


def test_a_judge_belongs_to_its_pictures_and_not_to_their_path(tmp_path, monkeypatch):
    """Two projects that both keep their pictures in `data` have a judge each."""
    found = data.read("digits")
    names = []
    for project, shift in (("one", 0), ("other", 1)):
        for label in (0, 1):
            folder = tmp_path / project / "data" / f"class {(label + shift) % 2}"
            folder.mkdir(parents=True)
            for row in torch.where(found.labels == label)[0][:25].tolist():
                Image.fromarray(found.at(torch.tensor([row]))[0, 0].numpy()).save(
                    folder / f"{row}.png"
                )
        monkeypatch.chdir(tmp_path / project)
        settings = Data(name="folder", path="data")
        judge, name = judge_for(settings)
        pictures = data.read_pictures(settings)
        assert judge.accuracy(pictures) > 0.95
        names.append(name)
    assert names[0] != names[1]
    moved = (tmp_path / "one").rename(tmp_path / "moved")
    _, again = judge_for(Data(name="folder", path=str(moved / "data")))
    assert again == names[0]


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
        name, classes = "a classifier of others", tuple(map(str, range(1008)))

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
    assert "50 pictures were trained on, and these 60 are not the same" in said


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


def test_classes_are_matched_by_name_and_not_by_their_number(run):
    chosen = Evaluation(run, 300)
    judge = features("judge", chosen.data, torch.device("cpu"))
    assert chosen.judge_accuracy(judge) is not None
    judge.classes = tuple(reversed(judge.classes))
    assert chosen.judge_accuracy(judge) is None


def noise_folder(folder, splits, side=8):
    """Pictures of noise in three class folders: there is nothing to learn."""
    generator = np.random.default_rng(0)
    for split, count in splits.items():
        for name in ("a", "b", "c"):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (side, side), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


def test_a_judge_does_not_learn_from_a_reference_that_was_held_out(tmp_path):
    """Without a test split the reference comes from the same folder as the judge's pictures."""
    folder = noise_folder(tmp_path / "noise", {"": 60})
    settings = ["--set", "data.validation=40", "--set", "net.patch=1", "--steps", 4]
    inkling("train", folder, "--out", tmp_path / "run", *SMALL, *settings)
    chosen = Evaluation(tmp_path / "run", 50)
    assert "held out of training" in chosen.held_against
    assert len(chosen.reference) == 40
    with pytest.raises(UserError, match="no more than by naming frequent classes"):
        chosen.judge_accuracy(chosen.features("judge"))
    judge_run = tmp_path / "judge"
    inkling("train", f"judge-{folder}", "--out", judge_run, "--steps", 4)
    with pytest.raises(UserError, match="was trained on the pictures of which some are the refer"):
        chosen.features(f"judge:{judge_run}")


def test_noise_floors_are_of_the_classes_of_the_prompts(unequal):
    chosen = Evaluation(unequal, 20, balanced=True)
    rows = chosen.real_rows
    assert chosen.train.labels[rows].bincount().tolist() == [10, 10]
    frequent = Evaluation(unequal, 33)
    labels = frequent.train.labels[frequent.real_rows]
    assert (labels.numpy() == np.sort(frequent.prompted)).all()
    with pytest.warns(UserNote, match="no noise floor"):
        assert Evaluation(unequal, 5000).real_rows is None


def test_accuracy_is_of_known_labels_and_of_classes_that_can_be_told_apart():
    right = np.eye(2)[[0] * 27 + [1] * 3]
    labels = np.array([0] * 27 + [1] * 3)
    assert accuracy_of("a judge", right, labels).value == 1.0
    with pytest.raises(UserError, match=r"a judge is right about 90.0%"):
        accuracy_of("a judge", np.eye(2)[np.zeros(30, dtype=int)], labels)
    assert accuracy_of("a judge", right, np.full(30, -1)) is None
    assert accuracy_of("a judge", right, np.zeros(30, dtype=int)) is None


def test_a_density_of_whole_numbers_is_no_fraction():
    ones = Measure("density", "higher", np.ones(50))
    assert ones.interval() == (1, 1)
    assert Measure("precision", "higher", np.ones(50), fraction=True).interval().low < 0.95
