"""Every setting of the training of a codec, an autoencoder whose latents a denoiser can learn."""

from inkling.config.recipe import RunRecipe
from inkling.config.train import Train
from inkling.nets.configs import AutoencoderConfig


class CodecRecipe(RunRecipe, frozen=True, tag="codec"):
    """The training of a codec as a value."""

    usual_objective = "codec"
    structure = ("autoencoder",)

    autoencoder: AutoencoderConfig = AutoencoderConfig()
    train: Train = Train(
        budget=180.0,
        batch=64,
        optimiser="muon",
        lr=3e-3,
        muon_lr=0.01,
        previews="4",
    )

    def __post_init__(self) -> None:
        self.refuse_denoiser_settings()
