"""The network: shapes at every setting, gradients everywhere, padding that changes nothing."""

import hashlib
from itertools import product

import pytest
import torch

from inkling.config.recipes import MNIST
from inkling.contracts import Cond
from inkling.errors import UserError
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

LAYOUTS = [
    dict(zip(("up_widths", "width_change", "downsample_last", "up_attention", "attention_after",
              "skips", "up"), values, strict=True))
    for values in product(
        ((), (24, 8)),
        ("resampling", "block"),
        (False, True),
        ((), (True,)),
        ("each", "last"),
        ("join", "level", "concat"),
        ("transposed", "plain_bilinear"),
    )
]  # fmt: skip


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
    "settings", [*SETTINGS, *WAYS, *LAYOUTS], ids=lambda s: "-".join(map(str, s.values()))
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
@pytest.mark.parametrize("last", [False, True])
def test_any_channels_and_any_size(channels, size, last):
    settings = {"downsample_last": last, "width_change": "block" if last else "resampling"}
    network = shaken(build(channels, patch=2, positions=8, template=3, **settings))
    x = torch.randn(2, channels, *size)
    assert network(x, torch.zeros(2), condition(2)).shape == x.shape


def attended(network):
    """How many attention blocks each level has on the way down and on the way up."""
    return [[len(level.attention) for level in way] for way in (network.down, network.up)]


def test_attention_follows_each_block_or_the_last_and_the_way_up_has_its_own():
    plain = {"blocks": (3,), "attention": (False, True)}
    assert attended(build(**plain)) == [[0, 3], [0, 3]]
    assert attended(build(**plain, attention_after="last")) == [[0, 1], [0, 1]]
    assert attended(build(**plain, up_attention=(True,))) == [[0, 3], [3, 3]]
    seen = []
    network = build(**plain, attention_after="last", middle=0)
    network.down[1].attention[0].register_forward_hook(lambda *_: seen.append("attention"))
    for block in network.down[1].blocks:
        block.register_forward_hook(lambda *_: seen.append("block"))
    network(torch.randn(1, 1, 8, 8), torch.zeros(1), condition(1))
    assert seen == ["block", "block", "block", "attention"]


def block_channels(levels):
    """Channels into and out of each residual block."""
    return [
        [(block.conv1.in_channels, block.conv1.out_channels) for block in level.blocks]
        for level in levels
    ]


def test_widths_change_where_the_settings_say():
    plain = {"widths": (8, 16), "blocks": (2,), "skips": "level", "down": "conv"}
    resampling = build(**plain, up="nearest")
    assert block_channels(resampling.down) == [[(8, 8), (8, 8)], [(16, 16), (16, 16)]]
    assert block_channels(resampling.up) == [[(16, 8), (8, 8)], [(32, 16), (16, 16)]]
    block = build(**plain, up="plain_bilinear", width_change="block", downsample_last=True)
    assert block_channels(block.down) == [[(8, 8), (8, 8)], [(8, 16), (16, 16)]]
    assert block_channels(block.up) == [[(24, 8), (8, 8)], [(32, 16), (16, 16)]]
    assert not list(block.upsample.parameters())
    assert [conv.out_channels for conv in block.downsample] == [8, 16]
    narrow = build(**plain, up="nearest", width_change="block", up_widths=(8,))
    assert block_channels(narrow.up) == [[(16, 8), (8, 8)], [(32, 8), (8, 8)]]


def test_the_last_level_halves_too():
    sizes = []
    for last in (False, True):
        network = build(downsample_last=last)
        network.middle.register_forward_hook(lambda *call: sizes.append(call[1][0].shape[-1]))
        network(torch.randn(1, 1, 12, 12), torch.zeros(1), condition(1))
    assert sizes == [6, 3]


def test_one_entry_is_for_all_levels_and_none_for_the_way_down_again():
    for levels in (1, 2, 4):
        config = UNetConfig(widths=(8,) * levels, up_widths=(16,), up_attention=(True,))
        assert config.up_widths_by_level() == (16,) * levels
        assert config.up_attention_by_level() == (True,) * levels
    config = UNetConfig(widths=(8, 16), attention=(True, False))
    assert config.up_widths_by_level() == (8, 16)
    assert config.up_attention_by_level() == (True, False)
    with pytest.raises(UserError, match=r"net.up_widths has 3 entries .* for 2 levels"):
        UNetConfig(widths=(8, 16), up_widths=(8, 8, 8))
    with pytest.raises(UserError, match=r"net.up_attention has 3 entries .* or one for all"):
        UNetConfig(widths=(8, 16), up_attention=(True, False, True))
    with pytest.raises(UserError, match=r"net.up_widths has 40, which net.head_width 32"):
        UNetConfig(widths=(32, 64), up_widths=(40,), up_attention=(True,), attention=(False,))


def test_attention_on_the_way_up_alone_reads_tokens():
    plain = {"widths": (8, 16), "middle_attention": False, "cross_attention": True}
    assert not UNetConfig(**plain).reads_tokens
    assert UNetConfig(**plain, up_attention=(True,)).reads_tokens


def test_the_noise_levels_mlp_has_the_stated_widths():
    mlp = build(embedding=16, frequencies=12, embedding_factor=4).noise.mlp
    assert [(layer.in_features, layer.out_features) for layer in (mlp[0], mlp[2])] == [
        (24, 64),
        (64, 16),
    ]


def test_the_default_network_has_the_same_weights_and_outputs_as_ever():
    """Another layout is a setting; without it nothing moves, so that checkpoints keep meaning."""
    network = MNIST.net.build(1, 64)
    names = " ".join(f"{name}{list(p.shape)}" for name, p in network.named_parameters())
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == "4951b40eb3dfbea2"
    x = torch.linspace(-1, 1, 2 * 28 * 28).view(2, 1, 28, 28)
    for index, parameter in enumerate(network.parameters()):
        wave = torch.arange(parameter.numel(), dtype=torch.float64).mul(0.37 + index).sin()
        parameter.data = 0.1 * wave.float().view_as(parameter)
    cond = Cond(torch.ones(2, 64), torch.ones(2, 1, 64), torch.ones(2, 1, dtype=torch.bool))
    out = network.eval()(x, torch.tensor([-0.5, 0.3]), cond)
    expected = torch.tensor([[0.02487, -0.07971, 0.03450], [0.03466, -0.05817, 0.02167]])
    torch.testing.assert_close(out[:, 0, 10, 10:13], expected, rtol=1e-3, atol=1e-4)


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
