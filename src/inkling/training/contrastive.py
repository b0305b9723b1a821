"""The objective of a CLIP: which captions belong to which pictures?"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkling.config.clip_recipe import ClipRecipe
from inkling.config.overrides import to_json
from inkling.config.recipe import RunRecipe
from inkling.core.augment import jitter_draws, jittered
from inkling.core.rng import row_noise, stream
from inkling.data import Pictures
from inkling.data.pictures import Feed
from inkling.errors import UserError
from inkling.models import checkpoint
from inkling.models.build import noise_schedule
from inkling.models.checkpoint import Checkpoint
from inkling.models.clip import Clip
from inkling.models.new_clip import clip_from_vocabulary, known_of, new_clip
from inkling.pixels import from_bytes
from inkling.system.distributed import gather_rows
from inkling.training.objective import (
    Autocast,
    BuildInputs,
    GradientStep,
    Objective,
    Validation,
)

_HOTTEST = math.log(100)
"""The largest logarithm of the logit scale (Radford et al. 2021, section 2.5)."""
_TESTED = 10_000
"""Pictures at most on which retrieval is measured."""
_BATCH, _TEXTS = 250, 500
"""Pictures and captions that are encoded at a time."""


class ClipObjective(Objective):
    """Trains a `Clip`, half of its pictures under noise, so that it can guide at every level."""

    recipe_type = ClipRecipe
    needs_whole_batch = True
    can_be_sharded = False  # its logit scale is a scalar, which has no rows
    recipe: ClipRecipe
    model: Clip

    def __init__(self, recipe: ClipRecipe, pictures: Pictures, model: Clip):
        super().__init__()
        self.recipe, self.pictures, self.model = recipe, pictures, model
        self._feed = Feed(pictures, recipe.train.seed)
        self._schedule = noise_schedule(recipe.contrast.noise)
        rows = {sentence: row for row, sentence in enumerate(pictures.sentences)}
        most = max(map(len, pictures.groups))
        self.members = torch.full((len(pictures.groups), most), -1)
        """[groups, most]: rows of the sentences that describe each group, then -1."""
        for number, group in enumerate(pictures.groups):
            self.members[number, : len(group)] = torch.tensor([rows[each] for each in group])

    @classmethod
    def build(cls, recipe: RunRecipe, given: BuildInputs) -> Self:
        assert isinstance(recipe, ClipRecipe), "a CLIP is trained by its own kind of recipe"
        pictures, device, stored, _ = given
        channels, height, width = pictures.shape
        if not pictures.conditional:
            raise UserError("these pictures have no captions, and a CLIP learns what captions mean")
        if len(pictures.groups) < 2:
            raise UserError(
                "all these pictures have the same caption, so there is nothing to tell apart"
            )
        if height != width:
            raise UserError(f"a CLIP reads square pictures, not {width}x{height}; set data.size=32")
        torch.manual_seed(recipe.train.seed)  # for the fresh weights
        if stored is None:
            model = new_clip(recipe, pictures)
        else:
            model = clip_from_vocabulary(recipe, channels, height, stored.vocabulary)
            model.known = known_of(recipe, pictures)
        return cls(recipe, pictures, model.to(device))

    def inputs(self, step: GradientStep) -> tuple[Tensor, ...]:
        """(x [b, C, H, W], sigma [b], ids, mask [M, L], fits [b, M], fits of all [B, M]).

        Every process reads all captions of the batch, and its own pictures.
        """
        train, contrast, batch, rows = (
            self.recipe.train,
            self.recipe.contrast,
            step.batch,
            step.rows,
        )
        device = self.model.device
        generator = stream(train.seed, "contrast", step.step)
        wording, mirror, noisy, level = torch.rand(4, batch, generator=generator)
        mirrored = (mirror < 0.5)[rows] if self.pictures.mirror else None
        taken = self._feed.batch(step.first + rows.start, wording[rows], mirrored)
        x = from_bytes(taken.images.to(device))
        j, moves = contrast.jitter, jitter_draws(batch, generator)[:, rows]
        if j:
            x = jittered(x, j * moves)
        sigma = torch.where(noisy < contrast.noisy, self._schedule.sigma(level), 0.0).float()[rows]
        sigma = sigma.to(x)
        noise = row_noise(x.shape[1:], rows, train.seed, "noise", step.step, device=device)
        captions, groups = self._feed.captions(step.first, wording)
        needed = torch.unique(captions)  # [M]
        ids, mask = self.model.tokenize([self.pictures.sentences[row] for row in needed.tolist()])
        fits = (self.members[groups][:, :, None] == needed).any(1).to(x)  # [B, M]
        return x + sigma.view(-1, 1, 1, 1) * noise, sigma, ids, mask, fits[rows], fits

    def forward(self, *inputs: Tensor) -> Tensor:
        """Cross-entropy both ways, all captions of a picture's group positive, [b].

        Radford et al. 2021, figure 3, with the targets of Khosla et al. 2020, eq. 2: captions with
        the same meaning share the probability.
        """
        x, sigma, ids, mask, own, fits = inputs
        seen = self.model.encode_images(x, sigma)  # [b, D]
        texts = self.model.encode_ids(ids, mask)  # [M, D]
        scale = self.model.scale
        to_text = F.cross_entropy(
            scale * seen @ texts.T, own / own.sum(1, keepdim=True), reduction="none"
        )  # [b]
        to_picture = F.cross_entropy(
            scale * texts @ gather_rows(seen).T, fits.T / fits.T.sum(1, keepdim=True)
        )  # []
        return (to_text + to_picture) / 2

    @torch.no_grad()
    def validate(self, model: nn.Module, pictures: Pictures, autocast: Autocast) -> Validation:
        assert isinstance(model, Clip), "a copy of the model is of its kind"
        found, loss = retrieval(model, pictures), held_out_loss(model, pictures)
        return Validation(
            loss=loss,
            scores={"retrieval": found},
            text=f"{found:.2%} find their caption among 10",
        )

    def blank_model(self) -> nn.Module:
        channels, side, _ = self.pictures.shape
        blank = clip_from_vocabulary(self.recipe, channels, side, self.vocabulary())
        return blank.to(self.model.device)

    def hidden_matrices(self) -> list[nn.Parameter]:
        return self.model.hidden_matrices()

    def vocabulary(self) -> str:
        return self.model.vocabulary()

    @torch.no_grad()
    def after_step(self) -> None:
        self.model.model.logit_scale.clamp_(max=_HOTTEST)

    def save(self, folder: Path, contents: Checkpoint) -> Path:
        """Write the averaged CLIP in the format of transformers, and what it knows."""
        channels, side, _ = self.pictures.shape
        finished = clip_from_vocabulary(self.recipe, channels, side, contents.vocabulary)
        finished.load_state_dict(contents.part("raw") | contents.part("ema"))
        card = contents.card
        facts: Mapping[str, float] = {"steps": card.steps, "seconds": card.seconds, **card.scores}
        finished.save(folder, {"recipe": json.loads(to_json(self.recipe)), "facts": facts})
        return folder / checkpoint.FILE


@torch.no_grad()
def retrieval(clip: Clip, pictures: Pictures, among: int = 10, seed: int = 0) -> float:
    """Fraction of pictures whose own caption is nearer than every other of `among` captions.

    In a set with classes the others are those of the other classes; elsewhere they are random. A
    tie is not found, and neither is a cosine that is not a number.
    """
    generator = torch.Generator().manual_seed(seed)
    if len(pictures) > _TESTED:
        pictures = pictures.take(torch.randperm(len(pictures), generator=generator)[:_TESTED])
    if 1 < len(pictures.classes) <= among:
        pictures = pictures.take(torch.where(pictures.labels >= 0)[0])
        firsts, numbers = pictures.classes, pictures.labels
    else:
        firsts, numbers = pictures.distinct_captions()
    texts = encoded(clip, firsts)  # [M, D]
    right = []
    for rows in torch.split(torch.arange(len(pictures)), _BATCH):
        seen = clip.encode_images(from_bytes(pictures.at(rows).to(clip.device)))  # [B, D]
        own = numbers[rows]  # [B]
        others = torch.randint(len(firsts) - 1, (len(rows), among - 1), generator=generator)
        if len(firsts) <= among:  # all of them
            others = torch.arange(len(firsts) - 1).expand(len(rows), -1)
        others = others + (others >= own[:, None]).long()  # any but its own
        candidates = texts[torch.cat([own[:, None], others], 1)]  # [B, among, D]
        cosines = (candidates @ seen[:, :, None]).squeeze(2)  # [B, among]
        right.append((cosines[:, :1] > cosines[:, 1:]).all(1))
    return float(torch.cat(right).double().mean())


def encoded(clip: Clip, captions: Sequence[str]) -> Tensor:
    """The text embeddings of many captions, [M, D]."""
    parts = [captions[i : i + _TEXTS] for i in range(0, len(captions), _TEXTS)]
    return torch.cat([clip.encode_text(part) for part in parts])


@torch.no_grad()
def held_out_loss(clip: Clip, pictures: Pictures) -> float:
    """Cross-entropy of each picture's own caption among one caption of every group."""
    captions, own = pictures.distinct_captions()
    texts = encoded(clip, captions)  # [M, D]
    losses = []
    for rows in torch.split(torch.arange(len(pictures)), _BATCH):
        seen = clip.encode_images(from_bytes(pictures.at(rows).to(clip.device)))  # [B, D]
        logits = clip.scale * seen @ texts.T  # [B, M]
        losses.append(F.cross_entropy(logits, own[rows].to(clip.device), reduction="none"))
    return torch.cat(losses).mean().item()
