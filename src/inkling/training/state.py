"""Everything that learns, and what it learns from: made from a recipe or a saved state."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from inkling.config.recipe import Recipe
from inkling.core.ema import Ema
from inkling.data import Pictures
from inkling.errors import UserError
from inkling.models import checkpoint
from inkling.models.build import TextDenoiser, assemble, held_count, read_pictures, text_encoder
from inkling.models.card import facts_of
from inkling.models.checkpoint import Stored
from inkling.nets.unet import Level
from inkling.system import device
from inkling.system.distributed import collected, like, shard, whole
from inkling.training.gradient_step import Optimisation, Work

SHORT = (0.05, 0.1)
"""Widths of the averages from which any longer one can be made."""
_PROGRESS = ("step", "skipped", "in_a_row", "worked", "seconds")
"""The counters of a learner that a training state keeps."""


@dataclass
class Learner:
    """Everything that learns, and what it learns from."""

    recipe: Recipe
    """With every measured value filled in."""
    accelerator: Accelerator
    pictures: Pictures
    validation: Pictures
    model: TextDenoiser
    ema: Ema
    work: Work
    optimisation: Optimisation
    shorts: list[Ema] = field(default_factory=list)
    """Short averages of which snapshots are kept, if any are."""
    step: int = 0
    """Steps done, skipped ones included."""
    skipped: int = 0
    """Steps whose loss or gradient was not finite, so that the weights stayed as they were."""
    in_a_row: int = 0
    """Of these, how many since the last sound one."""
    worked: float = 0.0
    """Seconds spent on steps and between them, pauses for previews left out."""
    seconds: float = 0.0
    """Seconds since the run began, pauses included."""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def conditional(self) -> bool:
        """Whether there is a prompt that the model could follow."""
        return self.pictures.conditional

    @contextmanager
    def averaged(self) -> Iterator[TextDenoiser]:
        """The model with its averaged weights, in eval mode; training weights return after.

        Where weights are shared out, all processes must ask, and each gets a whole copy.
        """
        if self.work.sharded:
            yield self._whole_copy()
            return
        self.ema.swap()
        self.model.eval()
        try:
            yield self.model
        finally:
            self.model.train()
            self.ema.swap()

    def named(self, ema: Ema) -> dict[str, Tensor]:
        """The tensors of an average by the names of the parameters."""
        names = (name for name, _ in self.model.named_parameters())
        return dict(zip(names, ema.average, strict=True))

    @torch.no_grad()
    def _whole_copy(self) -> TextDenoiser:
        """The averaged model, every weight of it on this process."""
        text = text_encoder(self.recipe, vocabulary=self.model.text.vocabulary())
        copy = assemble(self.recipe, text, self.facts["channels"]).to(self.accelerator.device)
        tensors = dict(self.model.named_buffers()) | self.named(self.ema)
        copy.load_state_dict({name: whole(tensors[name]) for name in copy.state_dict()})
        return copy.eval()

    def model_file(self) -> Stored:
        """The model as it is now, for a checkpoint.

        Where weights are shared out, all processes must ask, and the first gets it.
        """
        tensors = {f"raw.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"ema.{name}": tensor for name, tensor in self.named(self.ema).items()}
        tensors = {name: collected(tensor) for name, tensor in tensors.items()}
        facts = self.facts | {
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "skipped": self.skipped,
        }
        return Stored(tensors, self.recipe, self.model.text.vocabulary(), facts, {})

    def save(self, path: str | Path) -> Path:
        """Write the self-describing `model.safetensors` into a run folder and return its path.

        Raises:
            UserError: it cannot be written.
        """
        return checkpoint.save(Path(path) / checkpoint.FILE, self.model_file())

    def state(self, pace: dict[str, Any]) -> Stored:
        """Everything that this run needs to go on as if it had never stopped.

        Order, noise and drops follow from the seed and the step, so they need no place here.
        """
        model = self.model_file()
        optimisers = self.optimisation.tensors()
        progress = {name: getattr(self, name) for name in _PROGRESS} | {"pace": pace}
        kept = {f"optimiser.{name}": tensor for name, tensor in optimisers.items()}
        return model._replace(
            tensors=model.tensors | kept | self.short_averages(), progress=progress
        )

    def short_averages(self) -> dict[str, Tensor]:
        """The short averages by number and name of parameter."""
        return {
            f"short{number}.{name}": collected(tensor)
            for number, short in enumerate(self.shorts)
            for name, tensor in self.named(short).items()
        }

    def average(self) -> None:
        """Take the weights of a sound step into every average."""
        for ema in (self.ema, *self.shorts):
            ema.update(self.step)

    @torch.no_grad()
    def restore(self, stored: Stored) -> None:
        """Go back to where `state` was taken."""
        raw = stored.part("raw")
        for name, tensor in self.model.state_dict().items():
            tensor.copy_(like(raw[name], tensor))
        parts = ["ema", *(f"short{number}" for number in range(len(self.shorts)))]
        for part, ema in zip(parts, (self.ema, *self.shorts), strict=True):
            average = stored.part(part)
            for name, tensor in self.named(ema).items():
                tensor.copy_(like(average[name], tensor))
        self.optimisation.restore(stored.part("optimiser"))
        for name in _PROGRESS:
            setattr(self, name, stored.progress[name])


def prepare(
    recipe: Recipe,
    *,
    device_name: str = "auto",
    start_from: str | Path | None = None,
    resume: Stored | None = None,
) -> Learner:
    """Read the data and build the model, its average, its optimisers and its accelerator.

    Args:
        recipe: what to train.
        device_name: "auto", "cuda", "mps" or "cpu".
        start_from: a run whose averaged weights to begin with.
        resume: the training state to go on from.

    Raises:
        UserError: what the recipe names is not there, or does not fit together.
    """
    if recipe.train.steps == 0 and recipe.train.budget == 0:
        raise UserError("give a run an end: --steps N or --budget 5m")
    accelerator = _accelerator(recipe, device_name)
    pictures, validation = _split(recipe, accelerator)
    if recipe.diffusion.sigma_data == 0:
        measured = round(pictures.sigma_data(), 4)
        diffusion = msgspec.structs.replace(recipe.diffusion, sigma_data=measured)
        recipe = msgspec.structs.replace(recipe, diffusion=diffusion)

    _check_sizes(recipe, max(pictures.shape[1:]))
    source = None if start_from is None else checkpoint.load(Path(start_from))
    if source is not None:
        _check_reading(source.recipe, recipe, start_from)
    known = None if source is None else source.model.text.vocabulary()
    torch.manual_seed(recipe.train.seed)  # for the fresh weights, the one use of torch's own stream
    with accelerator.main_process_first():  # where captions are encoded, one process does it
        text = text_encoder(
            recipe,
            sentences=pictures.sentences,
            vocabulary=known if resume is None else resume.vocabulary,
        )
    model = assemble(recipe, text, pictures.shape[0])
    if source is not None:
        _start_from(model, source, start_from)
    model.to(accelerator.device).train()
    train = recipe.train
    if train.shard and accelerator.num_processes > 1:
        shard(model, (m for m in model.modules() if isinstance(m, Level)), accelerator.device)
    learner = Learner(
        recipe,
        accelerator,
        pictures,
        validation,
        model,
        Ema(model.parameters(), width=train.ema_width, decay=train.ema_decay or None),
        Work(recipe, pictures, model, accelerator),
        Optimisation(recipe, model, accelerator),
        [Ema(model.parameters(), width=width) for width in SHORT if train.snapshots],
        facts=facts_of(pictures, model, accelerator),
    )
    if resume is not None:
        if resume.facts["pictures"] != len(pictures):
            raise UserError(
                f"the run was training on {resume.facts['pictures']:,} pictures, and now there are "
                f"{len(pictures):,}; bring the data back, or start anew with --from this run"
            )
        learner.restore(resume)
    return learner


def _check_sizes(recipe: Recipe, side: int) -> None:
    """Refuse picture sizes that do not grow up to the pictures' own."""
    sizes = recipe.train.sizes
    if sizes and (list(sizes) != sorted(set(sizes)) or sizes[-1] != side):
        raise UserError(
            f"train.sizes is {list(sizes)}; the sizes rise, and the last is the pictures' own, "
            f"{side}: for example [{max(1, side // 2)}, {side}]"
        )


def _check_reading(before: Recipe, now: Recipe, path: object) -> None:
    """Refuse a start from a run that read captions in another way."""
    for name in ("encoder", *(("model", "max_tokens") if now.text.encoder == "frozen" else ())):
        had, has = getattr(before.text, name), getattr(now.text, name)
        if had != has:
            raise UserError(
                f"{path} was trained with text.{name}={had} and cannot start a run with "
                f"text.{name}={has}; use the one of that run"
            )


def _accelerator(recipe: Recipe, device_name: str) -> Accelerator:
    place = device.choose(device_name)
    AcceleratorState._reset_state()  # so that a notebook may train again in another precision
    accelerator = Accelerator(
        cpu=place.type == "cpu",
        mixed_precision=device.precision(recipe.train.precision, place),
    )
    shared = recipe.train.shard and accelerator.num_processes > 1
    if shared and accelerator.mixed_precision == "fp16":
        raise UserError(
            "train.shard=true cannot scale the losses of float16; set train.precision=bfloat16 or "
            "float32"
        )
    share = accelerator.num_processes * recipe.train.accumulation
    if recipe.train.batch % share:
        raise UserError(
            f"train.batch {recipe.train.batch} does not divide over {accelerator.num_processes} "
            f"processes with train.accumulation {recipe.train.accumulation}; use a multiple of "
            f"{share}"
        )
    return accelerator


def _split(recipe: Recipe, accelerator: Accelerator) -> tuple[Pictures, Pictures]:
    """(training pictures, held-out ones) on the device if they fit there."""
    with accelerator.main_process_first():  # one process prepares, the others find it prepared
        everything = read_pictures(recipe.data)
    everything = everything.to(accelerator.device, device.room(accelerator.device))
    held = held_count(recipe.data, len(everything))
    if held >= len(everything):
        raise UserError(
            f"data.validation {held} would leave nothing of {len(everything)} pictures to train on"
        )
    return everything.split(held, recipe.train.seed)


def _start_from(model: TextDenoiser, source: checkpoint.Checkpoint, path: object) -> None:
    given, wanted = source.model.state_dict(), model.state_dict()
    for name, tensor in wanted.items():
        if name not in given or given[name].shape != tensor.shape:
            have = tuple(given[name].shape) if name in given else "missing"
            raise UserError(
                f"the weights of {path} do not fit this recipe: {name} is {have} there and "
                f"{tuple(tensor.shape)} here; use the recipe that run was trained with"
            )
    model.load_state_dict(given)
