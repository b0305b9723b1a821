"""CLIPs: ours or a downloaded one, all `transformers.CLIPModel`s, and guidance by what they see.

A CLIP puts pictures and captions into one space. One that inkling trained brings its captions
along, so that it can say how likely a caption is among them, and may have learnt to read noise.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from inkling.config.recipe import Clip as ClipSettings
from inkling.contracts import Denoise
from inkling.core import guidance
from inkling.errors import UserError
from inkling.text.pretrained import library, located
from inkling.text.transformer import words_of

NOTES = "inkling.json"
"""What inkling knows of a CLIP that it trained, beside the files of transformers."""
_THE_SAME = 0.97
"""The cosine from which two captions say the same."""
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


class Clip:
    """A CLIP that reads pictures [B, C, H, W] in [-1, 1] and captions."""

    def __init__(self, model: Any, tokenizer: Any, look: dict[str, Any], known: Known):
        self.model: Any = model.eval()
        self.tokenizer = tokenizer
        self.known = known
        vision = self.model.config.vision_config
        self.side, self.channels = int(vision.image_size), int(vision.num_channels)
        self.mean = torch.tensor(look["image_mean"])[:, None, None]
        self.std = torch.tensor(look["image_std"])[:, None, None]

    @classmethod
    def load(cls, where: str | Path, device: torch.device | str = "cpu") -> Self:
        """A CLIP by hub id or folder.

        Raises:
            UserError: nothing there, or no CLIP.
        """
        models = library()
        folder = located(str(where))
        try:
            model = models.CLIPModel.from_pretrained(
                folder, attn_implementation="eager", dtype=torch.float32
            )
            tokenizer = models.AutoTokenizer.from_pretrained(folder)
            look = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
            notes = folder / NOTES
            stored = json.loads(notes.read_text("utf-8"))["known"] if notes.is_file() else {}
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise UserError(
                f"{where} holds no CLIP ({' '.join(str(error).split())[:160]}); train one with "
                "`inkling train clip-mnist`, or name one of the hub"
            ) from None
        known = Known(
            tuple(stored.get("classes", ())),
            tuple(map(tuple, stored.get("groups", ()))),
            tuple(stored.get("words", ())),
            bool(stored.get("noisy", False)),
        )
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        return cls(model.to(device), tokenizer, look, known)

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

    def look(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Where pictures lie, [B, D] of length 1.

        Args:
            x: [B, C, H, W] in [-1, 1]; or `x0 + sigma * noise`, for one that reads noise.
            sigma: [] or [B] noise level; clean if None.
        """
        if x.shape[1] != self.channels:
            x = x.mean(1, keepdim=True).expand(-1, self.channels, -1, -1)
        finer = min(1.0, self.side / max(x.shape[-2:]))
        if x.shape[-2:] != (self.side, self.side):
            size = (self.side, self.side)
            x = F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=True)
        if sigma is not None and self.known.noisy:
            # On fewer pixels the noise is averaged, and with it its level.
            level = sigma.to(x).view(-1, 1, 1, 1) * finer
            x = x * (1 + level.square()).rsqrt()
        seen = ((x + 1) / 2 - self.mean.to(x)) / self.std.to(x)
        return F.normalize(self._vector(self.model.get_image_features(pixel_values=seen)), dim=1)

    def read(self, captions: Sequence[str]) -> Tensor:
        """Where captions lie, [M, D] of length 1."""
        most = self.model.config.text_config.max_position_embeddings
        ids = self.tokenizer(
            list(captions),
            padding=True,
            truncation=True,
            max_length=most,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        found = self.model.get_text_features(**ids.to(self.device))
        return F.normalize(self._vector(found), dim=1)

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

    def strange(self, prompt: str) -> bool:
        """Whether no word of the prompt means anything to the data that it learnt from."""
        words = words_of([prompt])
        return bool(words and self.known.words) and not words & set(self.known.words)

    @torch.no_grad()
    def verdicts(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        """Which of the captions fits each picture best, [N] int64.

        Args:
            images: uint8 [N, C, H, W].
            captions: M of them.
        """
        texts = self.read(captions)
        found = [
            (self.look(part.to(self.device).float() / 127.5 - 1) @ texts.T).argmax(1).cpu()
            for part in torch.split(images, 250)
        ]
        return torch.cat(found)

    @staticmethod
    def _apart(texts: Tensor) -> Tensor:
        """The first caption [1 + M, D], and of the others those that say something else."""
        kept = texts @ texts[0] < _THE_SAME
        kept[0] = True
        return texts[kept]

    @torch.no_grad()
    def likeness(self, prompts: Sequence[str]) -> guidance.Likeness:
        """The log-likelihood of each picture's prompt: among known captions, or its cosine alone.

        Args:
            prompts: one for each picture, B.
        """
        distinct = list(dict.fromkeys(prompts))
        number = torch.tensor([distinct.index(prompt) for prompt in prompts], device=self.device)
        read = [self._apart(self.read(self.alternatives(p))) for p in distinct]  # [1 + M, D] each
        longest = max(map(len, read))
        # Repeating the last alternative would count it twice: padding is masked.
        texts = torch.stack([F.pad(each, (0, 0, 0, longest - len(each))) for each in read])
        there = torch.tensor([[i < len(each) for i in range(longest)] for each in read])
        texts, there = texts[number], there.to(self.device)[number]  # [B, 1 + M, D], [B, 1 + M]
        scale = self.scale

        def likely(x: Tensor, sigma: Tensor) -> Tensor:
            seen = self.look(x.float(), sigma.float())  # [B, D]
            logits = scale * (texts @ seen[:, :, None]).squeeze(2)  # [B, 1 + M]
            if longest == 1:
                return logits[:, 0]
            return logits.masked_fill(~there, -torch.inf).log_softmax(1)[:, 0]

        return likely


class Guide:
    """Pulls what a model draws towards prompts that only a CLIP can read."""

    def __init__(self, clip: Clip, settings: ClipSettings):
        self.clip = clip
        self.settings = settings
        form = settings.form
        if form == "auto":
            form = "noisy" if clip.known.noisy else "network"
        if form == "noisy" and not clip.known.noisy:
            raise UserError(
                "this CLIP reads clean pictures only and cannot guide in the form 'noisy'; use "
                "network or inner, or train one with train.noisy=0.7"
            )
        self.form = form

    def wrap(self, denoise: Denoise, prompts: Sequence[str], sigma_data: float) -> Denoise:
        """The denoiser, guided towards one prompt a picture."""
        likeness, settings = self.clip.likeness(prompts), self.settings
        low, high = settings.interval
        if settings.strength == 0:
            return denoise
        if self.form == "noisy":
            guided = guidance.pulled(denoise, likeness, settings.strength)
        elif self.form == "network":
            guided = guidance.pulled_through(denoise, likeness, settings.strength)
        else:
            guided = guidance.pulled_inside(
                denoise,
                likeness,
                settings.strength,
                sigma_data,
                settings.inner_steps,
                settings.step_size,
            )
        return lambda x, sigma: (guided if low < sigma <= high else denoise)(x, sigma)
