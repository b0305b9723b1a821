"""Every setting of the training of a codec, an autoencoder whose latents a denoiser can learn."""

from inkling.config.recipe import RunRecipe, Train
from inkling.nets.configs import AutoencoderConfig


class CodecRecipe(RunRecipe, frozen=True, tag="codec"):
    """The training of a codec as a value."""

    autoencoder: AutoencoderConfig = AutoencoderConfig()
    train: Train = Train(
        objective="codec",
        budget=180.0,
        batch=64,
        optimiser="muon",
        lr=3e-3,
        muon_lr=0.01,
        previews=4,
    )
