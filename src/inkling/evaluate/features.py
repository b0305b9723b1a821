"""Features for scores: from a judge, Inception, a CLIP, a vision transformer of the hub, or pixels.
New features are one class and one entry in `FEATURES`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inkling.data import Data
from inkling.errors import UserError, unknown_name
from inkling.evaluate.judge import Judge, judge_for, mark
from inkling.extras import how_to_install
from inkling.models.clip import Clip
from inkling.pixels import from_bytes
from inkling.text.pretrained import library, model_folder, read_model, reading

_BATCH = 250


class Outputs(NamedTuple):
    """Features of images, and class probabilities."""

    features: np.ndarray
    """[N, D] float64."""
    probabilities: np.ndarray | None
    """[N, classes] float64; None from features without a classifier."""


class Features(Protocol):
    """Maps images to feature vectors, and perhaps to class probabilities."""

    name: str
    """Name in the terms of a score; scores with different names are not compared."""
    resize: str
    """How images are resized to its input size."""
    classes: tuple[str, ...]
    """The classes that it recognises, in the order of its probabilities; empty: none."""

    def __call__(self, images: Tensor) -> Outputs:
        """The outputs for uint8 images [N, C, H, W]."""
        ...


class OfJudge:
    """Features of a judge: a small classifier trained on real images of the same data set."""

    def __init__(self, judge: Judge, name: str):
        self.judge, self.name, self.classes = judge, f"judge {name}", judge.classes
        self.resize = f"area to {judge.size[1]}x{judge.size[0]} if needed"

    def __call__(self, images: Tensor) -> Outputs:
        """The judge's features and class probabilities."""
        features, logits = self.judge.outputs(images)
        return Outputs(features.double().numpy(), logits.double().softmax(1).numpy())


class OfClip:
    """Features of a CLIP's image encoder, trained with inkling or pretrained."""

    def __init__(self, clip: Clip, name: str):
        self.clip, self.name = clip, f"clip {name}"
        self.classes: tuple[str, ...] = ()
        self.resize = f"bicubic with antialiasing to {clip.side}x{clip.side} if needed"

    def __call__(self, images: Tensor) -> Outputs:
        """Embeddings of length 1."""
        with torch.no_grad():
            found = [
                self.clip.encode_images(from_bytes(part.to(self.clip.device))).cpu()
                for part in torch.split(images, _BATCH)
            ]
        return Outputs(torch.cat(found).double().numpy(), None)


class OfVision:
    """Features of a vision transformer such as DINOv2 (Oquab et al. 2023), by hub id or folder."""

    def __init__(self, where: str, device: torch.device):
        library()
        folder = model_folder(where)
        with reading(folder, "vision transformer"):
            model = read_model("AutoModel", folder)
            model = getattr(model, "vision_model", model)
            side = model.config.image_size
        self.model: Any = model.to(device).eval()
        self.device = device
        self.classes: tuple[str, ...] = ()
        self.side = int(side)
        self.name = f"vision {where}"
        self.resize = f"bicubic with antialiasing to {self.side}x{self.side}, ImageNet's mean, std"

    def __call__(self, images: Tensor) -> Outputs:
        """The pooled vector of each image."""
        mean = torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(-1, 1, 1)
        found = []
        for part in torch.split(images, _BATCH // 5):
            x = part.float().div(255).expand(-1, 3, -1, -1)
            size = (self.side, self.side)
            x = F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=True)
            with torch.no_grad():
                outputs = self.model(pixel_values=((x - mean) / std).to(self.device))
            pooled = outputs.pooler_output
            found.append(pooled if pooled is not None else outputs.last_hidden_state[:, 0])
        return Outputs(torch.cat(found).cpu().double().numpy(), None)


class OfInception:
    """Inception v3 with the weights and resizing of published scores, through torch-fidelity."""

    name = "inception-v3-compat, 2048"
    resize = "bilinear to 299x299 as in TensorFlow 1"
    classes: tuple[str, ...] = ()

    def __init__(self, device: torch.device):
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError:
            raise UserError(
                "Inception features need the library torch-fidelity; install it with "
                f"{how_to_install('inception')}, or use --features judge"
            ) from None
        try:
            self.model: Any = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"]
            ).to(device)
        except OSError as error:
            raise UserError(
                f"the weights of Inception could not be downloaded ({error}); connect to the "
                "network, or use --features judge"
            ) from None
        self.device = device

    def __call__(self, images: Tensor) -> Outputs:
        """2048 features and the probabilities of its 1008 classes."""
        features, logits = [], []
        for part in torch.split(images, _BATCH // 5):
            with torch.no_grad():
                outputs = self.model(part.expand(-1, 3, -1, -1).to(self.device))
            features.append(outputs[0].cpu().double())
            logits.append(outputs[1].cpu().double())
        return Outputs(torch.cat(features).numpy(), torch.cat(logits).softmax(1).numpy())


class OfPixels:
    """Pixels averaged down to 8x8: for data sets without classes, where nothing better exists."""

    name = "pixels 8x8"
    resize = "area to 8x8"
    classes: tuple[str, ...] = ()

    def __call__(self, images: Tensor) -> Outputs:
        """64 features a channel, in [-1, 1]."""
        small = F.interpolate(from_bytes(images), (8, 8), mode="area")
        return Outputs(small.flatten(1).double().numpy(), None)


def _judged(rest: str, data: Data, device: torch.device) -> Features:
    if rest:
        return OfJudge(Judge.load(Path(rest)), f"{data.name} {mark(Path(rest))}")
    return OfJudge(*judge_for(data))


FEATURES: dict[str, Callable[[str, Data, torch.device], Features]] = {
    "judge": _judged,
    "inception": lambda rest, data, device: OfInception(device),
    "clip": lambda rest, data, device: OfClip(Clip.load(rest, device), Path(rest).name),
    "vision": lambda rest, data, device: OfVision(rest, device),
    "pixels": lambda rest, data, device: OfPixels(),
}
"""By the word before the colon; called with the text after the colon, the data and the device."""


def features(text: str, data: Data, device: torch.device) -> Features:
    """Features by name: judge, inception, pixels, clip:FOLDER, vision:facebook/dinov2-base.

    Raises:
        UserError: there are no such features, or they are not available on this machine.
    """
    kind, _, rest = text.partition(":")
    if kind not in FEATURES:
        raise UserError(unknown_name(kind, FEATURES, "kind of features"))
    if kind in ("clip", "vision") and not rest:
        raise UserError(f"--features {kind} needs a model: {kind}:FOLDER or {kind}:OWNER/NAME")
    return FEATURES[kind](rest, data, device)
