"""The settings of every network, as a tagged union chosen by `net.kind`. No torch here.

Each network takes its settings as one value, so a field is written once. A new denoising network
is one class of settings with `build`, and one entry in `NETWORKS`.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from msgspec import Meta
from msgspec.structs import replace

from inkling.errors import UserError
from inkling.registry import Registry
from inkling.settings import BelowOne, Count, NotNegative, Settings, Whole

if TYPE_CHECKING:
    from inkling.nets.network import Network

Entry = TypeVar("Entry")
"""Of a setting that has one for each level."""
_NARROW = 96
"""Widths up to this are those of a recipe for laptops."""
_GROUPED = 16
"""Channels are multiples of it, so that norms have groups of one size."""
_ATTENDED = 16
"""Side of the finest level that may have attention: its cost grows with the fourth power."""


class NetworkConfig:
    """What the settings of a denoising network can do. Subclasses are frozen `Settings` too."""

    __slots__ = ()

    dropout: float = 0.0
    reads_tokens: ClassVar[bool] = False
    """Whether cross-attention reads the caption's tokens; a property where settings decide."""

    def build(self, channels: int, cond_width: int) -> "Network":
        """The network with fresh weights.

        Args:
            channels: of the pictures or latents.
            cond_width: D of the condition.
        """
        raise NotImplementedError

    def small(self, side: int) -> Self:
        """The same kind of network, small enough for a two-minute trial on a laptop.

        Args:
            side: height and width of the pictures.
        """
        return self

    def scaled(self, factor: float) -> Self:
        """The same network with wider layers; the same width where that is not defined.

        Args:
            factor: of the channels, at least 1.
        """
        return self


class UNetConfig(Settings, NetworkConfig, frozen=True, tag_field="kind", tag="unet"):
    """The U-Net: residual blocks on a few levels."""

    widths: Annotated[tuple[Count, ...], Meta(min_length=1)] = (32, 96)
    """Channels of each level, finest first; every level after the first halves height and width."""
    up_widths: tuple[Count, ...] = ()
    """Channels of each level on the way up, finest first; one for all, empty: as `widths`."""
    width_change: Literal["resampling", "block"] = "resampling"
    """What takes one level's width to the next one's: the convolution that changes height and
    width, or the first residual block after it."""
    downsample_last: bool = False
    """Whether the last level halves height and width too, so that the middle is coarser than it."""
    blocks: Annotated[tuple[Count, ...], Meta(min_length=1)] = (1,)
    """Residual blocks of each level, on the way down and again on the way up; one for all."""
    attention: Annotated[tuple[bool, ...], Meta(min_length=1)] = (False,)
    """Whether each level has self-attention; one for all."""
    up_attention: tuple[bool, ...] = ()
    """The same on the way up; one for all, empty: as `attention`."""
    attention_after: Literal["each", "last"] = "each"
    """Whether attention follows each residual block of a level, or the last one only."""
    middle: Whole = 1
    """Residual blocks between the two ways."""
    middle_attention: bool = True
    """Whether attention follows the first of these."""
    head_width: Count = 32
    """Channels of one attention head."""
    cross_attention: bool = False
    """Whether attention also reads the caption's tokens."""
    feedforward: Whole = 0
    """Width, in multiples of the channels, of the MLP after each attention, which makes it a
    transformer block; 0: none."""
    condition: Literal["film", "add"] = "film"
    """How noise level and caption enter a block: scale and shift, or an added bias."""
    embedding: Count = 256
    """Width of the joint embedding of noise level and caption."""
    frequencies: Count = 32
    """Sinusoids of the noise level; a sine and a cosine of each enter an MLP."""
    embedding_factor: Count = 1
    """Width of this MLP's hidden layer, in multiples of `embedding`."""
    activation: Literal["silu", "gelu"] = "silu"
    """Of this MLP."""
    standardised: bool = False
    """Weight-standardised convolutions in the residual blocks (Qiao et al. 2019)."""
    down: Literal["shuffle", "conv", "average"] = "shuffle"
    """How a level is left downwards: space to depth, strided convolution or average pooling."""
    up: Literal[
        "shuffle", "nearest", "bilinear", "plain_nearest", "plain_bilinear", "transposed"
    ] = "shuffle"
    """How a level is left upwards: depth to space, stretched pixels and a convolution, stretched
    pixels alone (their width changes in the next block always), or transposed convolution."""
    skips: Literal["join", "level", "concat"] = "join"
    """What the way up gets from the way down: the end of each level, through a 1x1 convolution or
    concatenated before the first block, or every block the output of its twin."""
    patch: Count = 1
    """Pixel-unshuffle of the input: 2 makes a quarter of the positions, four times as deep."""
    positions: Whole = 0
    """Side of a learned map added at every level, stretched to the picture; 0: none."""
    template: Whole = 0
    """Channels of a coarse map made from the embedding and added at every level; 0: none."""
    dropout: BelowOne = 0.0
    """Probability in every residual block; for small data sets and long runs."""

    def __post_init__(self) -> None:
        levels = len(self.widths)
        for field in ("blocks", "attention", "up_widths", "up_attention"):
            given = getattr(self, field)
            few = (1, levels) if field in ("blocks", "attention") else (0, 1, levels)
            if len(given) not in few:
                raise UserError(
                    f"net.{field} has {len(given)} entries ({given}) for {levels} levels in "
                    f"net.widths; give one entry a level, or one for all"
                    + (", or none (as on the way down)" if 0 in few else "")
                )
        for field, width in self._attended():
            if width % min(width, self.head_width):
                raise UserError(
                    f"net.{field} has {width}, which net.head_width {self.head_width} does not "
                    "divide; choose multiples of it"
                )

    def _by_level(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """An entry for each level, of one for each or one for all."""
        return entries * (len(self.widths) // len(entries))

    def blocks_by_level(self) -> tuple[int, ...]:
        """Residual blocks of each level."""
        return self._by_level(self.blocks)

    def attention_by_level(self) -> tuple[bool, ...]:
        """Whether each level has self-attention on the way down."""
        return self._by_level(self.attention)

    def up_widths_by_level(self) -> tuple[int, ...]:
        """Channels of each level on the way up."""
        return self._by_level(self.up_widths or self.widths)

    def up_attention_by_level(self) -> tuple[bool, ...]:
        """Whether each level has self-attention on the way up."""
        return self._by_level(self.up_attention or self.attention)

    def _attended(self) -> list[tuple[str, int]]:
        """(setting, its entry) of every width that has attention."""
        down = list(zip(self.widths, self.attention_by_level(), strict=True))
        up = zip(self.up_widths_by_level(), self.up_attention_by_level(), strict=True)
        central = (self.widths[-1], self.middle > 0 and self.middle_attention)
        return [("widths", width) for width, attends in [*down, central] if attends] + [
            ("up_widths" if self.up_widths else "widths", width) for width, attends in up if attends
        ]

    @property
    def reads_tokens(self) -> bool:  # type: ignore[override]
        """Whether cross-attention reads the caption's tokens on some level."""
        return self.cross_attention and bool(self._attended())

    def build(self, channels: int, cond_width: int) -> "Network":
        from inkling.nets.unet import UNet

        return UNet(channels, cond_width, self)

    def small(self, side: int) -> Self:
        narrow = max(self.widths) <= _NARROW
        patch = self.patch if narrow else max(self.patch, 2 if side > _ATTENDED else 1)
        coarse = [side // patch >> level <= _ATTENDED for level in range(len(self.widths))]
        up_widths, up_attention = self.up_widths_by_level(), self.up_attention_by_level()
        return replace(
            self,
            widths=_narrowed(self.widths),
            up_widths=_narrowed(up_widths) if self.up_widths else (),
            blocks=tuple(min(count, 1) for count in self.blocks),
            attention=_both(self.attention_by_level(), coarse),
            up_attention=_both(up_attention, coarse) if self.up_attention else (),
            head_width=min(self.head_width, 32),
            middle=min(self.middle, 1),
            embedding=min(self.embedding, 128),
            patch=patch,
        )

    def scaled(self, factor: float) -> Self:
        attended = {width for _, width in self._attended()}

        def wider(width: int) -> int:
            step = self.head_width if width in attended else _GROUPED
            return max(width, round(width * factor / step) * step)

        return replace(
            self,
            widths=tuple(map(wider, self.widths)),
            up_widths=tuple(map(wider, self.up_widths)),
        )


def _narrowed(widths: tuple[int, ...]) -> tuple[int, ...]:
    """Channels of each level for a trial on a laptop."""
    return tuple(min(width, 64 if level else 32) for level, width in enumerate(widths))


def _both(attention: tuple[bool, ...], coarse: list[bool]) -> tuple[bool, ...]:
    """Attention where the settings have it and the level is coarse enough."""
    return tuple(attends and low for attends, low in zip(attention, coarse, strict=True))


class TransformerConfig(Settings, NetworkConfig, frozen=True, tag_field="kind", tag="transformer"):
    """A transformer over patches (Peebles & Xie 2023): adaptive norms, no convolutions."""

    patch: Count = 4
    """Side of a patch; each becomes one token. Sizes that it does not divide are padded."""
    width: Count = 128
    """Channels of a token."""
    depth: Count = 4
    """Transformer blocks."""
    head_width: Annotated[int, Meta(ge=4, multiple_of=4)] = 32
    """Channels of one attention head."""
    feedforward: Count = 4
    """Width of the MLP of a block, in multiples of the width."""
    cross_attention: bool = False
    """Whether each block also reads the caption's tokens."""
    positions: Literal["learned", "rotary"] = "learned"
    """A learned vector for each position, stretched to other sizes, or rotations of queries and
    keys by row and column (Su et al. 2021)."""
    side: Count = 8
    """Places along each side of the learned position vectors."""
    embedding: Count = 128
    """Width of the joint embedding of noise level and caption."""
    dropout: BelowOne = 0.0
    """Probability in every MLP; for small data sets and long runs."""

    def __post_init__(self) -> None:
        if self.width % self.head_width:
            raise UserError(
                f"net.width {self.width} is not a multiple of net.head_width {self.head_width}"
            )

    @property
    def reads_tokens(self) -> bool:  # type: ignore[override]
        """Whether cross-attention reads the caption's tokens."""
        return self.cross_attention

    def build(self, channels: int, cond_width: int) -> "Network":
        from inkling.nets.transformer import Transformer

        return Transformer(channels, cond_width, self)

    def scaled(self, factor: float) -> Self:
        width = max(self.width, round(self.width * factor / self.head_width) * self.head_width)
        return replace(self, width=width)

    def small(self, side: int) -> Self:
        return replace(
            self,
            patch=max(self.patch, -(-side // 8)),
            width=min(self.width, 4 * self.head_width, 128),
            head_width=min(self.head_width, 32),
            depth=min(self.depth, 4),
            embedding=min(self.embedding, 128),
        )


def _as_network(thing: Any, name: str) -> type[NetworkConfig] | None:
    from inkling.nets.own import as_network

    return as_network(thing, name)


NETWORKS: Registry[type[NetworkConfig]] = Registry(
    {"unet": UNetConfig, "transformer": TransformerConfig},
    _as_network,
    "a network: a subclass of inkling.nets.Network, or settings with build",
)
"""Denoising networks by `net.kind`."""


class AutoencoderConfig(Settings, frozen=True):
    """A convolutional autoencoder: pictures to small latents and back."""

    widths: Annotated[tuple[Count, ...], Meta(min_length=2)] = (32, 64)
    """Channels of each level, finest first; every level after the first halves height and width."""
    blocks: Count = 1
    """Residual blocks of each level."""
    latent_channels: Count = 4
    """Channels of a latent: more reconstruct better and are harder to learn."""
    bottleneck: Literal["kl", "plain"] = "kl"
    """A Gaussian kept near the standard normal (Kingma & Welling 2014), or plain numbers."""
    kl_weight: NotNegative = 1e-4
    """Weight of the KL divergence, in nats a latent value, beside the squared error."""


class ClassifierConfig(Settings, frozen=True):
    """A small convolutional classifier."""

    widths: Annotated[tuple[Count, ...], Meta(min_length=3, max_length=3)] = (16, 48, 96)
    """Channels of its three levels."""
    features: Count = 128
    """Width of the layer before the last, by whose values pictures are compared."""
    dropout: BelowOne = 0.3
    """Probability before the last layer."""
