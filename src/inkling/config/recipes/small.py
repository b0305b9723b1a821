"""Any recipe made small: what it is stays, what it costs shrinks to minutes on a laptop."""

from msgspec.structs import replace

from inkling.config.recipe import Recipe

_SIDE = 64
"""Height and width at most."""
_NARROW = 96
"""Widths up to this are those of a recipe for laptops."""
_ATTENDED = 16
"""Side of the finest level that may have attention: its cost grows with the fourth power."""


def small(recipe: Recipe, budget: float = 120) -> Recipe:
    """The recipe in a size for a trial.

    Prediction, loss, schedule, conditioning and the kinds of layers stay. Widths, blocks and
    pictures shrink, and so does what only suits long runs: tiny learning rates, long averages,
    a thousand steps a picture.

    Args:
        recipe: any.
        budget: seconds to train for.
    """
    size = recipe.data.size and min(recipe.data.size, _SIDE)
    net, train, sample = recipe.net, recipe.train, recipe.sample
    narrow = max(net.widths) <= _NARROW
    patch = net.patch if narrow else max(net.patch, 2 if (size or _SIDE // 2) > _ATTENDED else 1)
    finest = (size or _SIDE // 2) // patch
    levels = range(len(net.widths))
    return replace(
        recipe,
        expected=f"a trial of {budget:g} s on two CPU cores",
        data=replace(recipe.data, size=size),
        net=replace(
            net,
            widths=tuple(
                min(width, 32 if level == 0 else 64)
                for level, width in zip(levels, net.widths, strict=True)
            ),
            blocks=tuple(min(count, 1) for count in net.blocks),
            attention=tuple(
                attends and finest >> level <= _ATTENDED
                for level, attends in zip(levels, net.attention, strict=True)
            ),
            head_width=min(net.head_width, 32),
            middle=min(net.middle, 1),
            embedding=min(net.embedding, 128),
            patch=patch,
        ),
        train=replace(
            train,
            steps=0,
            sizes=tuple(side for side in train.sizes if side <= _SIDE),
            budget=budget,
            batch=min(train.batch, 64),
            accumulation=1,
            optimiser="muon",
            lr=5e-3,
            muon_lr=0.008,
            betas=(0.9, 0.99),
            warmup=min(train.warmup, 50),
            decay=0.8,
            curve="linear",
            ema_decay=0.0,
            previews=min(train.previews, 6),
        ),
        sample=replace(
            sample,
            sampler="ddim" if sample.sampler == "ddpm" else sample.sampler,
            steps=min(sample.steps, 30),
            clip=replace(sample.clip, steps=min(sample.clip.steps, 40)),
        ),
    )
