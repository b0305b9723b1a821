"""Every setting of the training of a judge, a classifier of real pictures."""

from inkling.config.recipe import RunRecipe
from inkling.config.train import Train
from inkling.nets.configs import ClassifierConfig
from inkling.settings import Fraction, Settings


class Augment(Settings, frozen=True):
    """What real pictures go through before the judge sees them."""

    jitter: Fraction = 1.0
    """How far pictures are turned, scaled and shifted: 1 is 0.2 rad, 10 % and 14 %; 0: not."""


class JudgeRecipe(RunRecipe, frozen=True, tag="judge"):
    """The training of a judge as a value."""

    usual_objective = "judge"
    structure = ("classifier",)

    classifier: ClassifierConfig = ClassifierConfig()
    augment: Augment = Augment()
    train: Train = Train(
        epochs=7,
        batch=128,
        lr=4e-3,
        warmup=200,
        decay=0.8,
        curve="cosine",
        previews="3",
    )

    def __post_init__(self) -> None:
        self.refuse_denoiser_settings()
