"""What a user can do wrong, and what a user should know."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A user's mistake, in one sentence: the value, the choices and the fix.

    Names and values in it may hold anything; what cannot be printed on one line is escaped.
    """

    def __init__(self, sentence: str):
        plain = sentence.replace("\n", " ")
        super().__init__("".join(c if c.isprintable() else _escaped(c) for c in plain))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


class UserNote(UserWarning):
    """Something a user should know that is no mistake."""


def one_line(error: BaseException) -> str:
    """The message of another library's error, as a part of a sentence."""
    return " ".join(str(error).split())


def nearest(name: str, choices: Iterable[str], likeness: float = 0.6) -> str | None:
    """The choice that a mistyped name most likely means, capitals or not; None if none is near.

    Args:
        name: as typed.
        choices: what there is.
        likeness: of the two at least, 0 to 1, as `difflib` measures it.
    """
    folded = {choice.casefold(): choice for choice in choices}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=likeness)
    return folded[close[0]] if close else None


def unknown_name(name: str, choices: Iterable[str], what: str) -> str:
    """A sentence about an unknown name: the value, the likeliest meant, the choices."""
    known = list(choices)
    close = nearest(name, known)
    hint = f"did you mean {close!r}? " if close else ""
    return f"there is no {what} {name!r}; {hint}choose among {', '.join(known)}"
