"""A small CLIP: trained, saved in the format of transformers, read back, and guiding."""

import json

import pytest
import torch

from inkling.config.clip_recipe import ClipRecipe
from inkling.config.overrides import from_json, override
from inkling.config.recipe import Clip as Settings
from inkling.config.recipe import Data
from inkling.errors import UserError, UserNote
from inkling.models.build import read_pictures
from inkling.models.clip import Clip, Guide
from inkling.sampling.pipeline import TextToImage
from inkling.text import FrozenEncoder
from inkling.training.contrastive import Lesson, build, fit_clip, recipe_for_clip, retrieval
from inkling.training.loop import fit
from tests.conftest import TINY

transformers = pytest.importorskip("transformers", reason="the extra clip is not installed")
SMALL = ["towers.width=32", "towers.layers=1", "towers.heads=2", "train.batch=32"]


def recipe(*settings):
    return override(recipe_for_clip("clip-digits", Data(name="digits")), [*SMALL, *settings])


@pytest.fixture(scope="module")
def trained():
    *_, last = fit_clip(recipe("train.steps=250"), device_name="cpu")
    return last


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    return trained.save(tmp_path_factory.mktemp("clip"), {"steps": trained.step})


def test_it_finds_the_right_caption_of_pictures_it_never_saw(trained):
    share = retrieval(trained.clip, read_pictures(Data(name="digits"), "test"))
    assert share > 0.75  # a guess would get a tenth


def test_every_caption_that_fits_is_a_positive():
    chosen = recipe("train.noisy=0", "train.jitter=0")
    pictures = read_pictures(chosen.data)
    lesson = Lesson(chosen, pictures, build(chosen, pictures))
    groups = torch.arange(10)
    rows = torch.arange(len(pictures.sentences))
    fits = (lesson.members[groups][:, :, None] == rows).any(1)
    for number, group in enumerate(pictures.groups):
        marked = {pictures.sentences[row] for row in torch.where(fits[number])[0]}
        assert marked == set(group)


def test_perfect_towers_have_the_loss_of_the_entropy(monkeypatch):
    """With the right picture-caption scores the loss is the entropy of the positives alone."""
    chosen = recipe("train.noisy=0", "train.jitter=0", "train.batch=20")
    pictures = read_pictures(chosen.data)
    reader = build(chosen, pictures)
    group_of = {s: g for g, group in enumerate(pictures.groups) for s in group}
    taken = []
    lesson = Lesson(chosen, pictures, reader)
    groups = pictures.group[lesson.feed.rows(0, 20)]
    monkeypatch.setattr(reader, "look", lambda x, sigma=None: torch.eye(10)[groups])
    monkeypatch.setattr(
        reader,
        "read",
        lambda said: taken.append(said) or torch.eye(10)[[group_of[s] for s in said]],
    )
    reader.model.logit_scale.data.fill_(5.0)
    loss = lesson.loss(0)
    said = torch.tensor([group_of[s] for s in taken[0]])
    fits = (groups[:, None] == said).double()
    entropy = (fits.sum(1).log().mean() + fits.T.sum(1).log().mean()) / 2
    torch.testing.assert_close(loss.double(), entropy, rtol=1e-4, atol=1e-4)


def test_transformers_reads_the_folder_and_sees_the_same(trained, folder):
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    images = read_pictures(Data(name="digits"), "test").pixels()[:8].float() / 127.5 - 1
    ids = tokenizer(["seven", "a handwritten two"], padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(
            input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], pixel_values=images
        ).logits_per_image
        seen = trained.clip.look(images)
        ours = trained.clip.scale * seen @ trained.clip.read(["seven", "a handwritten two"]).T
    torch.testing.assert_close(logits, ours, rtol=1e-4, atol=1e-4)


def test_it_comes_back_with_what_it_knows(trained, folder):
    back = Clip.load(folder)
    assert back.known == trained.clip.known
    noted = json.loads((folder / "inkling.json").read_text())["recipe"]
    assert from_json(json.dumps(noted), ClipRecipe) == trained.recipe
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(back.look(images), trained.clip.look(images))


def test_it_serves_as_text_encoder(folder):
    encoder = FrozenEncoder.fit(["seven", "two"], model=str(folder))
    with torch.no_grad():
        read = Clip.load(folder).read(["seven", "two"])
    vectors = encoder(encoder.tokenize(["seven", "two"])).vector
    torch.testing.assert_close(vectors / 32**0.5, read, rtol=0, atol=3e-3)


def test_colour_and_size_are_brought_to_what_it_reads(trained):
    grey = torch.rand(2, 1, 8, 8) * 2 - 1
    with torch.no_grad():
        colour = trained.clip.look(grey.expand(-1, 3, -1, -1))
        large = trained.clip.look(grey.repeat_interleave(4, 2).repeat_interleave(4, 3))
        torch.testing.assert_close(colour, trained.clip.look(grey))
    assert large.shape == colour.shape


def test_alternatives_mean_something_else(trained):
    names = trained.clip.known.classes
    assert trained.clip.alternatives("number two") == [
        "number two",
        *(name for name in names if name != "two"),
    ]
    assert trained.clip.alternatives("Number  TWO")[1:] == [n for n in names if n != "two"]
    assert trained.clip.alternatives("dog") == ["dog", *names]
    assert trained.clip.strange("dog")
    assert not trained.clip.strange("a handwritten two")
    assert not trained.clip.strange("")


def test_likeness_is_the_log_share_among_captions_each_picture_its_own(trained):
    images = read_pictures(Data(name="digits"), "test").pixels()[:2].float() / 127.5 - 1
    clean = torch.tensor(0.0)
    found = trained.clip.likeness(["seven", "dog"])(images, clean)
    for row, prompt in enumerate(("seven", "dog")):
        with torch.no_grad():
            texts = trained.clip._apart(trained.clip.read(trained.clip.alternatives(prompt)))
            logits = trained.clip.scale * texts @ trained.clip.look(images[row : row + 1])[0]
        expected = logits.log_softmax(0)[0]
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def artist():
    """An unconditional model of digits, trained for seconds."""
    from inkling.config.recipes import DIGITS

    settings = [*TINY, "data.captions=false", "text.encoder=label", "train.steps=150"]
    settings += ["train.batch=32", "sample.steps=6", "sample.scale=1"]
    *_, last = fit(override(DIGITS, settings), device_name="cpu")
    learner = last.learner
    learner.ema.swap()
    return TextToImage(learner.model.eval(), learner.recipe, learner.facts)


@pytest.mark.parametrize("form", ["noisy", "network", "inner"])
def test_every_form_pulls_towards_the_prompt_and_without_strength_not_at_all(form, trained, artist):
    seeds = range(24)
    way = {"seeds": seeds, "sampler": "ddpm", "steps": 8}
    plain = artist([""] * 24, **way)
    idle = Guide(trained.clip, Settings(form=form, strength=0))
    off = artist(["three"] * 24, guide=idle, **way)
    assert torch.equal(plain, off)
    strength = {"noisy": 3.0, "network": 3.0, "inner": 20.0}[form]
    guide = Guide(trained.clip, Settings(form=form, strength=strength))
    likely = trained.clip.likeness(["three"] * 24)
    zero = torch.tensor(0.0)
    before, after = (
        likely(images.float() / 127.5 - 1, zero).mean()
        for images in (plain, artist(["three"] * 24, guide=guide, **way))
    )
    assert after > before + 0.3


def test_mistakes_are_one_sentence(tmp_path, trained):
    with pytest.raises(UserError, match=r"have no captions, and a CLIP learns what captions mean"):
        next(fit_clip(recipe("data.captions=false", "train.steps=1")))
    with pytest.raises(UserError, match=r"give a run an end"):
        next(fit_clip(recipe("train.budget=0")))
    with pytest.raises(
        UserError, match=r"holds no CLIP .* train one with `inkling train clip-mnist`"
    ):
        Clip.load(tmp_path)
    clean = Clip(
        trained.clip.model,
        trained.clip.tokenizer,
        {"image_mean": [0.5], "image_std": [0.5]},
        trained.clip.known._replace(noisy=False),
    )
    with pytest.raises(UserError, match=r"cannot guide in the form 'noisy'; use network or inner"):
        Guide(clean, Settings(form="noisy"))
    assert Guide(clean, Settings()).form == "network"


def test_from_the_command_line(tmp_path, capsys, folder, artist):
    from inkling.cli import main
    from inkling.models import checkpoint
    from inkling.models.checkpoint import Stored

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        return left.value.code, capsys.readouterr()

    out = tmp_path / "clip"
    settings = [part for each in SMALL for part in ("--set", each)]
    code, said = call("train", "clip-digits", "--steps", 3, "--out", out, *settings)
    assert code == 0
    assert "find their own caption among 10" in said.out
    code, said = call("train", "clip-digits", "--steps", 3, "--out", out)
    assert code == 2
    assert "is there already; nothing was changed" in said.err
    code, said = call("train", "clip-nothing", "--steps", 3)
    assert code == 2
    tensors = {
        f"{part}.{k}": v.clone()
        for part in ("raw", "ema")
        for k, v in artist.model.state_dict().items()
    }
    stored = Stored(tensors, artist.recipe, artist.model.text.vocabulary(), artist.facts, {})
    checkpoint.save(tmp_path / "run" / checkpoint.FILE, stored)
    ask = ("sample", tmp_path / "run", "two", "dog", "--clip", folder, "--count", 2, "--steps", 2)
    with pytest.warns(UserNote, match="'dog' has no meaning"):
        from inkling.cli.clip import guide_for

        guide_for(artist, ["dog"], str(folder), 1.0, None)
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
