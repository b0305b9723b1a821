"""Commands that are printed for copying into a shell."""

import shlex


def command(*parts: object) -> str:
    """`inkling` and its arguments, each quoted so that a shell takes it as it is."""
    return shlex.join(["inkling", *map(str, parts)])
