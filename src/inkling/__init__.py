"""inkling: small text-conditioned diffusion models, trained from scratch."""

from typing import TYPE_CHECKING

from inkling.lazy import attach

__version__ = "0.1.0"

if TYPE_CHECKING:
    from inkling.config.overrides import override
    from inkling.config.recipe import Recipe
    from inkling.config.recipes import RECIPES
    from inkling.pixels import to_pil
    from inkling.sampling.pipeline import TextToImage
    from inkling.training.loop import Progress, fit

__getattr__ = attach(
    __name__,
    {
        "Progress": "inkling.training.loop",
        "RECIPES": "inkling.config.recipes",
        "Recipe": "inkling.config.recipe",
        "TextToImage": "inkling.sampling.pipeline",
        "fit": "inkling.training.loop",
        "override": "inkling.config.overrides",
        "to_pil": "inkling.pixels",
    },
)

__all__ = [
    "RECIPES",
    "Progress",
    "Recipe",
    "TextToImage",
    "__version__",
    "fit",
    "override",
    "to_pil",
]
