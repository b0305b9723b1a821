"""Trains a small CLIP from scratch: which captions belong to which pictures?

`fit_clip(recipe)` yields after every step, as `fit` does; `Towering.save` writes a folder that
`transformers.CLIPModel` and `inkling.clip.Clip` read.
"""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from msgspec.structs import replace
from tokenizers import processors
from torch import Tensor, nn

from inkling.config.clip_recipe import ClipRecipe
from inkling.config.overrides import to_json
from inkling.core.augment import jittered
from inkling.core.ema import Ema
from inkling.core.muon import Muon
from inkling.core.rng import stream
from inkling.data.pictures import Feed, Pictures
from inkling.errors import UserError
from inkling.models import clip
from inkling.models.build import read_pictures, schedule
from inkling.models.clip import Clip, Known
from inkling.system import device
from inkling.text.pretrained import library
from inkling.text.transformer import byte_level_bpe, words_of
from inkling.training.budget import learning_rate_factor

_END = "<end>"
_PAD = "<pad>"
_HOTTEST = math.log(100)
"""The largest logarithm of the logit scale (Radford et al. 2021, section 2.5)."""
_TRAINED = 0.98
"""Share of a budget for training; the rest is for testing and writing."""
_TESTED = 10_000
"""Pictures at most on which retrieval is measured."""
_CARRIED = 2000
"""Distinct captions at most that the folder remembers."""
_OUTER = ("embedding", "projection", "logit_scale")
"""Parameters whose names hold one of these are first and last layers: AdamW's."""


@dataclass
class Learnt:
    """What `fit_clip` yields after every step."""

    step: int
    total: int | None
    """Steps of the whole run; None while the speed is measured."""
    loss: Tensor
    """[] of this step."""
    seconds: float
    eta: float | None
    clip: Clip
    recipe: ClipRecipe

    def save(self, folder: Path, facts: dict[str, Any]) -> Path:
        """Write the model (averaged at the last step), its tokenizer and what it knows.

        Args:
            folder: where to.
            facts: what else to note, JSON-able.

        Raises:
            UserError: it cannot be written.
        """
        look = {
            "image_processor_type": "CLIPImageProcessor",
            "image_mean": self.clip.mean.flatten().tolist(),
            "image_std": self.clip.std.flatten().tolist(),
            "size": {"height": self.clip.side, "width": self.clip.side},
            "do_center_crop": False,
        }
        notes = {
            "recipe": json.loads(to_json(self.recipe)),
            "known": self.clip.known._asdict(),
            "facts": facts,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.clip.model.save_pretrained(folder)
            self.clip.tokenizer.save_pretrained(folder)
            (folder / "preprocessor_config.json").write_text(json.dumps(look, indent=2), "utf-8")
            (folder / clip.NOTES).write_text(json.dumps(notes, indent=2), "utf-8")
        except OSError as error:
            raise UserError(f"cannot write the CLIP to {folder}: {error.strerror}") from None
        return folder


def fit_clip(
    recipe: ClipRecipe, *, device_name: str = "auto", started: float | None = None
) -> Iterator[Learnt]:
    """Train a CLIP; yields after every step. At the last, its averaged weights are in place.

    Args:
        recipe: what to train.
        device_name: "auto", "cuda", "mps" or "cpu".
        started: `time.monotonic()` from which the budget counts; now, if not given.

    Raises:
        UserError: pictures without captions, or not square; a library is missing.
    """
    started = time.monotonic() if started is None else started
    if recipe.train.steps == 0 and recipe.train.budget == 0:
        raise UserError("give a run an end: --steps N or --budget 5m")
    place = device.choose(device_name)
    pictures = read_pictures(recipe.data)
    _, height, width = pictures.shape
    if not pictures.conditional:
        raise UserError("these pictures have no captions, and a CLIP learns what captions mean")
    if height != width:
        raise UserError(f"a CLIP reads square pictures, not {width}x{height}; set data.size=32")
    pictures = pictures.to(place, device.room(place))
    torch.manual_seed(recipe.train.seed)
    reader = build(recipe, pictures)
    reader.model.to(place).train()
    lesson = Lesson(recipe, pictures, reader)
    ema = Ema(reader.model.parameters(), width=0.05)
    optimisers = _optimisers(recipe, reader.model)
    peaks = [optimiser.param_groups[0]["lr"] for optimiser in optimisers]
    total, step, first = recipe.train.steps or None, 0, started
    while total is None or step < total:
        factor = learning_rate_factor(step, total, recipe.train.warmup, recipe.train.decay)
        loss = lesson.loss(step)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser, peak in zip(optimisers, peaks, strict=True):
            optimiser.param_groups[0]["lr"] = peak * factor
            optimiser.step()
            optimiser.zero_grad()
        with torch.no_grad():
            reader.model.logit_scale.clamp_(max=_HOTTEST)
        step += 1
        ema.update(step)
        now = time.monotonic()
        if step == 3:
            first = now  # the first steps allocate
        measured = total is None and step > 5 and now - started > 0.08 * recipe.train.budget
        # On a machine that has changed its speed the count is corrected on the way.
        if measured or (not recipe.train.steps and total and step in (total // 2, total * 4 // 5)):
            left = recipe.train.budget * _TRAINED - (now - started)
            total = step + max(1, int(left * (step - 3) / (now - first)))
        if step == total:
            ema.swap()
            reader.model.eval()
        eta = None if total is None else (total - step) * (now - first) / max(step - 3, 1)
        yield Learnt(step, total, loss.detach(), now - started, eta, reader, recipe)


def build(recipe: ClipRecipe, pictures: Pictures) -> Clip:
    """A CLIP with fresh weights for these pictures and captions."""
    models = library()
    towers = recipe.towers
    channels, side, _ = pictures.shape
    patch = towers.patch or max(1, side // 4)
    if patch > side:
        raise UserError(
            f"towers.patch {patch} is larger than the pictures, {side}; use {side // 4}"
        )
    tokenizer = byte_level_bpe(pictures.sentences, towers.vocabulary_size, (_PAD, _END))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {_END}", special_tokens=[(_END, 1)]
    )
    wrapped = models.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        eos_token=_END,
        model_max_length=towers.max_tokens,
    )
    tower = {
        "hidden_size": towers.width,
        "intermediate_size": 4 * towers.width,
        "num_attention_heads": towers.heads,
        "projection_dim": towers.width,
    }
    config = models.CLIPConfig(
        text_config={
            **tower,
            "num_hidden_layers": towers.text_layers,
            "vocab_size": len(wrapped),
            "max_position_embeddings": towers.max_tokens,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 1,
        },
        vision_config={
            **tower,
            "num_hidden_layers": towers.layers,
            "num_channels": channels,
            "image_size": side // patch * patch,
            "patch_size": patch,
        },
        projection_dim=towers.width,
        logit_scale_init_value=math.log(10),
    )
    # Plain attention: at short sequences faster on a CPU than the fused kernel.
    model = models.CLIPModel._from_config(config, attn_implementation="eager")
    few = len(pictures.sentences) <= _CARRIED
    known = Known(
        classes=pictures.classes,
        groups=pictures.groups if few else (),
        words=tuple(sorted(words_of(pictures.sentences))) if few else (),
        noisy=recipe.train.noisy > 0,
    )
    half = [0.5] * channels
    return Clip(model, wrapped, {"image_mean": half, "image_std": half}, known)


class Lesson:
    """The loss of every step: noise, order and jitter follow from the seed and the step."""

    def __init__(self, recipe: ClipRecipe, pictures: Pictures, reader: Clip):
        self.recipe, self.pictures, self.reader = recipe, pictures, reader
        self.feed = Feed(pictures, recipe.train.seed)
        self.law = schedule(recipe.train.noise)
        self.batch = min(recipe.train.batch, len(pictures))
        rows = {sentence: row for row, sentence in enumerate(pictures.sentences)}
        most = max(map(len, pictures.groups))
        self.members = torch.full((len(pictures.groups), most), -1)
        for number, group in enumerate(pictures.groups):
            self.members[number, : len(group)] = torch.tensor([rows[each] for each in group])
        self.group_of = pictures.group

    def loss(self, step: int) -> Tensor:
        """Cross-entropy both ways, all captions of a picture's group positive.

        Radford et al. 2021, figure 3, with the targets of Khosla et al. 2020, eq. 2: what says the
        same of a picture shares the probability.
        """
        train, reader, batch = self.recipe.train, self.reader, self.batch
        generator = stream(train.seed, "contrast", step)
        wording, mirror, noisy, level = torch.rand(4, batch, generator=generator)
        mirrored = mirror < 0.5 if self.pictures.mirror else None
        taken = self.feed.batch(step * batch, batch, wording, mirrored)
        x = taken.images.to(reader.device).float() / 127.5 - 1
        j = train.jitter
        if j:
            x = jittered(x, generator, angle=0.2 * j, scale=0.1 * j, shift=0.14 * j)
        sigma = torch.where(noisy < train.noisy, self.law.sigma(level), 0.0).float()
        noise = torch.randn(x.shape, generator=generator).to(x)
        sigma = sigma.to(x)
        needed = torch.unique(taken.captions)  # [M]
        said = [self.pictures.sentences[row] for row in needed.tolist()]
        groups = self.group_of[self.feed.rows(step * batch, batch)]  # [B]
        fits = (self.members[groups][:, :, None] == needed).any(1).to(x)  # [B, M]
        seen = reader.look(x + sigma.view(-1, 1, 1, 1) * noise, sigma)  # [B, D]
        logits = reader.scale * seen @ reader.read(said).T  # [B, M]
        to_text = F.cross_entropy(logits, fits / fits.sum(1, keepdim=True))
        to_picture = F.cross_entropy(logits.T, fits.T / fits.T.sum(1, keepdim=True))
        return (to_text + to_picture) / 2


def _optimisers(recipe: ClipRecipe, model: nn.Module) -> list[torch.optim.Optimizer]:
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in model.named_parameters():
        hidden = parameter.ndim >= 2 and not any(part in name for part in _OUTER)
        (matrices if hidden else others).append(parameter)
    train = recipe.train
    adam = torch.optim.AdamW(
        others, train.lr, betas=(0.9, 0.98), weight_decay=train.weight_decay, fused=True
    )
    return [adam, Muon(matrices, train.muon_lr)]


def retrieval(reader: Clip, pictures: Pictures, among: int = 10, seed: int = 0) -> float:
    """Share of pictures whose own caption is found among `among` captions.

    In a set with classes the others are those of the other classes; elsewhere they are drawn.
    """
    reader.model.eval()
    if len(pictures) > _TESTED:
        generator = torch.Generator().manual_seed(seed)
        pictures = pictures.take(torch.randperm(len(pictures), generator=generator)[:_TESTED])
    images = pictures.pixels()
    if 1 < len(pictures.classes) <= among:
        found = reader.verdicts(images, pictures.classes)
        return float((found == pictures.labels).double().mean())
    generator = torch.Generator().manual_seed(seed)
    firsts = [group[0] for group in pictures.groups]
    with torch.no_grad():
        texts = torch.cat([reader.read(firsts[i : i + 500]) for i in range(0, len(firsts), 500)])
        right = []
        for part in torch.split(torch.arange(len(pictures)), 250):
            seen = reader.look(images[part].to(reader.device).float() / 127.5 - 1)  # [B, D]
            own = pictures.group[part]
            others = torch.randint(len(firsts) - 1, (len(part), among - 1), generator=generator)
            others += (others >= own[:, None]).long()  # any but its own
            asked = texts[torch.cat([own[:, None], others], 1)]  # [B, among, D]
            right.append((asked @ seen[:, :, None]).squeeze(2).argmax(1) == 0)
    return float(torch.cat(right).double().mean())


def recipe_for_clip(name: str, data: Any) -> ClipRecipe:
    """The training of a CLIP for any captioned set."""
    return replace(
        ClipRecipe(
            name=name,
            source="inkling's own: CLIP (Radford et al. 2021) with all fitting captions positive",
        ),
        data=data,
    )
