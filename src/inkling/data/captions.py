"""Captions made from class labels and attributes: small grammars of paraphrases."""

import re
from collections.abc import Sequence
from typing import Any

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_DIGIT_PHRASINGS = (
    "{word}",
    "{numeral}",
    "a {word}",
    "a handwritten {word}",
    "a handwritten {numeral}",
    "the digit {numeral}",
    "the digit {word}",
    "number {word}",
    "the number {numeral}",
    "handwriting of {word}",
    "Drawing of {numeral}",
    "a picture of {word}",
    "a picture of the number {word}",
    "an image of the digit {numeral}",
)
_HELD_OUT_DIGIT_PHRASINGS = (
    "a drawing of the number {word}",
    "the handwritten digit {numeral}",
)

_DRAWING_PHRASINGS = (
    "{word}",
    "a {word}",
    "Drawing of {word}",
    "a drawing of a {word}",
    "a sketch of a {word}",
    "a quick drawing of a {word}",
    "a doodle: {word}",
)
_HELD_OUT_DRAWING_PHRASINGS = ("a quick sketch of a {word}", "a doodle of a {word}")

_CLASS_PHRASINGS = ("{word}", "a {word}", "a picture of a {word}", "an image of a {word}")
_HELD_OUT_CLASS_PHRASINGS = ("a small picture of a {word}",)

# "a" before a vowel sound, and before the numeral 8.
_AN = re.compile(r"\b([Aa]) (?=8|[aeio](?!ne\b)|u(?!ni|ku|s))", re.IGNORECASE)


def with_article(sentence: str) -> str:
    """The sentence with "an" where "a" would be wrong."""
    return _AN.sub(r"\1n ", sentence)


def _fill(phrasings: tuple[str, ...], word: str, numeral: int = 0) -> tuple[str, ...]:
    filled = (phrasing.format(word=word, numeral=numeral) for phrasing in phrasings)
    return tuple(dict.fromkeys(map(with_article, filled)))


def digit_sentences(digit: int) -> tuple[str, ...]:
    """The captions of a digit in training."""
    return _fill(_DIGIT_PHRASINGS, NUMBERS[digit], digit)


def held_out_digit_sentences(digit: int) -> tuple[str, ...]:
    """Two captions of a digit that training never sees, to test generalisation."""
    return _fill(_HELD_OUT_DIGIT_PHRASINGS, NUMBERS[digit], digit)


def digit_groups() -> dict[str, Any]:
    """The caption fields of a source or of `Pictures` for the ten digits."""
    return {
        "groups": tuple(map(digit_sentences, range(10))),
        "held_out": tuple(map(held_out_digit_sentences, range(10))),
    }


def drawing_groups(names: Sequence[str]) -> dict[str, Any]:
    """The same caption fields for drawings of named things."""
    return {
        "groups": tuple(_fill(_DRAWING_PHRASINGS, name) for name in names),
        "held_out": tuple(_fill(_HELD_OUT_DRAWING_PHRASINGS, name) for name in names),
    }


def class_groups(names: Sequence[str]) -> dict[str, Any]:
    """The same caption fields for classes that have nothing but a name."""
    return {
        "groups": tuple(_fill(_CLASS_PHRASINGS, name) for name in names),
        "held_out": tuple(_fill(_HELD_OUT_CLASS_PHRASINGS, name) for name in names),
    }


_HAIR = ("Black", "Blond", "Brown", "Gray")
_WEARING = {
    "Eyeglasses": "glasses",
    "Wearing_Hat": "a hat",
    "Wearing_Earrings": "earrings",
    "Wearing_Necklace": "a necklace",
    "Wearing_Necktie": "a necktie",
    "Wearing_Lipstick": "lipstick",
}
_FEATURES = {
    "Bangs": "bangs",
    "Mustache": "a moustache",
    "Goatee": "a goatee",
    "Sideburns": "sideburns",
    "Rosy_Cheeks": "rosy cheeks",
    "Big_Nose": "a big nose",
    "Pale_Skin": "pale skin",
}
FACE_GRAMMAR = "1"
"""Version of `face_sentences`: increase it when the sentences change, to renew the caches."""


def face_sentences(marked: frozenset[str]) -> tuple[str, ...]:
    """Up to three captions of a face, from short to full.

    Args:
        marked: names of the CelebA attributes that the image has.
    """
    age = "young " if "Young" in marked else "older "
    person = age + ("man" if "Male" in marked else "woman")
    smiling = "smiling " if "Smiling" in marked else ""
    shape = next((f"{k.lower()} " for k in ("Wavy", "Straight") if f"{k}_Hair" in marked), "")
    colour = next((f"{k.lower()} " for k in _HAIR if f"{k}_Hair" in marked), "")
    hair = f"{shape}{colour}hair" if shape or colour else ""
    if "Bald" in marked:
        hair = "a bald head"
    features = [hair] if hair else []
    if "Male" in marked and "No_Beard" not in marked:
        features.append("a beard")
    features += [text for name, text in _FEATURES.items() if name in marked]
    wearing = [text for name, text in _WEARING.items() if name in marked]
    short = f"a {smiling}{person}"
    middle = short + (f" with {features[0]}" if features else "")
    full = short
    full += f" with {_listed(features)}" if features else ""
    full += f", wearing {_listed(wearing)}" if wearing else ""
    return tuple(dict.fromkeys(map(with_article, (short, middle, full))))


def _listed(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
