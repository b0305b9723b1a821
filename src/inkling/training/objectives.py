"""Every objective by name: what `train.objective` may be."""

from typing import Any

from inkling.registry import Registry
from inkling.training.classification import JudgeObjective
from inkling.training.contrastive import ClipObjective
from inkling.training.denoising import DenoisingObjective
from inkling.training.distillation import DistillationObjective
from inkling.training.objective import Objective
from inkling.training.reconstruction import CodecObjective


def _as_objective(thing: Any, _name: str) -> type[Objective] | None:
    return thing if isinstance(thing, type) and issubclass(thing, Objective) else None


OBJECTIVES: Registry[type[Objective]] = Registry(
    {
        "denoising": DenoisingObjective,
        "distillation": DistillationObjective,
        "clip": ClipObjective,
        "judge": JudgeObjective,
        "codec": CodecObjective,
    },
    _as_objective,
    "an objective: a subclass of inkling.training.objective.Objective",
)
