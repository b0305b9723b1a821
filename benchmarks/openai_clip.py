"""A small CLIP with the layout of OpenAI's ViT-B/32, trained on MNIST: what guides with it guides
with a downloaded one.

    python benchmarks/openai_clip.py --data FOLDER --out runs/clip-b32

Pictures of 224x224 in three channels, patches of 32, OpenAI's mean and standard deviation of the
pixels, and nothing of inkling's own in the folder.
"""

import json
import math
from pathlib import Path
from typing import Self

import click
import torch
import transformers

from inkling.config.clip_recipe import ClipRecipe
from inkling.config.recipe import RunRecipe
from inkling.models.checkpoint import FILE, Checkpoint
from inkling.models.clip import NOTES, Clip, Known
from inkling.models.new_clip import new_clip
from inkling.runs.auto_recipe import resolve
from inkling.runs.console import follow
from inkling.runs.session import run
from inkling.training.contrastive import ClipObjective
from inkling.training.objective import BuildInputs
from inkling.training.objectives import OBJECTIVES

PIXELS = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
"""Of the pictures that OpenAI's CLIPs were trained on (github.com/openai/CLIP)."""


def with_layout_of_b32(small: Clip) -> Clip:
    """A CLIP with fresh weights, the tokenizer of another one, and the layout of ViT-B/32."""
    tower = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "projection_dim": 128,
    }
    text = small.model.config.text_config
    ids = {name: getattr(text, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    config = transformers.CLIPConfig(
        text_config=tower
        | ids
        | {
            "num_hidden_layers": 1,
            "vocab_size": text.vocab_size,
            "max_position_embeddings": 77,
        },
        vision_config=tower | {"num_channels": 3, "image_size": 224, "patch_size": 32},
        projection_dim=128,
        logit_scale_init_value=math.log(10),
    )
    torch.manual_seed(0)
    model = transformers.CLIPModel._from_config(config, attn_implementation="eager")
    return Clip(model, small.tokenizer, PIXELS, Known(noisy=True))


class B32Objective(ClipObjective):
    """Trains it as inkling trains its own."""

    @classmethod
    def build(cls, recipe: RunRecipe, given: BuildInputs) -> Self:
        assert isinstance(recipe, ClipRecipe)
        clip = with_layout_of_b32(new_clip(recipe, given.pictures))
        return cls(recipe, given.pictures, clip.to(given.device))

    def blank_model(self) -> Clip:
        assert isinstance(self.recipe, ClipRecipe)
        return with_layout_of_b32(new_clip(self.recipe, self.pictures)).to(self.model.device)

    def save(self, folder: Path, contents: Checkpoint) -> Path:
        """As a CLIP of somebody else's: without what inkling knows of its own."""
        finished = self.blank_model()
        finished.load_state_dict(contents.part("raw") | contents.part("ema"))
        finished.save(folder, {})
        (folder / NOTES).unlink()
        print(json.dumps(contents.card.scores))
        return folder / FILE


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of MNIST.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--steps", default=1000, show_default=True)
def main(data: Path, out: Path, steps: int) -> None:
    """Train it."""
    OBJECTIVES["clip-b32"] = B32Objective
    settings = [f"data.path={data}", f"train.steps={steps}", "train.objective=clip-b32"]
    settings += ["train.batch=64", "train.previews=2", "train.milestones=[]"]
    follow(run(resolve("clip-mnist", settings), out), out)


if __name__ == "__main__":
    main()
