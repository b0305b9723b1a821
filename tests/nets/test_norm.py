"""Group normalisation against torch's own, and dropout from a generator of the thread."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from inkling.nets.dropout import Dropout, dropout_from
from inkling.nets.norm import GroupNorm, group_norm


def pictures(shape, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, **options)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(3, 32, 5, 7), (2, 12, 1, 1), (1, 48, 4, 4)])
def test_it_is_torchs_group_norm_with_its_gradients(shape, layout):
    norm = group_norm(shape[1])
    with torch.no_grad():
        norm.weight.copy_(pictures(shape[1], 1))
        norm.bias.copy_(pictures(shape[1], 2))
    x = (3 + 2 * pictures(shape)).contiguous(memory_format=layout).requires_grad_()
    slope = pictures(shape, 3)
    wanted = F.group_norm(x, norm.num_groups, norm.weight, norm.bias)
    found = norm(x)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    over = (x, norm.weight, norm.bias)
    for ours, theirs in zip(
        torch.autograd.grad(found, over, slope),
        torch.autograd.grad(wanted, over, slope),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-4)


def test_scale_and_shift_of_each_picture_have_the_gradients_of_finite_differences():
    norm = GroupNorm(2, 6, affine=False)
    inputs = [
        pictures(shape, seed, dtype=torch.float64).requires_grad_()
        for seed, shape in enumerate([(2, 6, 3, 2), (2, 6), (2, 6)])
    ]
    assert gradcheck(norm, inputs)
    x, scale, shift = inputs
    wanted = F.group_norm(x, 2) * scale[..., None, None] + shift[..., None, None]
    torch.testing.assert_close(norm(*inputs), wanted)


def test_bfloat16_is_normalised_in_float32():
    norm = group_norm(16)
    x = (10 + pictures((2, 16, 8, 8))).bfloat16()
    assert norm(x).dtype == torch.float32
    torch.testing.assert_close(norm(x), norm(x.float()))


def test_a_constant_picture_has_no_spread_and_stays_finite():
    x = torch.full((1, 8, 4, 4), 1000.1).requires_grad_()
    norm = group_norm(8)
    assert norm(x).isfinite().all()
    assert torch.autograd.grad(norm(x).sum(), x)[0].isfinite().all()


def test_masks_of_dropout_follow_from_the_generator_and_not_from_torchs_own():
    drop, x = Dropout(0.3), torch.ones(4000)
    found = []
    for _ in range(2):
        torch.rand(3)
        with dropout_from(torch.Generator().manual_seed(5)):
            found.append(drop(x))
    assert torch.equal(*found)
    assert (found[0] == 0).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert found[0].mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(x), x)
