"""Where the values of the reproduced recipes come from: stated by the source, in its code, or ours.

A value without an entry is inkling's default, or, where it differs from that, inkling's choice.
"""

STATED = "as the source states"
CODE = "from the source's code and figures"
OURS = "not stated; chosen by inkling"
HO = "not stated; as in Ho et al. 2020"
_SKIPS = "not stated; each block's output goes to its twin on the way up, as in Ho et al. 2020"
_AVERAGE = "not stated; inkling averages always"
_PLAIN = "not stated; plain Adam as usual"
_UNIT = "the source's number, in inkling's unit: of log-likelihood, not of 1 - cosine"


def _said(origin: str, *settings: str) -> dict[str, str]:
    return dict.fromkeys(settings, origin)


_COMMON = {
    **_said(STATED, "data.name", "diffusion.prediction", "diffusion.loss"),
    **_said(_PLAIN, "train.betas", "train.weight_decay", "train.warmup", "train.decay"),
    **_said("not stated; each picture its own level", "diffusion.stratified"),
    **_said("a run of so many steps instead", "train.budget"),
    **_said("not stated; as in the code of Ho et al. 2020", "sample.clamp"),
    "net.skips": _SKIPS,
}
_A = _COMMON | {
    **_said(STATED, "data.caption", "text.encoder", "text.model", "text.pooled"),
    **_said(STATED, "train.batch", "train.optimiser", "train.lr", "sample.sampler"),
    **_said(STATED, "sample.steps"),
    **_said(CODE, "data.size", "data.resize", "net.widths", "net.dropout", "train.ema_decay"),
    **_said(CODE, "diffusion.noise.name", "diffusion.noise.options"),
    **_said(CODE, "sample.grid.name"),
    **_said(HO, "net.blocks", "net.middle"),
    "net.attention": "at two levels in the source's code; which two, chosen by inkling",
    "net.condition": "text and time are added as stated; they enter as a bias",
}
_B = _COMMON | {
    **_said(STATED, "net.widths", "net.blocks", "net.attention", "net.middle", "net.condition"),
    **_said(STATED, "net.middle_attention", "diffusion.noise.name", "sample.grid.name"),
    **_said(STATED, "train.lr", "sample.sampler", "sample.steps"),
    **_said(CODE, "train.batch"),
    **_said(OURS, "train.optimiser"),
    "train.ema_decay": _AVERAGE,
    "data.captions": "unconditional, as the source states",
}
_CLASS = {
    "data.caption": "the class alone, as the source states",
    **_said(STATED, "text.encoder", "net.embedding"),
}
_CLIP = {
    "sample.clip.model": STATED,
    "sample.clip.form": "gradient steps on the estimate: what the source's printed loop means",
    **_said(STATED, "sample.clip.inner_steps", "sample.clip.sampler", "sample.clip.steps"),
    **_said(_UNIT, "sample.clip.strength", "sample.clip.step_size"),
    "sample.clip.interval": "at every level, as the source states",
}
_C = _COMMON | {
    **_said(STATED, "data.size", "net.cross_attention", "text.encoder", "text.model"),
    **_said(STATED, "train.steps", "train.batch", "train.accumulation", "train.lr"),
    **_said(STATED, "train.warmup", "train.caption_drop", "train.keep", "sample.sampler"),
    **_said(STATED, "sample.steps"),
    **_said(CODE, "train.optimiser", "train.clip", "train.curve", "train.decay"),
    **_said(CODE, "diffusion.noise.name", "diffusion.noise.options"),
    **_said(CODE, "sample.grid.name", "text.max_tokens"),
    "text.pooled": "tokens through cross-attention only, as the source states",
    "net.widths": "128 first as stated; the others meet the stated 114M parameters",
    "train.previews": "every 500 steps, as the source states",
    "train.ema_decay": _AVERAGE,
}
_D = (
    _COMMON
    | _CLASS
    | {
        **_said(STATED, "data.size", "net.widths", "net.blocks", "net.attention", "net.middle"),
        **_said(STATED, "net.middle_attention", "net.activation", "net.standardised", "net.down"),
        **_said(STATED, "net.up", "diffusion.noise.name", "diffusion.noise.options", "train.batch"),
        **_said(STATED, "train.optimiser", "train.lr", "sample.sampler", "sample.steps"),
        **_said(STATED, "sample.grid.name"),
        "net.condition": "label and time are added as stated; they enter as a bias",
        "train.clip": "clipped as the source states; at which norm, chosen by inkling",
        "train.caption_drop": "guidance is on the source's wish list; it needs some labels dropped",
        "train.ema_decay": "averaging is on the source's wish list",
    }
)
_VALUE = "a setting of the source; its value not stated, near Ho et al. 2020"
_E = _COMMON | {
    **_said(STATED, "net.embedding", "net.down", "net.up", "net.condition"),
    **_said(STATED, "net.middle_attention", "diffusion.noise.name", "sample.grid.name"),
    **_said(STATED, "train.steps", "train.batch", "sample.sampler"),
    **_said(_VALUE, "net.widths", "net.blocks", "net.attention", "net.middle"),
    **_said(HO, "train.lr", "train.clip", "train.ema_decay", "sample.steps"),
    **_said(OURS, "train.optimiser"),
    "data.captions": "unconditional, as the source states",
}


def _epochs(count: int, origin: str) -> dict[str, str]:
    return {"train.steps": f"{count} epochs, {origin}"}


ORIGINS: dict[str, dict[str, str]] = {
    "mnist-text": _A | _epochs(100, CODE),
    "quickdraw-text": _A | _epochs(250, STATED),
    "mnist-ddpm": _B | _epochs(15, STATED),
    "mnist-class": _B | _CLASS | _epochs(5, STATED),
    "mnist-clip": _B | _CLIP | _epochs(15, STATED),
    "coco-text": _C,
    "mnist-class-l1": _D | _epochs(1000, STATED),
    "cifar10": _E,
    "celeba": _E,
}
"""By recipe and setting: where a value comes from."""
