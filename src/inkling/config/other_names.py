"""What other libraries call our settings, so that one who comes from there is understood."""

from collections.abc import Mapping
from typing import Any

from inkling.errors import UserError

OTHER_NAMES = {
    "learning_rate": "train.lr",
    "batch_size": "train.batch",
    "train_batch_size": "train.batch",
    "num_epochs": "train.epochs",
    "num_train_epochs": "train.epochs",
    "max_steps": "train.steps",
    "max_train_steps": "train.steps",
    "num_steps": "train.steps",
    "gradient_accumulation_steps": "train.accumulation",
    "max_grad_norm": "train.clip",
    "mixed_precision": "train.precision",
    "warmup_steps": "train.warmup",
    "lr_warmup_steps": "train.warmup",
    "optimizer": "train.optimiser",
    "resolution": "data.size",
    "image_size": "data.size",
    "prediction_type": "diffusion.prediction",
    "guidance_scale": "sample.scale",
    "num_inference_steps": "sample.steps",
}
"""Our setting for each name that is usual elsewhere."""


ARGUMENTS = {
    "num_images_per_prompt": "count=2",
    "num_images": "count=2",
    "generator": "seed=0, or seeds=[0, 1]",
    "height": "size=(height, width)",
    "width": "size=(height, width)",
    "output_type": "pipeline.images(...) for PIL images",
    "prompt": "the prompt as the first argument",
    "prompts": "the prompts as the first argument",
    "num_steps": "steps=20",
    "cfg_scale": "scale=2.0",
    "cfg": "scale=2.0",
    "guidance": "scale=2.0",
}
"""What to write in a call of a pipeline in the place of an argument of other libraries."""


def in_our_names(given: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Settings of a group, with the names that other libraries have for them replaced by ours.

    Args:
        given: values by name.
        group: such as "sample".

    Raises:
        UserError: a setting is given under two names.
    """
    found = dict(given)
    for other in given:
        path = OTHER_NAMES.get(other, "")
        if not path.startswith(f"{group}."):
            continue
        ours = path.removeprefix(f"{group}.")
        if ours in found:
            raise UserError(f"{other} is another name of {ours}; give one of the two")
        found[ours] = found.pop(other)
    return found
