"""Every kind of recipe, by its `kind` in JSON."""

from inkling.config.clip_recipe import ClipRecipe
from inkling.config.codec_recipe import CodecRecipe
from inkling.config.judge_recipe import JudgeRecipe
from inkling.config.recipe import Recipe, RunRecipe

KINDS: dict[str, type[RunRecipe]] = {
    "denoiser": Recipe,
    "clip": ClipRecipe,
    "judge": JudgeRecipe,
    "codec": CodecRecipe,
}
"""A new kind of run is one class and one entry, and an objective that learns it."""
