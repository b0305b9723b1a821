"""Where the layout of a reproduced recipe differs from what its source states, in sentences.

What one setting says, `origins` has; here is what no setting, or no single one, can say.
"""

_TIME = (
    "Sinusoids of the noise level, log(sigma)/4, and not of the step t.",
    "Training noise levels are continuous: between two of the 1000 steps too.",
)
_MLP = "An MLP follows the sinusoids, which the source does not mention."
_LINEAR = (
    "A linear layer lies between the embedding of caption or label and the sum with the time's."
)

_A = (
    "The sum of caption and time embedding enters every residual block as a bias; the source "
    "describes it as added to the image before the network.",
    "The way up has transposed convolutions; Ho et al. 2020, whose U-Net the source names, "
    "stretch pixels and convolve.",
    _LINEAR,
    _MLP,
    *_TIME,
)
_B = (
    "Pictures of 28x28 are padded to 32x32 inside, so the three levels and the middle are 32, 16, "
    "8 and 4 pixels wide; the source has 28, 14, 7 and 4.",
    "Two stated up blocks (512 + 256 to 128, 128 + 128 to 128) cannot undo three halvings; a "
    "coarsest one (512 + 512 to 512, in proportion for the class model) comes before them.",
    "Strided convolutions downwards, nearest pixels and a convolution upwards: the source does "
    "not state which kind it has.",
    "Pictures are in [-1, 1] inside; the source has them in [0, 1].",
    _MLP,
    *_TIME,
)
_C = (
    "The levels of attention, the widths after the first and the MLP of each transformer block "
    "are inkling's; with them 115.6M parameters train, where the source has about 114M.",
    *_TIME,
)
_D = (
    "50.6M parameters, where the source has about 50M.",
    "Sums of label and time enter each block as a bias; how they enter is not stated.",
    _LINEAR,
    *_TIME,
)
_E = (
    "One skip connection a level, at the bottommost level too, where the source's drawing has "
    "none; its text does not say how many.",
    _MLP,
    *_TIME,
)

DIFFERENCES: dict[str, tuple[str, ...]] = {
    "mnist-text": (*_A, "500 of the 60,000 pictures are held out for validation."),
    "quickdraw-text": _A,
    "mnist-ddpm": _B,
    "mnist-class": (*_B, _LINEAR),
    "mnist-clip": _B,
    "coco-text": _C,
    "mnist-class-l1": _D,
    "cifar10": _E,
    "celeba": _E,
}
"""By recipe: sentences."""
