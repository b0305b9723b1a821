"""The network: shapes at every setting, gradients everywhere, padding that changes nothing."""

from itertools import product

import pytest
import torch

from inkling.contracts import Cond
from inkling.nets import UNet, UNetConfig
from inkling.nets.blocks import attend

NAMES = ("condition", "cross_attention", "patch", "positions", "template", "middle")
SETTINGS = [
    dict(zip(NAMES, values, strict=True))
    for values in product(("film", "add"), (False, True), (1, 2), (0, 8), (0, 3), (0, 1, 2))
]

WAYS = [
    {
        "down": down,
        "up": up,
        "standardised": standardised,
        "activation": activation,
        "middle": middle,
        "middle_attention": middle != 1,
        "feedforward": feedforward,
        "cross_attention": cross,
        "skips": skips,
    }
    for down, up, standardised, activation, middle, (feedforward, cross), skips in product(
        ("shuffle", "conv", "average"),
        ("shuffle", "nearest", "bilinear", "transposed"),
        (False, True),
        ("silu", "gelu"),
        (0, 1, 3),
        ((0, False), (2, False), (2, True)),
        ("join", "concat"),
    )
]


def build(channels=1, **settings):
    torch.manual_seed(0)
    fields = {
        "widths": (8, 16),
        "blocks": (1, 2),
        "attention": (False, True),
        "embedding": 16,
        "head_width": 8,
    }
    return UNet(channels, 6, UNetConfig(**(fields | settings)))


def condition(batch, tokens=3):
    generator = torch.Generator().manual_seed(1)
    return Cond(
        torch.randn(batch, 6, generator=generator),
        torch.randn(batch, tokens, 6, generator=generator),
        torch.ones(batch, tokens, dtype=torch.bool),
    )


def shaken(network):
    """The network with its zeroed layers filled, as if it had been trained for a while."""
    generator = torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize(
    "settings", [*SETTINGS, *WAYS], ids=lambda s: "-".join(map(str, s.values()))
)
def test_every_combination_runs_and_every_parameter_learns(settings):
    network = shaken(build(**settings))
    x = torch.randn(2, 1, 8, 8)
    out = network(x, torch.zeros(2), condition(2))
    assert out.shape == x.shape
    out.square().sum().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(8, 8), (12, 20), (7, 9), (28, 28), (1, 3)])
def test_any_channels_and_any_size(channels, size):
    network = shaken(build(channels, patch=2, positions=8, template=3))
    x = torch.randn(2, channels, *size)
    assert network(x, torch.zeros(2), condition(2)).shape == x.shape


def test_a_fresh_network_says_zero():
    out = build()(torch.randn(2, 1, 8, 8), torch.zeros(2), condition(2))
    assert torch.equal(out, torch.zeros_like(out))


def test_noise_level_and_caption_change_the_output():
    network = shaken(build())
    x, cond = torch.randn(1, 1, 8, 8), condition(1)
    plain = network(x, torch.zeros(1), cond)
    assert not torch.allclose(plain, network(x, torch.ones(1), cond))
    assert not torch.allclose(plain, network(x, torch.zeros(1), cond._replace(vector=-cond.vector)))


def test_only_cross_attention_reads_tokens():
    x, cond = torch.randn(1, 1, 8, 8), condition(1)
    other = cond._replace(tokens=cond.tokens + 1)
    for reads in (False, True):
        network = shaken(build(cross_attention=reads))
        same = torch.equal(network(x, torch.zeros(1), cond), network(x, torch.zeros(1), other))
        assert same != reads


def test_padded_tokens_change_nothing():
    network = shaken(build(cross_attention=True))
    x, cond = torch.randn(1, 1, 8, 8), condition(1)
    padded = cond.padded(9)
    padded.tokens[:, 3:] = 7.0
    torch.testing.assert_close(
        network(x, torch.zeros(1), cond), network(x, torch.zeros(1), padded), rtol=0, atol=1e-6
    )


def test_images_do_not_see_their_batch():
    network = shaken(build())
    x, cond = torch.randn(4, 1, 8, 8), condition(4)
    together = network(x, torch.zeros(4), cond)[2:3]
    alone = network(x[2:3], torch.zeros(1), cond.take(torch.tensor([2])))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_plain_attention_is_the_fused_one():
    q, k, v = torch.randn(3, 2, 4, 7, 8)
    mask = torch.rand(2, 1, 1, 7) > 0.3
    mask[..., 0] = True
    fused = torch.nn.functional.scaled_dot_product_attention
    torch.testing.assert_close(attend(q, k, v), fused(q, k, v))
    torch.testing.assert_close(attend(q, k, v, mask), fused(q, k, v, attn_mask=mask))
