"""The emoji of a font: names, what is held out, and fonts that will not do.

Tests that draw need a colour emoji font on the computer, and skip without one.
"""

import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch

from inkling.data import Options, read
from inkling.data.sets.emoji import TONES, Emoji, Font, every_emoji, find_font, held_out
from inkling.errors import UserError
from inkling.evaluate.emoji import of_emoji, recognised

PLAIN = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@pytest.fixture(scope="module")
def font() -> Path:
    try:
        return find_font(None)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def known(font):
    return read("emoji", str(font))


def test_names_are_words_and_tones_are_apart():
    by_caption = {each.captions()[0]: each for each in every_emoji()}
    woman = by_caption["woman astronaut, dark skin tone"]
    assert (woman.name, woman.tone) == ("woman astronaut", "dark")
    assert woman.sequence == "\U0001f469\U0001f3ff‍\U0001f680"
    assert by_caption["flag of Mongolia"].captions()[0] == "flag of Mongolia"
    assert "flag for Mongolia" in by_caption["flag of Mongolia"].captions()
    assert len(by_caption) == len(every_emoji()) > 3000
    assert not any("_" in caption or ":" in caption for caption in by_caption)


@pytest.mark.parametrize("fraction", [0.003, 0.1, 0.25, 0.8])
def test_what_is_held_out_leaves_every_name_and_every_tone(fraction):
    known = every_emoji()
    apart = held_out(known, fraction)
    toned = [each for each in known if each.tone]
    assert len(apart) == pytest.approx(fraction * len(toned), abs=2 + 0.02 * len(toned))
    left = set(known) - apart
    assert {each.name for each in left} == {each.name for each in known}
    counts = [sum(each.tone == tone for each in apart) for tone in TONES]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("fraction", [1e-6, 0.9])
def test_too_little_or_too_much_cannot_be_held_out(fraction):
    with pytest.raises(UserError, match=r"data\.hold_out"):
        held_out(every_emoji(), fraction)


def test_an_emoji_has_its_name_first_and_no_caption_twice():
    twice = Emoji("x", "phone", "", ("phone", "telephone"))
    assert twice.captions() == ("phone", "telephone")


def test_pictures_are_coloured_square_and_complete(known):
    assert known.shape == (3, 32, 32)
    assert len(known) > 3000
    assert len({image.numpy().tobytes() for image in known.pixels()}) > 0.98 * len(known)
    spread = known.pixels().float().std((1, 2, 3))
    assert spread.min() > 5  # none is blank
    assert known.layout.startswith("emoji of ")


def test_train_and_held_out_share_no_caption(font, known):
    options = Options(hold_out=0.1, size=16)
    train, apart = (read("emoji", str(font), split, options) for split in ("train", "held_out"))
    captions = [{p.groups[group][0] for group in p.group.tolist()} for p in (train, apart)]
    assert not captions[0] & captions[1]
    assert len(train) + len(apart) == len(known)
    with pytest.raises(UserError, match=r"data\.hold_out"):
        read("emoji", str(font), "held_out")


def test_a_sequence_that_a_font_lacks_is_not_drawn(font):
    drawn = Font(font)
    assert drawn.draw("\N{GRINNING FACE}").shape[2] == 4
    for lacking in ("\U0010fffd", "\N{GRINNING FACE}" * 2, " "):
        assert drawn.draw(lacking) is None


def test_a_font_without_colour_is_refused():
    with pytest.raises(UserError, match="no coloured emoji"):
        Font(PLAIN)


def test_what_is_no_font_is_refused(tmp_path):
    (tmp_path / "x.ttf").write_bytes(b"no font")
    with pytest.raises(UserError, match="cannot read"):
        Font(tmp_path / "x.ttf")


def test_a_folder_without_a_font_says_what_was_looked_for(tmp_path):
    with pytest.raises(UserError, match=r"NotoColorEmoji\.ttf.*fonts-noto-color-emoji"):
        find_font(tmp_path)


def test_a_font_is_told_from_what_lies_beside_it(font, tmp_path):
    folder = tmp_path / "emoji"
    folder.mkdir()
    (folder / "LICENSE").write_text("of the emoji")
    shutil.copy(PLAIN, folder / "A plain emoji.ttf")
    with pytest.raises(UserError, match="no font with coloured emoji"):
        find_font(folder)
    (folder / "My Emoji.ttf").symlink_to(font)
    assert find_font(folder) == folder / "My Emoji.ttf"


def test_the_judge_recognises_every_emoji_and_its_parts(known):
    captions = known.names()
    row = {caption: number for number, caption in enumerate(captions)}
    some = torch.arange(0, len(known), 40)
    noise = np.random.default_rng(0).integers(-20, 21, known.at(some).shape)
    noisy = (known.at(some).numpy() + noise).clip(0, 255).astype(np.uint8)
    found = recognised([captions[number] for number in some], torch.from_numpy(noisy), known)
    assert found.itself == found.name == found.tone == 1.0
    # A pilot of another tone, a judge of the tone asked for.
    asked = ["woman pilot, dark skin tone"] * 2
    shown = [row["woman pilot, light skin tone"], row["woman judge, dark skin tone"]]
    seen = known.at(torch.tensor(shown))
    assert recognised(asked, seen, known) == (0.0, 0.5, 0.5)
    scores = {each.name: each.values.mean() for each in of_emoji(asked, seen, known)}
    assert scores == {
        "nearest emoji: itself": 0.0,
        "nearest emoji: name": 0.5,
        "nearest emoji: tone": 0.5,
    }
    phone = known.at(torch.tensor([row["telephone"]]))
    assert recognised(["phone"], phone, known).itself == 1.0  # by another name
