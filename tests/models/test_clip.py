"""A small CLIP: trained, saved in the format of transformers, read back, and guiding."""

import json

import pytest
import torch

from inkling.config.overrides import from_json, override
from inkling.config.sample import ClipGuidance
from inkling.data import Data, read_pictures
from inkling.errors import UserError, UserNote
from inkling.models.clip import Clip
from inkling.pixels import from_bytes
from inkling.runs.auto_recipe import resolve
from inkling.sampling.clip_guidance import Guide, load_guide
from inkling.sampling.pipeline import TextToImage
from inkling.text import FrozenEncoder
from inkling.training.contrastive import ClipObjective, retrieval
from inkling.training.loop import fit
from inkling.training.objective import BuildInputs, GradientStep
from tests.conftest import TINY

transformers = pytest.importorskip("transformers", reason="the extra clip is not installed")
SMALL = ["towers.width=32", "towers.layers=1", "towers.heads=2", "train.batch=32"]


def recipe(*settings):
    return resolve("clip-digits", [*SMALL, *settings])


def objective(*settings):
    chosen = recipe(*settings)
    given = BuildInputs(read_pictures(chosen.data), torch.device("cpu"))
    return ClipObjective.build(chosen, given)


@pytest.fixture(scope="module")
def run():
    *_, last = fit(recipe("train.steps=320", "train.precision=float32"), device_name="cpu")
    return last.state


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    return run.save(tmp_path_factory.mktemp("clip")).parent


@pytest.fixture(scope="module")
def trained(run, folder):
    with run.averaged() as clip:
        yield clip


def test_it_finds_the_right_caption_of_pictures_it_never_saw(trained):
    share = retrieval(trained, read_pictures(Data(name="digits"), "test"))
    assert share > 0.75  # a guess would get a tenth


def test_every_caption_that_fits_is_a_positive():
    lesson = objective("contrast.noisy=0", "contrast.jitter=0")
    pictures = lesson.pictures
    groups = torch.arange(10)
    rows = torch.arange(len(pictures.sentences))
    fits = (lesson.members[groups][:, :, None] == rows).any(1)
    for number, group in enumerate(pictures.groups):
        marked = {pictures.sentences[row] for row in torch.where(fits[number])[0]}
        assert marked == set(group)


def test_perfect_towers_have_the_loss_of_the_entropy(monkeypatch):
    """With the right picture-caption scores the loss is the entropy of the positives alone."""
    lesson = objective("contrast.noisy=0", "contrast.jitter=0", "train.batch=20")
    pictures, clip = lesson.pictures, lesson.model
    group_of = {s: g for g, group in enumerate(pictures.groups) for s in group}
    taken = []
    groups = pictures.group[lesson._feed.visits(0, 20)]
    tokenize = clip.tokenize
    monkeypatch.setattr(clip, "tokenize", lambda said: taken.append(said) or tokenize(said))
    monkeypatch.setattr(clip, "encode_images", lambda x, sigma=None: torch.eye(10)[groups])
    monkeypatch.setattr(
        clip, "encode_ids", lambda ids, mask: torch.eye(10)[[group_of[s] for s in taken[0]]]
    )
    clip.model.logit_scale.data.fill_(5.0)
    loss = lesson(*lesson.inputs(GradientStep(0, 0.0, 20, slice(0, 20)))).mean()
    said = torch.tensor([group_of[s] for s in taken[0]])
    fits = (groups[:, None] == said).double()
    entropy = (fits.sum(1).log().mean() + fits.T.sum(1).log().mean()) / 2
    torch.testing.assert_close(loss.double(), entropy, rtol=1e-4, atol=1e-4)


def test_transformers_reads_the_folder_and_sees_the_same(trained, folder):
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    images = from_bytes(read_pictures(Data(name="digits"), "test").pixels()[:8])
    ids = tokenizer(["seven", "a handwritten two"], padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(
            input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], pixel_values=images
        ).logits_per_image
        seen = trained.encode_images(images)
        ours = trained.scale * seen @ trained.encode_text(["seven", "a handwritten two"]).T
    torch.testing.assert_close(logits, ours, rtol=1e-4, atol=1e-4)


def test_it_comes_back_with_what_it_knows(run, trained, folder):
    back = Clip.load(folder)
    assert back.known == trained.known
    noted = json.loads((folder / "inkling.json").read_text())["recipe"]
    assert from_json(json.dumps(noted)) == run.recipe
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(back.encode_images(images), trained.encode_images(images))


def test_it_serves_as_text_encoder(folder):
    encoder = FrozenEncoder.fit(["seven", "two"], model=str(folder))
    with torch.no_grad():
        read = Clip.load(folder).encode_text(["seven", "two"])
    vectors = encoder(encoder.tokenize(["seven", "two"])).vector
    torch.testing.assert_close(vectors / 32**0.5, read, rtol=0, atol=3e-3)


def test_colour_and_size_are_brought_to_what_it_reads(trained):
    grey = torch.rand(2, 1, 8, 8) * 2 - 1
    with torch.no_grad():
        colour = trained.encode_images(grey.expand(-1, 3, -1, -1))
        large = trained.encode_images(grey.repeat_interleave(4, 2).repeat_interleave(4, 3))
        torch.testing.assert_close(colour, trained.encode_images(grey))
    assert large.shape == colour.shape


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (1, 16, 16), (1, 20, 12), (1, 5, 5), (3, 8, 8), (3, 16, 16)]
)
def test_noise_of_another_size_or_colour_is_scaled_to_unit_variance(trained, monkeypatch, shape):
    """Far above the picture, noisy pictures reach the towers with a standard deviation of 1."""
    seen = []
    features = trained.model.get_image_features

    def spy(pixel_values):
        seen.append(pixel_values)
        return features(pixel_values=pixel_values)

    monkeypatch.setattr(trained.model, "get_image_features", spy)
    sigma = torch.tensor(50.0)
    x = sigma * torch.randn(400, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        trained.encode_images(x, sigma)
    pixels = 2 * (seen[0] * trained.std + trained.mean) - 1
    assert pixels.std().item() == pytest.approx(1, abs=0.02)


def test_a_prompt_that_spells_a_special_token_is_text(trained):
    _, mask = trained.tokenize(["<pad>", "<end>"])
    assert (mask.sum(1) > 2).all()
    assert trained.encode_text(["<pad>", "zero"]).isfinite().all()


def test_alternatives_mean_something_else(trained):
    names = trained.known.classes
    assert trained.alternatives("number two") == [
        "number two",
        *(name for name in names if name != "two"),
    ]
    assert trained.alternatives("Number  TWO")[1:] == [n for n in names if n != "two"]
    assert trained.alternatives("dog") == ["dog", *names]
    assert trained.is_unknown("dog")
    assert not trained.is_unknown("a handwritten two")
    assert not trained.is_unknown("")


def test_likeness_is_the_log_share_among_captions_each_picture_its_own(trained):
    images = from_bytes(read_pictures(Data(name="digits"), "test").pixels()[:2])
    clean = torch.tensor(0.0)
    found = trained.log_likelihood(["seven", "dog"])(images, clean)
    for row, prompt in enumerate(("seven", "dog")):
        with torch.no_grad():
            texts = trained._apart(trained.encode_text(trained.alternatives(prompt)))
            logits = trained.scale * texts @ trained.encode_images(images[row : row + 1])[0]
        expected = logits.log_softmax(0)[0]
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def pipeline():
    """An unconditional model of digits, trained for seconds."""
    from inkling.config.recipes import DIGITS

    settings = [*TINY, "data.captions=false", "text.encoder=label", "train.steps=150"]
    settings += ["train.batch=32", "sample.steps=6", "sample.scale=1"]
    *_, last = fit(override(DIGITS, settings), device_name="cpu")
    state = last.state
    state.ema.swap()
    return TextToImage(state.model.eval(), state.recipe, state.card)


@pytest.mark.parametrize("form", ["noisy", "network", "inner", "mean"])
def test_every_form_pulls_towards_the_prompt_and_without_strength_not_at_all(
    form, trained, pipeline
):
    seeds = range(24)
    way = {"seeds": seeds, "sampler": "ddpm", "steps": 8}
    plain = pipeline([""] * 24, **way)
    idle = Guide(trained, ClipGuidance(form=form, strength=0))
    off = pipeline(["three"] * 24, guide=idle, **way)
    assert torch.equal(plain, off)
    strength = {"noisy": 3.0, "network": 3.0, "inner": 20.0, "mean": 1.0}[form]
    guide = Guide(trained, ClipGuidance(form=form, strength=strength))
    likely = trained.log_likelihood(["three"] * 24)
    zero = torch.tensor(0.0)
    before, after = (
        likely(from_bytes(images), zero).mean()
        for images in (plain, pipeline(["three"] * 24, guide=guide, **way))
    )
    assert after > before + 0.3


def test_the_form_mean_needs_ancestral_steps(trained, pipeline):
    guide = Guide(trained, ClipGuidance(form="mean"))
    with pytest.raises(UserError, match=r"ancestral steps, and 'heun' has none; sample with ddpm"):
        pipeline(["three"], seeds=[0], guide=guide, sampler="heun")


def test_cosines_are_of_pictures_of_variance_one(trained):
    """One that reads clean pictures alone gets noisy ones scaled; one that reads noise scales."""
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    level = torch.tensor(3.0)
    texts = trained.encode_text(["three", "a seven"])
    expected = (trained.encode_images(x * 0.1**0.5) * texts).sum(1)
    for noisy in (True, False):
        pixels = {"image_mean": [0.5], "image_std": [0.5]}
        known = trained.known._replace(noisy=noisy)
        clip = Clip(trained.model, trained.tokenizer, pixels, known)
        found = clip.similarity(["three", "a seven"])(x, level)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_mistakes_are_one_sentence(tmp_path, trained):
    with pytest.raises(UserError, match=r"have no captions, and a CLIP learns what captions mean"):
        next(fit(recipe("data.captions=false", "train.steps=1")))
    with pytest.raises(UserError, match=r"give a run an end"):
        next(fit(recipe("train.budget=0")))
    with pytest.raises(
        UserError, match=r"holds no CLIP .* train one with `inkling train clip-mnist`"
    ):
        Clip.load(tmp_path)
    clean = Clip(
        trained.model,
        trained.tokenizer,
        {"image_mean": [0.5], "image_std": [0.5]},
        trained.known._replace(noisy=False),
    )
    with pytest.raises(
        UserError, match=r"cannot guide in the form 'noisy'; use network, inner or mean"
    ):
        Guide(clean, ClipGuidance(form="noisy"))
    assert Guide(clean, ClipGuidance()).form == "network"


def test_from_the_command_line(tmp_path, capsys, folder, pipeline):
    from inkling.cli import main
    from inkling.models import checkpoint
    from inkling.models.checkpoint import Checkpoint

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        return left.value.code, capsys.readouterr()

    out = tmp_path / "clip"
    settings = [part for each in SMALL for part in ("--set", each)]
    code, said = call("train", "clip-digits", "--steps", 3, "--out", out, *settings)
    assert code == 0, said.err
    assert "find their caption among 10" in said.out
    assert Clip.load(out).known.classes[7] == "seven"
    code, said = call("train", "clip-digits", "--steps", 3, "--out", out)
    assert code == 2
    assert "already holds a run; nothing was changed" in said.err
    code, said = call("train", "clip-nothing", "--steps", 3)
    assert code == 2
    tensors = {
        f"{part}.{k}": v.clone()
        for part in ("raw", "ema")
        for k, v in pipeline.model.state_dict().items()
    }
    vocabulary = pipeline.model.text.vocabulary()
    stored = Checkpoint(tensors, pipeline.recipe, vocabulary, pipeline.card, {})
    checkpoint.save(tmp_path / "run" / checkpoint.FILE, stored)
    ask = ("sample", tmp_path / "run", "two", "dog", "--clip", folder, "--count", 2, "--steps", 2)
    with pytest.warns(UserNote, match="'dog' has no meaning"):
        load_guide(ClipGuidance(model=str(folder)), ["dog"], torch.device("cpu"))
    code, said = call(*ask)
    assert code == 0, said.err
    assert "unguided" in said.out
    assert "'dog' has no meaning" in said.err
    code, said = call(*ask[:4], "--strength", 2)
    assert code == 2
    assert "name one with --clip" in said.err
    code, said = call(*ask, "--between", 3)
    assert code == 2
    assert "guides towards plain prompts" in said.err
    code, said = call(*ask, "--judge", tmp_path / "nobody")
    assert code == 2
    assert "holds no judge" in said.err
    code, said = call(*ask, "--form", "louder")
    assert code == 2
    assert "choose among auto, noisy, network, inner" in said.err
