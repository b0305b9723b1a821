"""Sampling over several processes: each takes every n-th image, and then all have all of them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from inkling.config.sample import Sample
from inkling.core.rng import Seed
from inkling.sampling.clip_guidance import Guide
from inkling.sampling.pipeline import TextToImage
from inkling.sampling.prompts import Prompt
from inkling.system.distributed import process_count


def sample_all(
    pipeline: TextToImage,
    captions: Sequence[Prompt],
    seeds: Sequence[Seed],
    settings: Sample,
    guide: Guide | None = None,
    *,
    advance: Callable[[int], None] = lambda count: None,
) -> Tensor:
    """All pictures, uint8 [N, C, H, W], on every process.

    A picture follows from its seed, so it does not matter which process samples it.

    Args:
        pipeline: the model.
        captions: N of them.
        seeds: N of them.
        settings: how to sample.
        guide: a CLIP, as in `TextToImage.steps`.
        advance: told how many more pictures of this process are done.
    """
    rank, count, state = 0, process_count(), None
    if count > 1:
        from accelerate import PartialState

        state = PartialState(cpu=pipeline.device.type == "cpu")
        rank = state.process_index
    mine = range(rank, len(captions), count)
    parts = []
    for images in pipeline.batches(
        [captions[row] for row in mine],
        seeds=[seeds[row] for row in mine],
        settings=settings,
        guide=guide,
    ):
        parts.append(images)
        advance(len(images))
    height, width = settings.size or pipeline.shape[1:]
    empty = torch.zeros(0, pipeline.shape[0], height, width, dtype=torch.uint8)
    samples = torch.cat([empty, *parts])
    if state is None:
        return samples
    from accelerate.utils import gather_object

    everything = samples.new_empty(len(captions), *samples.shape[1:])
    for row, part in enumerate(gather_object([samples])):
        everything[row::count] = part
    return everything
