"""Sentences about class labels: small grammars that say one thing in many ways."""

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


def _fill(phrasings: tuple[str, ...], digit: int) -> tuple[str, ...]:
    def article(text: str) -> str:
        return text.replace("a eight", "an eight").replace("a 8", "an 8")

    return tuple(
        article(phrasing.format(word=NUMBERS[digit], numeral=digit)) for phrasing in phrasings
    )


def digit_sentences(digit: int) -> tuple[str, ...]:
    """The ways in which training names a digit."""
    return _fill(_DIGIT_PHRASINGS, digit)


def held_out_digit_sentences(digit: int) -> tuple[str, ...]:
    """Two more ways, never seen in training: what sampling with them shows is understanding."""
    return _fill(_HELD_OUT_DIGIT_PHRASINGS, digit)


def digit_groups() -> dict[str, tuple[tuple[str, ...], ...]]:
    """The caption fields of `Pictures` for a set of the ten digits."""
    return {
        "groups": tuple(map(digit_sentences, range(10))),
        "held_out": tuple(map(held_out_digit_sentences, range(10))),
    }
