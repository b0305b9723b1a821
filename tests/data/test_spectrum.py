"""What pictures are like as a whole, against data whose spectrum is known."""

import pytest
import torch
import torch.nn.functional as F

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
    image = torch.tensor([[0, 0, 9, 9], [0, 0, 9, 9], [9, 0, 0, 0]], dtype=torch.uint8)
    # Six of nine neighbours to the right are equal, and five of eight below.
    assert flat_share(image.expand(1, 3, 3, 4)) == pytest.approx(11 / 17)


def test_drawings_are_told_from_photographs():
    shapes = read("shapes", options=Options(limit=64)).pixels()
    digits = read("digits").pixels()
    noise = torch.randint(0, 256, (64, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    ramp = torch.arange(32).expand(64, 3, 32, 32) * 7  # smooth, but nowhere flat along rows
    assert are_drawings(shapes)
    assert are_drawings(digits)
    assert not are_drawings(noise.to(torch.uint8))
    assert not are_drawings((ramp + ramp.mT).to(torch.uint8))


def test_padding_makes_no_drawing_of_a_photograph():
    noise = torch.randint(0, 256, (8, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    padded = torch.full((8, 3, 24, 16), 255, dtype=torch.uint8)
    padded[:, :, 4:20] = noise.to(torch.uint8)
    assert flat_share(padded) == flat_share(padded.mT) == flat_share(noise.to(torch.uint8)) < 0.01
    assert flat_share(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)) == 1.0


def test_large_pictures_have_the_deviations_of_their_coarse_structure():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(40, 1, 16, 16, generator=generator)
    small, large = (F.interpolate(coarse, (side, side)) for side in (32, 128))
    expected = 4 * principal_deviations(small)[:30]  # sixteen times as many pixels
    torch.testing.assert_close(principal_deviations(large)[:30], expected)


def test_some_pictures_of_many_are_evenly_spread():
    few, many = read("digits", options=Options(limit=10)), read("shapes")
    assert len(some(few)) == len(few)
    assert 0.5 * MEASURED < len(some(many)) <= MEASURED
