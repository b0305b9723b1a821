"""Values as a user types them, and what msgspec says of them in words."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from inkling.errors import UserError

_AS_JSON = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
"""Python's words for numbers that are not finite."""
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "a group of settings",
    "null": "null",
}
"""The types of JSON in words."""


def in_words(error: Exception) -> str:
    """What went wrong, without the path that msgspec adds, and types in words."""
    said = str(error).split(" - at ")[0]
    said = re.sub(r"`([^`]*)`", lambda found: _words_of(found[1]), said)
    return said[:1].lower() + said[1:]


def _words_of(kinds: str) -> str:
    """Types such as "int | null" in words."""
    return " or ".join(_TYPES.get(kind, kind) for kind in kinds.split(" | "))


def parsed(path: str, text: str) -> Any:
    """A JSON value, a bare list such as `32,64`, or the text itself.

    Raises:
        UserError: a number that is not finite, which JSON cannot hold.
    """
    for candidate in (text, f"[{text}]") if "," in text else (text,):
        plain = _AS_JSON.get(candidate, candidate)
        plain = plain.replace("True", "true").replace("False", "false").replace("None", "null")
        try:
            value = json.loads(plain)
        except (json.JSONDecodeError, RecursionError):
            continue
        check_finite(f"{path}={text}", value)
        return value
    return text


def check_finite(typed: str, value: Any) -> None:
    """Refuse numbers that are not finite, wherever in a value.

    Args:
        typed: setting and value, for the message.
        value: as JSON.

    Raises:
        UserError: it has one.
    """
    if not all(map(math.isfinite, _numbers(value))):
        raise UserError(
            f"{typed}: settings are finite numbers; use a large one such as 1e9 where there is no "
            "limit"
        )


def _numbers(value: Any) -> Iterator[float]:
    """All numbers in a JSON value."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _numbers(each)
    elif isinstance(value, int | float):
        yield value


def shown(value: Any) -> str:
    """A value as people write it: text in quotes, lists in brackets, no rows of zeros."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}={shown(each)}' for name, each in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)
