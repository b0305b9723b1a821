"""inkling: small text-conditioned diffusion models, trained from scratch."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from inkling.generate import TextToImage
    from inkling.recipe import Recipe
    from inkling.recipes import RECIPES
    from inkling.train import Progress, fit

_HOMES = {
    "Progress": "inkling.train",
    "RECIPES": "inkling.recipes",
    "Recipe": "inkling.recipe",
    "TextToImage": "inkling.generate",
    "fit": "inkling.train",
}

__all__ = ["RECIPES", "Progress", "Recipe", "TextToImage", "__version__", "fit"]


def __getattr__(name: str) -> Any:
    """Public names load at first use, so that `import inkling` and the help stay instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'inkling' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
