"""All that a text-conditioned denoiser is: the codec, the text encoder, the denoiser."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from inkling.contracts import Cond
from inkling.core.denoiser import Denoiser
from inkling.data import Pictures
from inkling.models.codec import Codec
from inkling.nets.network import Network
from inkling.text import TextEncoder


class TextDenoiser(nn.Module):
    """A text encoder, and the denoiser that reads what it makes of captions.

    Called as `model(x, sigma, cond)`, like the denoiser.
    """

    def __init__(self, text: TextEncoder, denoiser: Denoiser, codec: Codec):
        super().__init__()
        self.text = text
        self.denoiser = denoiser
        self.codec = codec
        """Frozen; between pictures and what the denoiser works on."""

    @property
    def network(self) -> Network:
        """The raw network."""
        network: Network = self.denoiser.network  # type: ignore[assignment]
        return network

    @property
    def device(self) -> torch.device:
        """Where it lives."""
        return next(self.parameters()).device

    def forward(self, x: Tensor, sigma: Tensor, cond: Cond) -> Tensor:
        """The clean image expected behind `x`; see `Denoiser.forward`."""
        estimate: Tensor = self.denoiser(x, sigma, cond)
        return estimate

    def see(self, pictures: Pictures) -> None:
        """Encode pictures that are their own conditions, so that their names can be read.

        Raises:
            UserError: as `TextEncoder.see`.
        """
        if pictures.own_conditions:
            self.text.see(pictures.names(), pictures.at)

    def encode_text(self, captions: Sequence[str], *, cut: bool = False) -> Cond:
        """The conditions of these captions as one batch.

        Args:
            captions: B of them.
            cut: read the beginning of a caption that is too long, rather than refuse it.
        """
        ids = self.text.tokenize(captions, cut=cut)
        encoded: Cond = self.text(ids.to(self.device))
        return encoded

    def hidden_matrices(self) -> list[nn.Parameter]:
        """For Muon: those of the text encoder and of the network."""
        return [*self.text.hidden_matrices(), *self.network.hidden_matrices()]
