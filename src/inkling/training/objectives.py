"""Every objective by name: what `train.objective` may be."""

from inkling.registry import Registry, subclass_of
from inkling.training.classification import JudgeObjective
from inkling.training.contrastive import ClipObjective
from inkling.training.denoising import DenoisingObjective
from inkling.training.distillation import DistillationObjective
from inkling.training.objective import Objective
from inkling.training.reconstruction import CodecObjective

OBJECTIVES: Registry[type[Objective]] = Registry(
    {
        "denoising": DenoisingObjective,
        "distillation": DistillationObjective,
        "clip": ClipObjective,
        "judge": JudgeObjective,
        "codec": CodecObjective,
    },
    subclass_of(Objective),
    "an objective: a subclass of inkling.training.objective.Objective",
)
