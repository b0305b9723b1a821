"""What has weights: networks and their blocks. Knows no schedule, no data, no prediction.

`NETWORKS` names the denoising networks; a new one is one file and one entry.
"""

from typing import TYPE_CHECKING

from inkling.lazy import attach

if TYPE_CHECKING:
    from inkling.nets.autoencoder import Autoencoder
    from inkling.nets.classifier import Classifier
    from inkling.nets.configs import (
        NETWORKS,
        AutoencoderConfig,
        ClassifierConfig,
        NetworkConfig,
        TransformerConfig,
        UNetConfig,
    )
    from inkling.nets.network import Network
    from inkling.nets.transformer import Transformer
    from inkling.nets.unet import UNet

__getattr__ = attach(
    __name__,
    {
        "NETWORKS": "inkling.nets.configs",
        "Autoencoder": "inkling.nets.autoencoder",
        "AutoencoderConfig": "inkling.nets.configs",
        "Classifier": "inkling.nets.classifier",
        "ClassifierConfig": "inkling.nets.configs",
        "Network": "inkling.nets.network",
        "NetworkConfig": "inkling.nets.configs",
        "Transformer": "inkling.nets.transformer",
        "TransformerConfig": "inkling.nets.configs",
        "UNet": "inkling.nets.unet",
        "UNetConfig": "inkling.nets.configs",
    },
)

__all__ = [
    "NETWORKS",
    "Autoencoder",
    "AutoencoderConfig",
    "Classifier",
    "ClassifierConfig",
    "Network",
    "NetworkConfig",
    "Transformer",
    "TransformerConfig",
    "UNet",
    "UNetConfig",
]
