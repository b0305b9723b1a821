"""Every text encoder keeps the contract; the registry's newcomer is tested at once."""

import shutil

import pytest
import torch

from inkling.data.captions import digit_sentences, held_out_digit_sentences
from inkling.errors import UserError, UserNote
from inkling.text import ENCODERS, LabelEncoder, TransformerEncoder

SENTENCES = ("", *(s for digit in range(10) for s in digit_sentences(digit)))


MODELS = {}
"""Where the models of the pretrained encoders lie."""


@pytest.fixture(scope="module", autouse=True)
def pretrained_models(encoder, vision_model, tmp_path_factory):
    # Here captions stand for pictures, which must not be known to the model of other tests.
    vision = shutil.copytree(vision_model, tmp_path_factory.mktemp("vision") / "of-these-tests")
    (vision / "notes.txt").write_text("another digest")
    MODELS.update(frozen=str(encoder), vision=str(vision))


def make(name, **settings):
    torch.manual_seed(0)
    fields = {
        "model": MODELS.get(name),
        "width": 16,
        "layers": 1,
        "heads": 2,
        "max_tokens": 16,
        "vocabulary_size": 400,
    }
    kind = ENCODERS[name]
    fields |= settings
    made = kind.fit(SENTENCES, **{k: v for k, v in fields.items() if k in kind.settings}).eval()
    if kind.reads_pictures:  # of which these are the names
        images = torch.randint(0, 256, (len(SENTENCES) - 1, 1, 8, 8), dtype=torch.uint8)
        made.see(SENTENCES[1:], images.__getitem__)
    return made


@pytest.mark.parametrize("name", ENCODERS)
def test_shapes(name):
    encoder = make(name)
    cond = encoder(encoder.tokenize(["seven", "a handwritten three", ""]))
    assert cond.vector.shape == (3, 16)
    assert cond.tokens.shape == (3, cond.mask.shape[1], 16)
    assert cond.mask.dtype == torch.bool


@pytest.mark.parametrize("name", ENCODERS)
def test_the_null_condition_differs_from_every_caption(name):
    encoder = make(name)
    vectors = torch.cat([encoder(encoder.tokenize([s])).vector for s in SENTENCES])
    assert (vectors[1:] - vectors[:1]).norm(dim=1).min() > 1e-2


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_changes_nothing(name):
    encoder = make(name)
    short = encoder(encoder.tokenize(["seven"]))
    padded = encoder(encoder.tokenize(["seven", "an image of the digit 7"]))
    torch.testing.assert_close(padded.vector[:1], short.vector, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        padded.tokens[:1, : short.tokens.shape[1]], short.tokens, rtol=0, atol=1e-6
    )
    assert padded.mask[0].sum() == short.mask[0].sum()
    assert not padded.tokens[0, short.tokens.shape[1] :].any()


@pytest.mark.parametrize("name", ENCODERS)
def test_it_comes_back_from_its_vocabulary_and_weights(name):
    encoder = make(name)
    fields = {"layers": 1, "heads": 2, "max_tokens": 16}
    again = ENCODERS[name].from_vocabulary(encoder.vocabulary(), width=16, **fields)
    again.load_state_dict(encoder.state_dict())
    ids = encoder.tokenize(["number five", ""])
    assert torch.equal(ids, again.tokenize(["number five", ""]))
    assert torch.equal(encoder(ids).vector, again.eval()(ids).vector)


def test_a_label_that_was_not_there_is_refused_with_the_choices():
    encoder = LabelEncoder(["cat", "dog"], 4)
    with pytest.raises(UserError, match=r"'bird' is none of them; choose among 'cat', 'dog'"):
        encoder.tokenize(["bird"])


def test_any_text_can_be_tokenised():
    encoder = make("transformer")
    assert encoder.tokenize(["Ein Bär \U0001f43b"]).shape[1] > 3


def test_case_and_spaces_do_not_matter():
    encoder = make("transformer")
    assert torch.equal(encoder.tokenize(["Seven "]), encoder.tokenize(["seven"]))
    assert torch.equal(encoder.tokenize(["  "]), encoder.tokenize([""]))


def test_a_prompt_of_ten_thousand_characters_is_refused_in_one_sentence():
    encoder = make("transformer")
    with pytest.raises(UserError, match=r"10000 characters .* at most 16 tokens, so shorten it"):
        encoder.tokenize(["xylophone " * 1000])


def test_unknown_words_are_those_that_training_never_had():
    encoder = make("transformer")
    assert encoder.unknown_words("a Handwritten zebra, seven!") == ["zebra"]
    assert isinstance(encoder, TransformerEncoder)


def test_held_out_phrasings_are_new_sentences_of_known_words():
    encoder = make("transformer")
    for digit in range(10):
        for sentence in held_out_digit_sentences(digit):
            assert sentence not in SENTENCES
            assert encoder.unknown_words(sentence) == []


def test_training_captions_that_are_too_long_are_cut_and_counted():
    long = " ".join(map(str, range(100)))
    fields = {"width": 16, "layers": 1, "heads": 2, "max_tokens": 16, "vocabulary_size": 300}
    encoder = TransformerEncoder.fit(["", "a cat", long], **fields)
    with pytest.warns(UserNote, match="1 of 3 captions are longer than 16 tokens"):
        ids = encoder.tokenize(["", "a cat", long], cut=True)
    assert ids.shape == (3, 16)
    with pytest.raises(UserError, match="reads at most 16 tokens"):
        encoder.tokenize([long])


def test_a_model_without_captions_says_so():
    encoder = LabelEncoder.fit([""], width=8)
    assert encoder.tokenize(["", ""]).tolist() == [[0], [0]]
    with pytest.raises(UserError, match="trained without captions and cannot read 'seven'"):
        encoder.tokenize(["seven"])


@pytest.mark.parametrize("name", ENCODERS)
def test_it_says_which_captions_it_takes(name):
    encoder = make(name)
    assert encoder.takes("seven")
    assert encoder.takes("seven " * 100) == (name == "frozen")


@pytest.mark.parametrize("prompt", ["<pad>", "<null>", "<pad> <pad>", "a <pad> seven"])
@pytest.mark.filterwarnings("ignore::inkling.errors.UserNote")
def test_a_caption_that_spells_a_special_token_is_text(prompt):
    encoder = make("transformer")
    cond = encoder(encoder.tokenize([prompt, ""]))
    assert cond.mask[0].sum() > 2
    assert cond.vector.isfinite().all()
    assert not torch.allclose(cond.vector[0], cond.vector[1])
    again = TransformerEncoder.from_vocabulary(
        encoder.vocabulary(), width=16, layers=1, heads=2, max_tokens=16
    )
    assert torch.equal(again.tokenize([prompt]), encoder.tokenize([prompt]))


def test_a_mistyped_label_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"'Dgo' is none of them; did you mean 'dog'\? choose"):
        ENCODERS["label"].fit(["cat", "dog"], width=4).tokenize(["Dgo"])
