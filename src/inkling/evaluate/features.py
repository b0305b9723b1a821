"""What sees pictures for scores: a classifier of the data set at hand, Inception, a CLIP, any
model of the hub, or the pixels. A new one is one class and an entry in `FEATURES`.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inkling.config.recipe import Data
from inkling.errors import UserError, nearest
from inkling.evaluate.judge import Judge, train_judge
from inkling.models.build import read_pictures
from inkling.models.clip import Clip
from inkling.system.cache import cache_folder
from inkling.system.progress import bar
from inkling.text.pretrained import library, located

_BATCH = 250
_FORM = ("size", "resize", "channels", "background", "classes")
"""Settings of a data set that a judge of it depends on."""


class Seen(NamedTuple):
    """What features make of pictures."""

    features: np.ndarray
    """[N, D] float64."""
    shares: np.ndarray | None
    """[N, classes] float64 class probabilities, from features that classify."""


class Features(Protocol):
    """Pictures in, numbers out."""

    name: str
    """What scores name beside themselves; unlike names are not compared."""
    resize: str
    """How pictures are brought to the size that it takes."""
    classes: int
    """Classes of the data set that it knows; 0 where it knows none of them."""

    def __call__(self, images: Tensor) -> Seen:
        """Of uint8 pictures [N, C, H, W]."""
        ...


class OfJudge:
    """A small classifier of real pictures of the same set."""

    def __init__(self, judge: Judge, name: str):
        self.judge, self.name = judge, f"judge {name}"
        self.side, self.classes = judge.size, int(judge.decide.out_features)
        self.resize = f"area to {self.side[1]}x{self.side[0]}, if another"

    def __call__(self, images: Tensor) -> Seen:
        """128 features and the shares of classes."""
        with torch.no_grad():
            found = [self._part(part) for part in torch.split(images, _BATCH)]
        features, logits = (torch.cat(each) for each in zip(*found, strict=True))
        return Seen(features.double().numpy(), logits.double().softmax(1).numpy())

    def _part(self, images: Tensor) -> tuple[Tensor, Tensor]:
        channels = self.judge.settings["channels"]
        if images.shape[1] != channels:
            raise UserError(
                f"the {self.name} knows pictures of {channels} channels, these have "
                f"{images.shape[1]}; train one of this set with `inkling judge`"
            )
        x = images.float()
        if tuple(x.shape[-2:]) != self.side:
            x = F.interpolate(x, self.side, mode="area")
        features = self.judge.features(x / 127.5 - 1)
        return features, self.judge.decide(features)


class OfClip:
    """A CLIP's picture tower: ours or a downloaded one."""

    def __init__(self, clip: Clip, name: str):
        self.clip, self.name, self.classes = clip, f"clip {name}", 0
        self.resize = f"bicubic with antialiasing to {clip.side}x{clip.side}, if another"

    def __call__(self, images: Tensor) -> Seen:
        """Vectors of length 1."""
        with torch.no_grad():
            found = [
                self.clip.look(part.to(self.clip.device).float() / 127.5 - 1).cpu()
                for part in torch.split(images, _BATCH)
            ]
        return Seen(torch.cat(found).double().numpy(), None)


class OfVision:
    """A vision transformer of the hub, such as DINOv2 (Oquab et al. 2023), by id or folder."""

    def __init__(self, where: str, device: torch.device):
        models = library()
        folder = located(where)
        try:
            model = models.AutoModel.from_pretrained(folder, dtype=torch.float32)
            model = getattr(model, "vision_model", model)
            side = model.config.image_size
        except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
            raise UserError(
                f"{where} holds no vision transformer that transformers can read "
                f"({' '.join(str(error).split())[:160]})"
            ) from None
        self.model: Any = model.to(device).eval()
        self.device, self.classes = device, 0
        self.side = int(side)
        self.name = f"vision {where}"
        self.resize = f"bicubic with antialiasing to {self.side}x{self.side}, ImageNet's colours"

    def __call__(self, images: Tensor) -> Seen:
        """The pooled vector of each picture."""
        mean = torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(-1, 1, 1)
        found = []
        for part in torch.split(images, _BATCH // 5):
            x = part.float().div(255).expand(-1, 3, -1, -1)
            size = (self.side, self.side)
            x = F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=True)
            with torch.no_grad():
                seen = self.model(pixel_values=((x - mean) / std).to(self.device))
            pooled = seen.pooler_output
            found.append(pooled if pooled is not None else seen.last_hidden_state[:, 0])
        return Seen(torch.cat(found).cpu().double().numpy(), None)


class OfInception:
    """The Inception of the literature, its weights and its resize, through torch-fidelity."""

    name = "inception-v3-compat, 2048"
    resize = "bilinear to 299x299 as in TensorFlow 1"
    classes = 0

    def __init__(self, device: torch.device):
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError:
            raise UserError(
                "Inception features need the library torch-fidelity; install it with "
                "pip install 'inkling[inception]', or use --features judge"
            ) from None
        try:
            self.model: Any = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"]
            ).to(device)
        except OSError as error:
            raise UserError(
                f"the weights of Inception could not be fetched ({error}); connect, or use "
                "--features judge"
            ) from None
        self.device = device

    def __call__(self, images: Tensor) -> Seen:
        """2048 features and the shares of its 1008 classes."""
        features, logits = [], []
        for part in torch.split(images, _BATCH // 5):
            with torch.no_grad():
                seen = self.model(part.expand(-1, 3, -1, -1).to(self.device))
            features.append(seen[0].cpu().double())
            logits.append(seen[1].cpu().double())
        return Seen(torch.cat(features).numpy(), torch.cat(logits).softmax(1).numpy())


class OfPixels:
    """The pixels, averaged down to 8x8: for sets without classes where nothing else is at hand."""

    name = "pixels 8x8"
    resize = "area to 8x8"
    classes = 0

    def __call__(self, images: Tensor) -> Seen:
        """64 numbers a channel in [-1, 1]."""
        small = F.interpolate(images.float() / 127.5 - 1, (8, 8), mode="area")
        return Seen(small.flatten(1).double().numpy(), None)


def judge_for(data: Data, epochs: int = 4) -> tuple[Judge, str]:
    """A classifier of these pictures and its name, trained once and kept in the cache.

    Raises:
        UserError: the set has no classes, or no test split.
    """
    # All of its classes' pictures, however few of them were trained on, and read or not.
    data = msgspec.structs.replace(data, captions=True, caption="", limit=None)
    kept = {name: getattr(data, name) for name in _FORM}
    where = data.path if data.name in ("folder", "hub") else ""
    key = hashlib.sha256(repr((data.name, where, kept, epochs)).encode()).hexdigest()[:12]
    file = cache_folder() / "judges" / f"{data.name}-{key}.safetensors"
    if not file.is_file() or not _sound(file):
        train, test = (read_pictures(data, split) for split in ("train", "test"))
        if not train.classes:
            raise UserError(
                f"{data.name} has no classes for a judge to learn; use --features pixels, "
                "clip:FOLDER or inception"
            )
        verdicts = []
        with bar(f"training a judge of {data.name}", epochs) as advance:
            for verdict in train_judge(train, test, epochs):
                verdicts = [verdict]
                advance(1)
        verdicts[0].judge.save(file, verdicts[0].accuracy)
    return Judge.load(file), f"{data.name} {_mark(file)}"


def _sound(file: Path) -> bool:
    """Whether a judge can be read back: one that was torn is made again."""
    try:
        Judge.load(file)
    except UserError:
        return False
    return True


def _mark(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:8]


def _judged(rest: str, data: Data, device: torch.device) -> Features:
    if rest:
        return OfJudge(Judge.load(Path(rest)), f"{data.name} {_mark(Path(rest))}")
    return OfJudge(*judge_for(data))


FEATURES: dict[str, Callable[[str, Data, torch.device], Features]] = {
    "judge": _judged,
    "inception": lambda rest, data, device: OfInception(device),
    "clip": lambda rest, data, device: OfClip(Clip.load(rest, device), Path(rest).name),
    "vision": lambda rest, data, device: OfVision(rest, device),
    "pixels": lambda rest, data, device: OfPixels(),
}
"""By the word before the colon; what stands behind it, the data set and the device come in."""


def features(text: str, data: Data, device: torch.device) -> Features:
    """Features by name: judge, inception, pixels, clip:FOLDER, vision:facebook/dinov2-base.

    Raises:
        UserError: no such features, or they cannot be had here.
    """
    kind, _, rest = text.partition(":")
    if kind not in FEATURES:
        raise UserError(nearest(kind, FEATURES, "kind of features"))
    if kind in ("clip", "vision") and not rest:
        raise UserError(f"--features {kind} needs a model: {kind}:FOLDER or {kind}:OWNER/NAME")
    if kind == "judge" and rest and not Path(rest).is_file():
        raise UserError(f"there is no judge at {rest}; train one with `inkling judge`")
    return FEATURES[kind](rest, data, device)
