"""Pictures as conditions: what a vision model makes of them, once, and what it refuses."""

import json
import shutil

import pytest
import torch
import torch.nn.functional as F

from inkling.errors import UserError, UserNote
from inkling.text import VisionEncoder, vision
from inkling.text.pretrained_vision import PretrainedVision
from tests.conftest import write_vision

transformers = pytest.importorskip("transformers", reason="the extra clip is not installed")
NAMES = ("like a", "like b", "like c")
CLASSES = {"clip": "CLIPVisionModelWithProjection", "dinov2": "Dinov2Model"}


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 3, 8, 8), generator=generator, dtype=torch.uint8)


def fresh(folder, images=None, **settings):
    encoder = VisionEncoder.fit([], model=str(folder), **settings)
    if images is not None:
        encoder.see(NAMES, images.__getitem__)
    return encoder


def rewrite(folder, **form):
    """Other settings of preprocessing."""
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | form))


@pytest.mark.parametrize("kind", CLASSES)
def test_conditions_are_what_the_model_makes_of_the_preprocessed_picture(kind, tmp_path, images):
    folder = write_vision(tmp_path, kind)
    model = getattr(transformers, CLASSES[kind]).from_pretrained(folder).eval()
    with torch.no_grad():
        found = model(pixel_values=(images / 255 - 0.5) / 0.25)
    vector = found.image_embeds if kind == "clip" else found.pooler_output
    cond = (encoder := fresh(folder, images))(encoder.tokenize(NAMES))
    assert cond.tokens.shape == (3, 0, 16)
    torch.testing.assert_close(cond.vector, F.rms_norm(vector, (16,)), rtol=0, atol=3e-3)
    cond = (encoder := fresh(folder, images, tokens=True))(encoder.tokenize([*NAMES, ""]))
    tokens = F.rms_norm(found.last_hidden_state, (16,))
    torch.testing.assert_close(cond.tokens[:3], tokens, rtol=0, atol=3e-3)
    torch.testing.assert_close(cond.vector[:3], F.rms_norm(vector, (16,)), rtol=0, atol=3e-3)
    assert cond.mask.sum(1).tolist() == [5, 5, 5, 1], "the null condition has one token"
    assert not cond.tokens[3].any()
    assert not list(encoder.parameters())


def test_pictures_are_brought_to_the_size_and_the_channels_of_the_model(tmp_path, images):
    colour, grey = (
        write_vision(tmp_path / str(channels), channels=channels) for channels in (3, 1)
    )
    one = images[:, :1]
    read = PretrainedVision(colour).read
    torch.testing.assert_close(read(one, False), read(one.expand(-1, 3, -1, -1), False))
    equal = torch.full((1, 3, 8, 8), 90, dtype=torch.uint8)
    equal[:, 1] = 60  # 80 on average
    read = PretrainedVision(grey).read
    averaged = torch.full((1, 1, 8, 8), 80, dtype=torch.uint8)
    torch.testing.assert_close(read(equal, False), read(averaged, False))
    large = images.repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert F.cosine_similarity(*(PretrainedVision(colour).read(x, False)[:, 0] for x in
                                 (images, large))).min() > 0.9  # fmt: skip


@pytest.mark.parametrize(
    ("form", "size"),
    [
        ({"size": 8}, (8, 8)),
        ({"size": {"shortest_edge": 8}}, (8, 8)),
        ({"size": {"height": 8, "width": 8}}, (8, 8)),
        ({"size": {"shortest_edge": 10}, "do_center_crop": True, "crop_size": 8}, (8, 8)),
        ({"size": {"longest_edge": 99}}, (8, 8)),
    ],
)
def test_every_way_to_write_the_size_of_a_model_is_read(form, size, tmp_path):
    rewrite(folder := write_vision(tmp_path), **form)
    assert PretrainedVision(folder).size == size


def test_each_picture_is_encoded_once_ever(tmp_path, images, monkeypatch):
    folder = write_vision(tmp_path)
    fresh(folder, images[:, :1])
    monkeypatch.setattr(PretrainedVision, "read", lambda *_: pytest.fail("encoded again"))
    encoder = fresh(folder, images[:, :1])
    assert encoder(encoder.tokenize(NAMES)).vector.abs().min() > 0
    with pytest.raises(pytest.fail.Exception):
        encoder.see(["like another"], images.__getitem__)


def test_a_checkpoint_needs_no_pictures_and_their_model_only_for_new_ones(
    tmp_path, images, monkeypatch
):
    encoder = fresh(write_vision(tmp_path / "model"), images)
    before = encoder(encoder.tokenize(NAMES))

    def restored():
        back = VisionEncoder.from_vocabulary(encoder.vocabulary())
        back.load_state_dict(encoder.state_dict())
        return back

    monkeypatch.setenv("INKLING_CACHE", str(tmp_path / "empty"))
    back = restored()
    assert not back(back.tokenize([""])).vector.any()
    assert not back.store.path.exists(), "the null condition is carried"
    back.see(NAMES, images.__getitem__)
    torch.testing.assert_close(back(back.tokenize(NAMES)).vector, before.vector, rtol=0, atol=0)
    shutil.rmtree(tmp_path / "model")
    assert restored().takes(NAMES[0])
    with pytest.raises(UserError, match=r"a picture was never encoded, and there is no folder"):
        restored().see(["like d"], images.__getitem__)


def test_another_model_under_the_same_name_is_refused(tmp_path, images):
    encoder = fresh(folder := write_vision(tmp_path), images)
    rewrite(folder, image_mean=[0.1] * 3)
    with pytest.raises(UserError, match=r"vision model in .* is another than the one .* trained"):
        encoder.see(["like d"], images.__getitem__)
    encoder.see(NAMES, images.__getitem__)  # known already


def test_what_is_no_vision_model_is_one_sentence(tmp_path, encoder):
    with pytest.raises(UserError, match=r"\(bert\) reads no pictures; name a vision model"):
        fresh(encoder)
    with pytest.raises(UserError, match=r"no folder 'nobody/nothing'"):
        fresh("nobody/nothing")
    (write_vision(tmp_path) / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"holds no vision model that transformers can read"):
        fresh(tmp_path)


def test_a_text_is_refused_by_its_words(vision_model, images):
    encoder = fresh(vision_model, images)
    assert not encoder.takes("a cat")
    with pytest.raises(UserError, match=r"reads pictures, and 'a cat' is a text; .*--like FILE"):
        encoder.tokenize([NAMES[0], "a cat"])


def test_large_patch_tokens_are_announced(tmp_path, images, monkeypatch):
    monkeypatch.setenv("INKLING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vision, "_LARGE", 100)
    monkeypatch.setattr(vision, "_BATCH", 2)
    folder = write_vision(tmp_path / "model")
    fresh(folder, images)  # vectors alone are small
    with pytest.warns(UserNote, match=r"patch tokens of 3 pictures take .*cross_attention=false"):
        fresh(folder, images, tokens=True)
