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
