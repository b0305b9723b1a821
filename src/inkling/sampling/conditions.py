"""The conditions of a call: of each distinct caption once, then row by row."""

from collections.abc import Mapping, Sequence

import torch

from inkling.contracts import Cond
from inkling.sampling.prompts import Caption, weights_of

Encoded = Mapping[str, Cond]
"""The condition of each distinct caption of a call, as a batch of one."""


def joined(captions: Sequence[Caption], encoded: Encoded) -> Cond:
    """Conditions row by row."""
    wanted = [tuple(sorted(weights_of(caption).items())) for caption in captions]
    distinct = list(dict.fromkeys(wanted))
    each = [
        Cond.mixed([encoded[part] for part, _ in prompt], [weight for _, weight in prompt])
        if len(prompt) > 1 or prompt[0][1] != 1
        else encoded[prompt[0][0]]
        for prompt in distinct
    ]
    rows = torch.tensor([distinct.index(prompt) for prompt in wanted])
    return Cond.joined(each).take(rows)
