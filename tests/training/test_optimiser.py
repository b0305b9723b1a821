"""How weights are updated: loss scaling in float16 has one owner."""

import torch
from torch.amp import GradScaler

from inkling.config.overrides import override
from inkling.training.gradients import accumulate_gradients
from inkling.training.prepare import prepare

SCALE = 1024.0


def scaled(recipe, scale=SCALE, **options):
    """A training state whose losses are multiplied as in float16, arithmetic in float32."""
    state = prepare(recipe, device_name="cpu", **options)
    scaler = GradScaler("cpu", init_scale=scale, growth_interval=3)
    state.accelerator.scaler = state.optimisers.scaler = scaler
    return state


def weights(state):
    return torch.cat([p.detach().flatten() for p in state.model.parameters()])


def step(state, factor=1.0):
    loss = accumulate_gradients(state).mean
    norm, finite = state.optimisers.step(factor, loss)
    state.finish_step(finite)
    return norm, finite


def test_a_scaled_loss_gives_the_same_update_to_every_optimiser(tiny):
    """Powers of two change no digit, so a gradient that is unscaled once is the same gradient."""
    recipe = override(tiny, ["train.optimiser=muon"])
    plain, with_scaler = prepare(recipe, device_name="cpu"), scaled(recipe)
    assert len(plain.optimisers.optimisers) == 2
    for _ in range(3):
        norm, _ = step(plain)
        other, finite = step(with_scaler)
        assert finite
        torch.testing.assert_close(norm, other)
    assert with_scaler.optimisers.scaler.get_scale() == 2 * SCALE  # once for three steps
    torch.testing.assert_close(weights(plain), weights(with_scaler), rtol=0, atol=1e-6)
    momentum = [next(iter(s.optimisers.optimisers[1].state.values())) for s in (plain, with_scaler)]
    for one, other in zip(*(each.values() for each in momentum), strict=True):
        torch.testing.assert_close(one, other)


def test_training_goes_on_after_an_overflow_with_a_smaller_scale(tiny):
    state = scaled(override(tiny, ["train.optimiser=muon"]))
    before = weights(state)
    overflow = state.optimisers.matrices[0].register_hook(lambda gradient: gradient * torch.inf)
    _, finite = step(state)
    assert not finite
    assert torch.equal(before, weights(state))
    assert state.optimisers.scaler.get_scale() == SCALE / 2
    overflow.remove()
    _, finite = step(state)
    assert finite
    assert not torch.equal(before, weights(state))
    assert (state.skipped, state.skipped_in_a_row) == (1, 0)


def test_the_scale_goes_on_in_a_resumed_run(tiny):
    state = scaled(tiny)
    for _ in range(2):
        step(state)
    stored = state.training_checkpoint()
    resumed = scaled(tiny, scale=4.0, resume=stored)
    resumed.optimisers.restore(stored.part("optimiser"), stored.progress)
    assert resumed.optimisers.scaler.state_dict() == state.optimisers.scaler.state_dict()
    step(resumed)
    assert resumed.optimisers.scaler.get_scale() == 2 * SCALE
