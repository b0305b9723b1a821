"""A recipe becomes a small CLIP, its tokenizer learned from captions or taken from a checkpoint."""

import json
import math

from tokenizers import Tokenizer, processors

from inkling.config.clip_recipe import ClipRecipe
from inkling.data import Pictures
from inkling.errors import UserError
from inkling.models.clip import Clip, Known
from inkling.text.pretrained import library
from inkling.text.transformer import byte_level_bpe, words_of

_CARRIED = 2000
"""Distinct captions at most that a CLIP remembers."""
_END, _PAD = "<end>", "<pad>"


def new_clip(recipe: ClipRecipe, pictures: Pictures) -> Clip:
    """A CLIP with fresh weights for these pictures and captions.

    Raises:
        UserError: a patch that is larger than the pictures; a library is missing.
    """
    sentences = pictures.sentences
    tokenizer = byte_level_bpe(sentences, recipe.towers.vocabulary_size, (_PAD, _END))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {_END}", special_tokens=[(_END, 1)]
    )
    channels, side, _ = pictures.shape
    return _built(recipe, channels, side, tokenizer, known_of(recipe, pictures))


def known_of(recipe: ClipRecipe, pictures: Pictures) -> Known:
    """What a CLIP that is trained on these pictures knows."""
    sentences = pictures.sentences
    few = len(sentences) <= _CARRIED
    return Known(
        classes=pictures.classes,
        groups=pictures.groups if few else (),
        words=tuple(sorted(words_of(sentences))) if few else (),
        noisy=recipe.contrast.noisy > 0,
    )


def clip_from_vocabulary(recipe: ClipRecipe, channels: int, side: int, vocabulary: str) -> Clip:
    """The CLIP that `Clip.vocabulary` described; its weights are loaded apart."""
    stored = json.loads(vocabulary)
    tokenizer = Tokenizer.from_str(stored["tokenizer"])
    return _built(recipe, channels, side, tokenizer, Known.from_json(stored["known"]))


def _built(
    recipe: ClipRecipe, channels: int, side: int, tokenizer: Tokenizer, known: Known
) -> Clip:
    models, towers = library(), recipe.towers
    patch = towers.patch or max(1, side // 4)
    if patch > side:
        raise UserError(
            f"towers.patch {patch} is larger than the pictures, {side}; use {side // 4}"
        )
    wrapped = models.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        eos_token=_END,
        model_max_length=towers.max_tokens,
    )
    tower = {
        "hidden_size": towers.width,
        "intermediate_size": 4 * towers.width,
        "num_attention_heads": towers.heads,
        "projection_dim": towers.width,
    }
    config = models.CLIPConfig(
        text_config={
            **tower,
            "num_hidden_layers": towers.text_layers,
            "vocab_size": len(wrapped),
            "max_position_embeddings": towers.max_tokens,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 1,
        },
        vision_config={
            **tower,
            "num_hidden_layers": towers.layers,
            "num_channels": channels,
            "image_size": side // patch * patch,
            "patch_size": patch,
        },
        projection_dim=towers.width,
        logit_scale_init_value=math.log(10),
    )
    # Plain attention: at short sequences faster on a CPU than the fused kernel.
    model = models.CLIPModel._from_config(config, attn_implementation="eager")
    half = [0.5] * channels
    return Clip(model, wrapped, {"image_mean": half, "image_std": half}, known)
