"""Optional dependencies: how to install one that is missing."""

from pathlib import Path

DISTRIBUTION = "inkling-diffusion"
"""Our name on PyPI; `inkling` there is another project."""


def how_to_install(extra: str) -> str:
    """The command that installs an extra, from the checkout where the package lies in one.

    Args:
        extra: of pyproject.toml, such as "clip".
    """
    checkout = Path(__file__).parents[2]
    if not (checkout / "pyproject.toml").is_file():
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    place = "." if checkout == Path.cwd() else checkout
    return f"pip install -e '{place}[{extra}]'"
