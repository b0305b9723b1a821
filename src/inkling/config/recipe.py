"""Every setting of a denoiser's training and sampling: a recipe is a frozen value that JSON holds
both ways. Settings of networks and data stand beside these, in `nets.configs` and `data.settings`.

No torch here, so that the command line reads recipes in an instant. Names that a registry holds,
such as samplers, are plain strings here and checked by `overrides`.
"""

from typing import Annotated, Any, ClassVar, Self, cast

from msgspec import Meta
from msgspec.structs import replace

from inkling.config.sample import Distil, Sample, ScheduleConfig
from inkling.config.train import Train
from inkling.data.settings import Data
from inkling.errors import UserError
from inkling.nets.configs import NetworkConfig, UNetConfig
from inkling.settings import Count, NotNegative, Settings

AUTO = "auto"
"""Noise levels that are chosen from the training pictures."""


class Text(Settings, frozen=True):
    """How captions are read."""

    encoder: str = "transformer"
    """A key of `inkling.text.ENCODERS`: trained along, one vector a label, or a pretrained
    one that stays as it is: `frozen` reads captions, `vision` the pictures themselves."""
    model: str = "openai/clip-vit-base-patch32"
    """Of the frozen and the vision encoder: a hub id, or a folder in the format of
    transformers."""
    pooled: bool = True
    """Whether the vector of all the caption, or of the picture, modulates every block; the tokens
    are read where net.cross_attention is on."""
    width: Count = 128
    """Channels of a caption's vector and tokens."""
    layers: Count = 2
    """Blocks of the transformer that reads captions; one is enough for words, two for sentences."""
    heads: Count = 4
    """Attention heads of each block; they divide the width."""
    max_tokens: Count = 32
    """Longest caption in tokens; longer ones are cut in training, and refused in sampling."""
    vocabulary_size: Annotated[int, Meta(ge=258)] = 4096
    """Byte-level BPE tokens at most; 256 bytes and two marks come first."""


class Diffusion(Settings, frozen=True):
    """What the network predicts, and the noise levels of training."""

    prediction: str = "edm"
    """A key of `inkling.core.PREDICTIONS`: eps, x0, v, flow or edm."""
    sigma_data: NotNegative = 0.0
    """Standard deviation of the pixels in [-1, 1], or of the latents; 0: measured on the training
    pictures."""
    noise: ScheduleConfig = ScheduleConfig(name=AUTO)
    """The distribution of noise levels in training; the name "auto": log-normal, with those options
    that are not given chosen from the training pictures (`inkling data` shows them)."""
    stratified: bool = True
    """One noise level from each of B equal parts of the distribution, instead of B independent
    draws."""
    loss: str = "mse"
    """A key of `inkling.core.PENALTIES`: mse, l1 or huber."""
    weighting: str = "uniform"
    """A key of `inkling.core.WEIGHTINGS`: uniform, edm or min_snr."""


_FREE = ("dropout", "vocabulary_size", "kl_weight")
"""Settings of a structure that do not change what its weights mean."""


def _at(settings: Any, path: str) -> Any:
    """The value at a path such as `diffusion.prediction`."""
    for name in path.split("."):
        settings = getattr(settings, name)
    return settings


def _with(settings: Any, path: str, value: Any) -> Any:
    """The settings with another value at a path."""
    name, _, rest = path.partition(".")
    inner = _with(getattr(settings, name), rest, value) if rest else value
    return replace(settings, **{name: inner})


class RunRecipe(Settings, frozen=True, tag_field="kind"):
    """What every kind of training run has."""

    usual_objective: ClassVar[str] = "denoising"
    """What this kind of recipe trains, unless `train.objective` names another one."""
    structure: ClassVar[tuple[str, ...]] = ()
    """Settings that say what the weights mean, and groups of them."""

    name: str
    source: str
    """Where the settings come from."""
    expected: str = ""
    """Time and score, with the machine they were measured on."""
    data: Data = Data()
    train: Train = Train()

    @property
    def objective(self) -> str:
        """A key of `inkling.training.objectives.OBJECTIVES`."""
        return self.train.objective or self.usual_objective

    def inheriting(self, before: Self) -> Self:
        """This recipe with the structure of another run, whose weights it starts from."""
        changed: RunRecipe = self
        for path in self.structure:
            changed = _with(changed, path, _at(before, path))
        return cast(Self, changed)

    def contradictions(self, before: Self) -> list[tuple[str, Any, Any]]:
        """(setting, value there, value here) where weights of another run mean something else."""
        found = []
        for path in self.structure:
            there, here = _at(before, path), _at(self, path)
            if type(there) is not type(here):
                found.append((f"{path}.kind", type(there).__name__, type(here).__name__))
            elif isinstance(here, Settings):
                names = [n for n in here.__struct_fields__ if n not in _FREE]
                pairs = [(f"{path}.{n}", getattr(there, n), getattr(here, n)) for n in names]
                found += [each for each in pairs if each[1] != each[2]]
            elif there != here:
                found.append((path, there, here))
        return found

    def refuse_denoiser_settings(self) -> None:
        """Refuse settings that only denoisers read.

        Raises:
            UserError: one of them is set.
        """
        plain = Train()
        names = (
            "sizes",
            "widen",
            "recompute",
            "caption_drop",
            "first_wording",
            "fit_budget",
            "preview_files",
        )
        for name in names:
            if getattr(self.train, name) != getattr(plain, name):
                raise UserError(f"train.{name} is for denoisers, not for a {self.objective}")
        if self.data.codec:
            raise UserError(f"data.codec is for denoisers, not for a {self.objective}")


class Recipe(RunRecipe, frozen=True, tag="denoiser"):
    """The training and sampling of a denoiser as a value."""

    structure = ("net", "text", "diffusion.prediction", "diffusion.sigma_data", "data.codec")

    net: NetworkConfig = UNetConfig()
    """Settings of a network in `inkling.nets.NETWORKS`; `net.kind` chooses it."""
    text: Text = Text()
    diffusion: Diffusion = Diffusion()
    sample: Sample = Sample()
    distil: Distil | None = None
    """Of a student; null: the model learns from pictures."""

    @property
    def objective(self) -> str:
        usual = self.usual_objective if self.distil is None else "distillation"
        return self.train.objective or usual

    def __post_init__(self) -> None:
        if self.net.reads_tokens and self.text.encoder == "label":
            raise UserError(
                "labels have no tokens for net.cross_attention=true to read; use "
                "text.encoder=transformer, or leave cross_attention off"
            )
        pretrained = self.text.encoder in ("frozen", "vision")
        if not self.text.pooled and not (pretrained and self.net.reads_tokens):
            raise UserError(
                "text.pooled=false leaves only the tokens of a frozen encoder to read; it needs "
                "text.encoder=frozen or vision, net.cross_attention=true and attention on some "
                "level"
            )
        if self.text.width % self.text.heads:
            raise UserError(
                f"text.width {self.text.width} is not a multiple of text.heads {self.text.heads}"
            )
        if self.sample.grid.options and not self.sample.grid.name:
            raise UserError(
                "sample.grid without a name is the schedule of training and has no options of its "
                "own; set sample.grid.name too"
            )
        if self.data.codec and self.train.sizes:
            raise UserError(
                "train.sizes averages pixels, and data.codec trains on latents; leave one out"
            )
