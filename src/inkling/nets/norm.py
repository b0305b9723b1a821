"""Group normalisation at the cost of its memory traffic, with scale and shift of each picture.

On the CPU torch's own kernel takes about four times as long in bfloat16 as in float32, and there
several times what reading and writing takes. Sums over positions and one multiply-add do the same.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _Normalised(torch.autograd.Function):
    """`scale (x - mean)/std + shift` over groups of channels (Wu & He 2018, eq. 1 to 3)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, groups: int, eps: float
    ) -> Tensor:  # [B, C, H, W], [B or 1, C] twice
        batch, channels, height, width = x.shape
        exact = x if x.dtype == torch.float64 else x.float()
        rows = exact.permute(0, 2, 3, 1).reshape(batch, -1, channels)  # [B, HW, C]
        moments = _over_groups(torch.stack([rows.sum(1), (rows * rows).sum(1)]), groups)
        mean, square = moments.div_(rows.shape[1] * channels // groups)  # [B, C] each
        inverse = (square - mean * mean).clamp_(min=0).add_(eps).rsqrt_()  # [B, C]
        gain = inverse * scale  # [B, C]
        bias = torch.addcmul(shift, mean, gain, value=-1)  # [B, C]
        ctx.save_for_backward(rows, mean, inverse, scale)
        ctx.groups, ctx.shape, ctx.dtype, ctx.shared = groups, x.shape, x.dtype, len(shift) < batch
        return _as_pictures(torch.addcmul(bias[:, None], rows, gain[:, None]), height, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:  # [B, C, H, W]
        rows, mean, inverse, scale = ctx.saved_tensors
        batch, channels, height, width = ctx.shape
        into = slope.permute(0, 2, 3, 1).reshape(batch, -1, channels)  # [B, HW, C]
        of_shift = into.sum(1)  # [B, C]
        of_scale = torch.addcmul((into * rows).sum(1), mean, of_shift, value=-1).mul_(inverse)
        # dx = inverse (scale dy - <scale dy> - x_hat <scale dy x_hat>), means over the group.
        means = _over_groups(torch.stack([of_shift, of_scale]) * scale, ctx.groups)
        plain, along = means.div_(rows.shape[1] * channels // ctx.groups)  # [B, C] each
        along = along * inverse * inverse
        constant = torch.addcmul(along * mean, inverse, plain, value=-1)
        of_x = torch.addcmul(constant[:, None], rows, along[:, None], value=-1)  # [B, HW, C]
        of_x = of_x.addcmul_(into, (inverse * scale)[:, None])
        if ctx.shared:
            of_scale, of_shift = of_scale.sum(0, keepdim=True), of_shift.sum(0, keepdim=True)
        return _as_pictures(of_x, height, width).to(ctx.dtype), of_scale, of_shift, None, None


def _over_groups(values: Tensor, groups: int) -> Tensor:
    """The sum over each group of channels, at each of its channels: [..., C]."""
    grouped = values.view(*values.shape[:-1], groups, -1)
    return grouped.sum(-1, keepdim=True).expand_as(grouped).reshape(values.shape)


def _as_pictures(rows: Tensor, height: int, width: int) -> Tensor:
    """[B, HW, C] -> [B, C, H, W], its memory as it is (channels_last)."""
    return rows.view(len(rows), height, width, -1).permute(0, 3, 1, 2)


class GroupNorm(nn.GroupNorm):
    """Group normalisation of [B, C, H, W], scaled and shifted for each picture on request."""

    def forward(
        self, input: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        """Normalised pictures; on the CPU in float32, or in float64 if they are.

        Args:
            input: [B, C, H, W].
            scale: [B, C], in place of the learned one.
            shift: [B, C], likewise; both or neither.
        """
        if input.device.type != "cpu":
            normalised = F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
            if scale is None or shift is None:
                return normalised
            return torch.addcmul(shift[:, :, None, None], normalised, scale[:, :, None, None])
        if scale is None or shift is None:
            if self.affine:
                scale, shift = self.weight[None], self.bias[None]
            else:
                scale = input.new_ones(1, self.num_channels)
                shift = torch.zeros_like(scale)
        if input.dtype != torch.float64:  # torch would promote, and keep float64 for its gradients
            scale, shift = scale.float(), shift.float()
        out: Tensor = _Normalised.apply(  # type: ignore[no-untyped-call]
            input, scale, shift, self.num_groups, self.eps
        )
        return out


def group_norm(channels: int, affine: bool = True) -> GroupNorm:
    """Group normalisation with at least four channels a group, in at most 32 groups."""
    groups = math.gcd(channels, 32)
    while groups > 1 and channels // groups < 4:
        groups //= 2
    return GroupNorm(groups, channels, affine=affine)
