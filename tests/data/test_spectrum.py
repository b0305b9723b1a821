"""What pictures are like as a whole, against data whose spectrum is known."""

import pytest
import torch

from inkling.data import Options, read
from inkling.data.spectrum import (
    MEASURED,
    are_drawings,
    deviation_at,
    flat_share,
    principal_deviations,
    some,
)


@pytest.mark.parametrize("count", [40, 4000])  # fewer pictures than numbers, and more
def test_principal_deviations_are_those_the_data_were_made_with(count):
    wanted = torch.tensor([8.0, 3.0, 0.5], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(60, 3, generator=generator, dtype=torch.float64)).Q
    scores = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    scores = torch.linalg.qr(scores - scores.mean(0)).Q * count**0.5  # exactly uncorrelated
    data = (scores * wanted) @ axes.T + 5.0
    found = principal_deviations(data.view(count, 1, 6, 10))
    torch.testing.assert_close(found[:3], wanted)
    assert len(found) == min(count, 60)
    assert found[3:].max() < 1e-6


def test_the_deviation_at_a_share_of_the_variance():
    deviations = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)  # variances 9, 4, 1 of 14
    assert deviation_at(deviations, 0.5) == 3.0
    assert deviation_at(deviations, 0.7) == 2.0
    assert deviation_at(deviations, 0.95) == 1.0


def test_neighbouring_pixels_that_are_equal():
    stripes = torch.tensor([[0, 0, 9, 9]], dtype=torch.uint8).expand(1, 3, 2, 4)
    # Two of three neighbours to the right are equal, and all below.
    assert flat_share(stripes) == pytest.approx((2 / 3 + 1) / 2)


def test_drawings_are_told_from_photographs():
    shapes = read("shapes", options=Options(limit=64)).pixels()
    digits = read("digits").pixels()
    noise = torch.randint(0, 256, (64, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    ramp = torch.arange(32).expand(64, 3, 32, 32) * 7  # smooth, but nowhere flat along rows
    assert are_drawings(shapes)
    assert are_drawings(digits)
    assert not are_drawings(noise.to(torch.uint8))
    assert not are_drawings((ramp + ramp.mT).to(torch.uint8))


def test_some_pictures_of_many_are_evenly_spread():
    few, many = read("digits", options=Options(limit=10)), read("shapes")
    assert len(some(few)) == len(few)
    assert 0.5 * MEASURED < len(some(many)) <= MEASURED
