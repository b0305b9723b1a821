"""inkling: small text-conditioned diffusion models, trained from scratch."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from inkling.config.recipe import Recipe
    from inkling.config.recipes import RECIPES
    from inkling.sampling.pipeline import TextToImage
    from inkling.training.loop import Progress, fit

_HOMES = {
    "Progress": "inkling.training.loop",
    "RECIPES": "inkling.config.recipes",
    "Recipe": "inkling.config.recipe",
    "TextToImage": "inkling.sampling.pipeline",
    "fit": "inkling.training.loop",
}

__all__ = ["RECIPES", "Progress", "Recipe", "TextToImage", "__version__", "fit"]


def __getattr__(name: str) -> Any:
    """Public names load at first use, so that `import inkling` and the help stay instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'inkling' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
