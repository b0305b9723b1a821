"""What every network in the registry holds to; and what only the transformer does."""

import pytest
import torch
from torch import nn

from inkling.nets import NETWORKS, TransformerConfig
from inkling.nets.transformer import rotate, rotations
from tests.nets.test_unet import condition, shaken

SMALL = {
    "unet": {"widths": (8, 16), "blocks": (1, 1), "attention": (False, True), "head_width": 8,
             "embedding": 16},
    "transformer": {"patch": 2, "width": 16, "depth": 2, "head_width": 8, "embedding": 16},
}  # fmt: skip


def build(kind, channels=1, **settings):
    torch.manual_seed(0)
    return NETWORKS[kind](**(SMALL[kind] | settings)).build(channels, 6)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 3)])
def test_any_channels_and_any_size(kind, channels, size):
    x = torch.randn(2, channels, *size)
    assert shaken(build(kind, channels))(x, torch.zeros(2), condition(2)).shape == x.shape


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("reads", [False, True])
def test_a_network_declares_what_others_ask_of_it(kind, reads):
    config = NETWORKS[kind](**(SMALL[kind] | {"cross_attention": reads}))
    network = shaken(build(kind, cross_attention=reads)).train()
    parameters = {id(p): name for name, p in network.named_parameters()}
    hidden = network.hidden_matrices()
    assert {id(p) for p in hidden} <= parameters.keys()
    assert all(p.ndim >= 2 for p in hidden)
    names = {parameters[id(p)] for p in hidden}
    assert sum(p.numel() for p in hidden) > 0.5 * sum(p.numel() for p in network.parameters())
    assert not any(name.startswith(("stem", "head", "maps", "places")) for name in names)
    assert config.reads_tokens == reads == bool(network.caption_attention())
    out = network(torch.randn(2, 1, 8, 8), torch.zeros(2), condition(2))
    out.square().sum().backward()
    assert all(p.grad.any() for p in network.caption_weights())
    inside = {id(p) for unit in network.units() for p in unit.parameters()}
    assert sum(p.numel() for p in network.parameters() if id(p) in inside) > 0.5 * sum(
        p.numel() for p in network.parameters()
    )


@pytest.mark.parametrize("kind", NETWORKS)
def test_attention_to_the_caption_can_be_watched(kind):
    network = shaken(build(kind, cross_attention=True))
    seen = []
    for attention in network.caption_attention():
        attention.watcher = lambda weights, size: seen.append((weights, size))
    network(torch.randn(2, 1, 8, 8), torch.zeros(2), condition(2))
    assert len(seen) == len(network.caption_attention())
    for weights, (height, width) in seen:
        assert weights.shape == (2, height * width, 3)
        torch.testing.assert_close(weights.sum(2), torch.ones(2, height * width))


@pytest.mark.parametrize("kind", NETWORKS)
def test_recomputed_activations_give_the_same_gradients(kind):
    gradients = []
    for recompute in (False, True):
        network = shaken(build(kind)).train()
        for unit in network.units():
            unit.recompute = recompute
        x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(3))
        network(x, torch.zeros(2), condition(2)).square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


@pytest.mark.parametrize("kind", NETWORKS)
def test_small_networks_stay_of_their_kind(kind):
    config = NETWORKS[kind]().small(32)
    assert type(config) is NETWORKS[kind]
    assert config.small(32) == config
    assert sum(p.numel() for p in config.build(1, 64).parameters()) < 2e6


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("cross", [False, True])
def test_every_transformer_learns_with_every_parameter(positions, cross):
    network = shaken(build("transformer", positions=positions, cross_attention=cross))
    x = torch.randn(2, 1, 8, 8)
    network(x, torch.zeros(2), condition(2)).square().sum().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle


def test_a_fresh_transformer_says_zero():
    out = build("transformer")(torch.randn(2, 1, 8, 8), torch.zeros(2), condition(2))
    assert torch.equal(out, torch.zeros_like(out))


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_a_transformer_knows_where_its_patches_are(positions):
    """Without positions, attention would commute with any exchange of patches."""
    network = shaken(build("transformer", positions=positions, side=4))
    x = torch.randn(1, 1, 8, 8)
    plain = network(x, torch.zeros(1), condition(1))
    turned = network(x.flip(-1), torch.zeros(1), condition(1)).flip(-1)
    assert not torch.allclose(plain, turned, atol=1e-3)


def test_rotations_depend_on_distance_alone():
    """q and k turned by their places: their product sees only how far apart they are."""
    angles = rotations(4, 5, 8, torch.device("cpu"))  # [20, 4]
    q, k = torch.randn(2, 8)
    product = rotate(q.expand(1, 1, 20, 8), angles) @ rotate(k.expand(1, 1, 20, 8), angles).mT
    by_offset = {}
    for i in range(20):
        for j in range(20):
            offset = (i // 5 - j // 5, i % 5 - j % 5)
            by_offset.setdefault(offset, []).append(product[0, 0, i, j].item())
    assert all(max(same) - min(same) < 1e-4 for same in by_offset.values())
    assert len({round(same[0], 4) for same in by_offset.values()}) > len(by_offset) / 2
    turned = rotate(q.expand(1, 1, 20, 8), angles)
    torch.testing.assert_close(turned.norm(dim=-1), q.norm().expand(1, 1, 20))


def test_a_width_that_heads_do_not_divide_is_one_sentence():
    with pytest.raises(ValueError, match=r"net.width 20 is not a multiple of net.head_width 8"):
        TransformerConfig(width=20, head_width=8)
    assert isinstance(build("transformer").head, nn.Linear)
