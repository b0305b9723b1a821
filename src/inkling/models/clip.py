"""CLIPs: ours or a downloaded one, all `transformers.CLIPModel`s.

A CLIP puts pictures and captions into one space. One that inkling trained brings its captions
along, so that it can rate how likely a caption is among them, and may have been trained on noise.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from inkling.core.guidance import LogLikelihood
from inkling.errors import UserError
from inkling.pixels import from_bytes
from inkling.system.disk import TEMPORARY
from inkling.text.pretrained import library, model_folder, read_model, read_tokenizer, reading
from inkling.text.transformer import words_of

NOTES = "inkling.json"
"""File with what inkling knows of a CLIP that it trained, beside those of transformers."""
_THE_SAME = 0.97
"""The cosine above which two captions mean the same."""
_ALTERNATIVES = 64
"""Captions at most among which a prompt has to be the likeliest."""


class Known(NamedTuple):
    """What a CLIP of ours brings along."""

    classes: tuple[str, ...] = ()
    """A caption for each class of its training set."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Captions that mean the same, as far as they are few."""
    words: tuple[str, ...] = ()
    """Every word of its training captions."""
    noisy: bool = False
    """Whether it reads noisy pictures, scaled to unit variance."""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The inverse of `_asdict`, from JSON."""
        return cls(
            tuple(stored.get("classes", ())),
            tuple(map(tuple, stored.get("groups", ()))),
            tuple(stored.get("words", ())),
            bool(stored.get("noisy", False)),
        )


class Clip(nn.Module):
    """A CLIP that reads pictures [B, C, H, W] in [-1, 1] and captions."""

    def __init__(
        self, model: Any, tokenizer: Any, pixels: Mapping[str, Sequence[float]], known: Known
    ):
        super().__init__()
        self.model: Any = model
        self.tokenizer = tokenizer
        self.known = known
        vision = self.model.config.vision_config
        self.side, self.channels = int(vision.image_size), int(vision.num_channels)
        self.mean = torch.tensor(pixels["image_mean"])[:, None, None]
        """[C, 1, 1] of pixels in [0, 1], by channel."""
        self.std = torch.tensor(pixels["image_std"])[:, None, None]

    @classmethod
    def load(cls, where: str | Path, device: torch.device | str = "cpu") -> Self:
        """A CLIP by hub id or folder.

        Raises:
            UserError: nothing there, or no CLIP.
        """
        library()
        folder = model_folder(str(where))
        instead = "train one with `inkling train clip-mnist`, or name one of the hub"
        with reading(folder, "CLIP", instead):
            model = read_model("CLIPModel", folder, attn_implementation="eager")
            tokenizer = read_tokenizer(folder)
            pixels = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
            notes = folder / NOTES
            stored = json.loads(notes.read_text("utf-8"))["known"] if notes.is_file() else {}
            known = Known.from_json(stored)
        model.requires_grad_(False)
        return cls(model.to(device), tokenizer, pixels, known).eval()

    @property
    def device(self) -> torch.device:
        """Where it lives."""
        found: torch.device = self.model.logit_scale.device
        return found

    @property
    def scale(self) -> Tensor:
        """By which cosines become logits."""
        scale: Tensor = self.model.logit_scale.exp()
        return scale

    def encode_images(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Image embeddings [B, D] of length 1.

        Args:
            x: [B, C, H, W] in [-1, 1]; or `x0 + sigma * noise`, for one that reads noise.
            sigma: [] or [B] noise level; clean if None.
        """
        gain = 1.0  # by which the noise changes on the way to the CLIP's own form
        if x.shape[1] != self.channels:
            gain /= math.sqrt(x.shape[1])
            x = x.mean(1, keepdim=True).expand(-1, self.channels, -1, -1)
        height, width = x.shape[-2:]
        gain *= _noise_gain(height, self.side) * _noise_gain(width, self.side)
        if x.shape[-2:] != (self.side, self.side):
            size = (self.side, self.side)
            x = _resized(x, size)
        if sigma is not None and self.known.noisy:
            level = sigma.to(x).view(-1, 1, 1, 1) * gain
            x = x * (1 + level.square()).rsqrt()
        seen = ((x + 1) / 2 - self.mean.to(x)) / self.std.to(x)
        return F.normalize(self._vector(self.model.get_image_features(pixel_values=seen)), dim=1)

    def tokenize(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(token ids, attention mask) [M, L] int64 each, on the CLIP's device."""
        found = self.tokenizer(
            list(captions),
            padding=True,
            truncation=True,
            max_length=self.model.config.text_config.max_position_embeddings,
            return_tensors="pt",
            split_special_tokens=True,  # a prompt that spells one is text like any other
        )
        return found["input_ids"].to(self.device), found["attention_mask"].to(self.device)

    def encode_ids(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Text embeddings [M, D] of length 1 of tokenised captions."""
        found = self.model.get_text_features(input_ids=ids, attention_mask=mask)
        return F.normalize(self._vector(found), dim=1)

    def encode_text(self, captions: Sequence[str]) -> Tensor:
        """Text embeddings [M, D] of length 1."""
        return self.encode_ids(*self.tokenize(captions))

    def hidden_matrices(self) -> list[nn.Parameter]:
        """For Muon: all but embeddings, projections into the common space and the logit scale."""
        outer = ("embedding", "projection", "logit_scale")
        return [
            parameter
            for name, parameter in self.model.named_parameters()
            if parameter.ndim >= 2 and not any(part in name for part in outer)
        ]

    def vocabulary(self) -> str:
        """Tokenizer and known captions, as text for a checkpoint."""
        tokenizer = self.tokenizer.backend_tokenizer.to_str()
        return json.dumps({"tokenizer": tokenizer, "known": self.known._asdict()})

    def save(self, folder: Path, notes: Mapping[str, Any]) -> Path:
        """Write the model, its tokenizer and what it knows, in the format of transformers.

        Args:
            folder: where to.
            notes: what else to note, JSON-able.

        Raises:
            UserError: it cannot be written.
        """
        pixels = {
            "image_processor_type": "CLIPImageProcessor",
            "image_mean": self.mean.flatten().tolist(),
            "image_std": self.std.flatten().tolist(),
            "size": {"height": self.side, "width": self.side},
            "do_center_crop": False,
        }
        known = {"known": self.known._asdict(), **notes}
        try:
            with TemporaryDirectory(
                dir=_made(folder), prefix=TEMPORARY, suffix=".partial"
            ) as temporary:
                whole = Path(temporary)
                self.model.save_pretrained(whole)
                self.tokenizer.save_pretrained(whole)
                (whole / "preprocessor_config.json").write_text(
                    json.dumps(pixels, indent=2), "utf-8"
                )
                (whole / NOTES).write_text(json.dumps(known, indent=2), "utf-8")
                mode = (whole / NOTES).stat().st_mode
                # The weights last: a folder with them is a whole one.
                for file in sorted(whole.iterdir(), key=lambda file: file.suffix == ".safetensors"):
                    file.chmod(mode)  # safetensors writes for the owner alone
                    os.replace(file, folder / file.name)
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot write the CLIP to {folder}: {reason}") from None
        return folder

    def _vector(self, found: Any) -> Tensor:
        """The features alone: newer versions of transformers return them with all the rest."""
        vector: Tensor = found if isinstance(found, Tensor) else found.pooler_output
        return vector

    def alternatives(self, prompt: str) -> list[str]:
        """The prompt, and known captions of other groups, one of each."""
        said = " ".join(prompt.casefold().split())
        names = self.known.classes or [group[0] for group in self.known.groups]
        groups = self.known.groups or [(name,) for name in names]
        others = [
            name
            for name, group in zip(names, groups, strict=False)
            if name and said not in (name.casefold(), *(each.casefold() for each in group))
        ]
        return [prompt, *others[:_ALTERNATIVES]]

    def is_unknown(self, prompt: str) -> bool:
        """Whether no word of the prompt occurs in its training captions."""
        words = words_of([prompt])
        return bool(words and self.known.words) and not words & set(self.known.words)

    @torch.no_grad()
    def classify(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        """Which of the captions fits each picture best, [N] int64.

        Args:
            images: uint8 [N, C, H, W].
            captions: M of them.
        """
        texts = self.encode_text(captions)
        if not bool(texts.isfinite().all()):
            raise UserError("this CLIP gives no finite numbers for these captions; train it again")
        found = [
            (self.encode_images(from_bytes(part.to(self.device))) @ texts.T).argmax(1).cpu()
            for part in torch.split(images, 250)
        ]
        return torch.cat(found)

    @staticmethod
    def _apart(texts: Tensor) -> Tensor:
        """The first caption [1 + M, D], and those of the others that mean something else."""
        kept = texts @ texts[0] < _THE_SAME
        kept[0] = True
        return texts[kept]

    @torch.no_grad()
    def similarity(self, prompts: Sequence[str]) -> LogLikelihood:
        """The cosine between each picture and its prompt; noisy pictures as if of variance 1.

        Args:
            prompts: one for each picture, B.
        """
        distinct = list(dict.fromkeys(prompts))
        texts = self.encode_text(distinct)[[distinct.index(prompt) for prompt in prompts]]

        def cosine(x: Tensor, sigma: Tensor) -> Tensor:
            if not self.known.noisy:
                x = x * (1 + sigma.square()).rsqrt()
            return (self.encode_images(x.float(), sigma.float()) * texts).sum(1)

        return cosine

    @torch.no_grad()
    def log_likelihood(self, prompts: Sequence[str]) -> LogLikelihood:
        """The log-likelihood of each picture's prompt: among known captions, or its cosine alone.

        Args:
            prompts: one for each picture, B.
        """
        distinct = list(dict.fromkeys(prompts))
        number = torch.tensor([distinct.index(prompt) for prompt in prompts], device=self.device)
        read = [
            self._apart(self.encode_text(self.alternatives(p))) for p in distinct
        ]  # [1 + M, D] each
        longest = max(map(len, read))
        # Repeating the last alternative would count it twice: padding is masked.
        texts = torch.stack([F.pad(each, (0, 0, 0, longest - len(each))) for each in read])
        there = torch.tensor([[i < len(each) for i in range(longest)] for each in read])
        texts, there = texts[number], there.to(self.device)[number]  # [B, 1 + M, D], [B, 1 + M]
        scale = self.scale

        def likely(x: Tensor, sigma: Tensor) -> Tensor:
            seen = self.encode_images(x.float(), sigma.float())  # [B, D]
            logits = scale * (texts @ seen[:, :, None]).squeeze(2)  # [B, 1 + M]
            if longest == 1:
                return logits[:, 0]
            return logits.masked_fill(~there, -torch.inf).log_softmax(1)[:, 0]

        return likely


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures [B, C, H, W] at (height, width)."""
    return F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=True)


@cache
def _noise_gain(length: int, resized: int) -> float:
    """By which the standard deviation of independent noise changes when one side is resized.

    Resizing is linear: each new pixel is a weighted sum of old ones, so its variance is the sum of
    the squared weights, here averaged over the new pixels.
    """
    if length == resized:
        return 1.0
    weights = _resized(torch.eye(length)[None, None], (resized, length))[0, 0]  # [resized, length]
    return math.sqrt(weights.square().sum(1).mean().item())


def _made(folder: Path) -> Path:
    """The folder, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder
