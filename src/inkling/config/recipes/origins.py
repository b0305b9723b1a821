"""Where the values of the reproduced recipes come from: stated by the source, in its code, or ours.

A value without an entry is inkling's default, or, where it differs from that, inkling's choice.
Every value that is said to be stated has a row in docs/recipes.md, with the words that state it.
"""

STATED = "as the source states"
CODE = "from the source's code and figures"
OURS = "not stated; chosen by inkling"
HO = "not stated; as in Ho et al. 2020"
_AVERAGE = "not stated; inkling averages always"
_PLAIN = "not stated; plain Adam as usual"
_UNIT = "as the source states, of pictures in [-1, 1] at variance 1; its pixels are in [0, 1]"


def _said(origin: str, *settings: str) -> dict[str, str]:
    return dict.fromkeys(settings, origin)


_COMMON = {
    **_said(STATED, "net.kind", "data.name", "diffusion.prediction", "diffusion.loss"),
    **_said(_PLAIN, "train.betas", "train.weight_decay", "train.warmup", "train.decay"),
    **_said("not stated; each picture its own level", "diffusion.stratified"),
    **_said("a run of so many steps instead", "train.budget"),
    **_said("not stated; as in the code of Ho et al. 2020", "sample.clamp"),
}
_HO_NET = "as in Ho et al. 2020, whose U-Net the source names"
_A = _COMMON | {
    **_said(STATED, "train.batch", "train.optimiser", "train.lr", "train.accumulation"),
    **_said(STATED, "sample.steps", "sample.grid.name"),
    **_said(CODE, "data.size", "data.resize", "net.widths", "net.dropout", "train.ema_decay"),
    **_said(CODE, "diffusion.noise.name", "diffusion.noise.options"),
    **_said(_HO_NET, "net.blocks", "net.middle", "net.embedding", "net.down", "net.skips"),
    "net.up": "chosen by inkling; Ho et al. 2020 stretch pixels and convolve",
    "net.attention": "at two levels in the source's code; which two, chosen by inkling",
    "net.condition": "text and time are added as stated; they enter each block as a bias, not "
    "the image",
    "text.encoder": "pre-trained CLIP as stated; that it stays frozen is inkling's choice",
    "text.model": "not stated which CLIP; chosen by inkling",
    "text.pooled": "not stated; a sum with the time embedding needs one vector a caption",
    "sample.sampler": "not stated by name; the steps it describes, and fresh noise",
}
_MNIST_TEXT = {
    "data.caption": "not stated for MNIST; as for Quick, Draw!",
    "train.steps": f"100 epochs, {CODE}; its text has 250",
}
_QUICKDRAW_TEXT = {"data.caption": STATED, "train.steps": f"250 epochs, {STATED}"}

_TASK_1 = "not stated for this model; as for the unconditional one"
_TASK_2 = "not stated for this model; as for the class-conditional one"
_COMPLETED = "two up blocks as stated; a third, coarsest one undoes the third halving"
_B = _COMMON | {
    **_said(STATED, "data.size", "net.widths", "net.width_change", "net.downsample_last"),
    **_said(STATED, "net.blocks", "net.attention", "net.middle", "net.middle_attention"),
    **_said(STATED, "net.condition", "net.skips", "diffusion.noise.name", "sample.grid.name"),
    **_said(STATED, "train.batch", "train.lr", "sample.sampler", "sample.steps"),
    **_said(_TASK_2, "net.embedding", "net.frequencies"),
    **_said(OURS, "train.optimiser", "net.down", "net.up"),
    "net.up_widths": _COMPLETED,
    "train.ema_decay": _AVERAGE,
}
_MNIST_DDPM = {
    "data.captions": f"unconditional, {STATED}",
    "train.steps": f"15 epochs, {STATED}",
}
_LABEL = {
    "data.caption": f"the class alone, {STATED}",
    **_said(STATED, "text.encoder", "net.embedding", "net.frequencies"),
    "text.width": f"{STATED}; a linear layer lies between it and the sum",
}
_MNIST_CLASS = _LABEL | {
    **_said(_TASK_1, "diffusion.noise.name", "train.batch", "train.lr", "sample.steps"),
    **_said(_TASK_1, "sample.grid.name"),
    "net.widths": "64 first as stated; the others in the proportion of the unconditional model",
    "net.up_widths": "in the proportion of the unconditional model, whose up blocks are stated",
    "train.steps": f"5 epochs, {STATED}",
}
_MNIST_CLIP = {
    **_said(_TASK_1, "diffusion.noise.name", "diffusion.loss", "train.batch", "train.lr"),
    **_said(_TASK_1, "net.widths", "net.up_widths", "train.steps", "sample.steps"),
    "data.captions": f"guides a model that reads no text, {STATED}",
    "sample.clip.model": STATED,
    "sample.clip.form": f"steps on the mean, {STATED}; its printed loop overwrites them",
    **_said(STATED, "sample.clip.inner_steps", "sample.clip.sampler"),
    "sample.clip.steps": _TASK_1,
    **_said(_UNIT, "sample.clip.strength", "sample.clip.step_size"),
    "sample.clip.interval": f"at every level, {STATED}",
}
_C = _COMMON | {
    **_said(STATED, "data.size", "net.cross_attention", "text.encoder", "train.steps"),
    **_said(STATED, "train.accumulation", "train.lr", "train.warmup", "train.caption_drop"),
    **_said(STATED, "train.keep", "sample.steps"),
    **_said(CODE, "train.optimiser", "train.clip", "train.curve", "train.decay"),
    **_said(CODE, "diffusion.noise.name", "diffusion.noise.options", "sample.grid.name"),
    **_said(CODE, "text.max_tokens"),
    **_said(HO, "net.blocks", "net.middle", "net.down", "net.up", "net.skips"),
    "diffusion.prediction": f"{CODE}; its text speaks of the denoised image",
    "text.model": "OpenAI's CLIP as stated; which one, from the 63M parameters of its text part",
    "text.pooled": "tokens through cross-attention as stated; no pooled vector is mentioned",
    "net.widths": "128 first as stated; the others meet the stated 114M parameters",
    "net.attention": "self-attention as stated; on which levels, chosen by inkling",
    "train.batch": "128 as stated; the source may mean 2 x 128 for a step",
    **_said(STATED, "train.previews", "train.preview_count"),
    "train.preview_prompts": "five prompts as the source has; the scenes are inkling's",
    "train.milestones": "not stated; the latest checkpoints alone",
    "train.ema_decay": _AVERAGE,
    "sample.sampler": "not stated by name; a backward process of so many steps",
}
_D = (
    _COMMON
    | _LABEL
    | {
        **_said(STATED, "data.size", "net.widths", "net.downsample_last", "net.blocks"),
        **_said(STATED, "net.attention", "net.up_attention", "net.attention_after", "net.middle"),
        **_said(STATED, "net.middle_attention", "net.embedding_factor", "net.activation"),
        **_said(STATED, "net.standardised", "net.down", "net.up", "net.skips"),
        **_said(STATED, "diffusion.stratified"),
        **_said(STATED, "diffusion.noise.name", "diffusion.noise.options", "train.batch"),
        **_said(STATED, "train.optimiser", "train.lr", "sample.sampler", "sample.steps"),
        **_said(STATED, "sample.grid.name"),
        "net.width_change": "not stated; with it the parameters come near the stated 50M",
        "net.condition": "label and time are added as stated; they enter each block as a bias",
        "train.steps": f"1000 epochs, {STATED}",
        "train.previews": STATED,
        "train.clip": "clipped as the source states; at which norm, chosen by inkling",
        "train.caption_drop": "guidance is on the source's wish list; it needs some labels dropped",
        "train.ema_decay": "averaging is on the source's wish list",
    }
)
_VALUE = "a setting of the source; its value not stated, near Ho et al. 2020"
_E = _COMMON | {
    **_said(STATED, "net.embedding", "net.frequencies", "net.down", "net.up", "net.condition"),
    **_said(STATED, "net.width_change", "net.downsample_last", "net.attention_after"),
    **_said(STATED, "net.middle_attention", "net.up_widths", "net.up_attention"),
    **_said(STATED, "diffusion.noise.name", "diffusion.stratified", "train.batch"),
    **_said(STATED, "sample.sampler"),
    **_said(_VALUE, "net.widths", "net.blocks", "net.attention", "net.middle"),
    **_said(HO, "train.lr", "train.clip", "train.ema_decay", "sample.steps"),
    **_said(OURS, "train.optimiser"),
    "net.skips": "concatenated as stated; one a level, chosen by inkling",
    "sample.grid.name": "not stated; the levels of training, as in Ho et al. 2020",
    "data.captions": "the source's network takes no condition",
    "train.milestones": STATED,
}

ORIGINS: dict[str, dict[str, str]] = {
    "mnist-text": _A | _MNIST_TEXT,
    "quickdraw-text": _A | _QUICKDRAW_TEXT,
    "mnist-ddpm": _B | _MNIST_DDPM,
    "mnist-class": _B | _MNIST_CLASS,
    "mnist-clip": _B | _MNIST_CLIP,
    "coco-text": _C,
    "mnist-class-l1": _D,
    "cifar10": _E | {"train.steps": f"the last row of its table, {STATED}"},
    "celeba": _E | {"train.steps": "not stated for CelebA; as for CIFAR-10", "data.size": OURS},
}
"""By recipe and setting: where a value comes from."""
