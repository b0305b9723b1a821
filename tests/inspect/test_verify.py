"""`inkling verify` passes what is right, and finds what is wrong."""

from itertools import pairwise

import pytest
import torch

from inkling.contracts import Step
from inkling.core import denoiser, samplers
from inkling.core.mixture import Mixture
from inkling.core.noise import SCHEDULES
from inkling.inspect.verify import measured, processes
from tests.cli.test_cli import inkling, refuses


def wrong(checks):
    return {check.name for check in checks if not check.ok}


def test_everything_is_as_it_should_be_and_the_plot_shows_it(tmp_path):
    said, _ = inkling("verify", "--out", tmp_path / "order.png")
    assert "WRONG" not in said
    assert said.count("ok ") >= 30
    names = {line[5:].split("  ")[0].strip() for line in said.splitlines()}
    assert {f"prediction {name}" for name in denoiser.PREDICTIONS} <= names
    assert {f"sampler {name}" for name in samplers.SAMPLERS} <= names
    assert {f"schedule {name}" for name in SCHEDULES} <= names
    assert {"guidance cfg 2.5", "likelihood of a mixture", "Frechet distance"} <= names
    assert {"likelihood of greys, from 0.5", "EMA afterwards, length 0.2"} <= names
    assert {"Frechet, classes at 90:10", "interval of coverage, far"} <= names
    assert (tmp_path / "order.png").stat().st_size > 10_000


def test_ones_own_sampler_and_schedule_join_in(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "from itertools import pairwise\n"
        "from inkling.contracts import Step\n"
        "def leap(denoise, x, sigmas, *, randn_like=torch.randn_like):\n"
        "    for i, (now, nxt) in enumerate(pairwise(sigmas)):\n"
        "        x0 = denoise(x, now)\n"
        "        x = x0 + (nxt / now) ** 1.1 * (x - x0)\n"
        "        yield Step(i, nxt, x, x0)\n"
        "class Steep:\n"
        "    def sigma(self, u):\n"
        "        return 10 - u\n"
    )
    monkeypatch.chdir(tmp_path)
    said, _ = inkling("verify", "--sampler", "mine:leap", "--schedule", "mine:Steep", code=1)
    lines = {line.split()[2]: line for line in said.splitlines() if line.startswith(("ok", "WR"))}
    assert lines["mine:leap"].startswith("WRONG")
    assert lines["mine:Steep"].startswith("WRONG")
    assert "2 wrong" in said
    assert "names nothing" in refuses("verify", "--sampler", "mine:other")
    assert "names nothing" in refuses("verify", "--schedule", "nowhere:Steep")


def test_planted_faults_are_found(monkeypatch):
    def early(denoise, x, sigmas, *, randn_like=torch.randn_like):
        for index, (now, nxt) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, nxt if nxt > 0 else now)  # the level of the wrong end
            x = samplers.towards(x, x0, now, nxt)
            yield Step(index, nxt, x, x0)

    monkeypatch.setitem(samplers.SAMPLERS, "heun", samplers.Solver(early, order=2))
    assert wrong(processes.samplers(Mixture(), samplers.SAMPLERS)) == {"sampler heun"}
    monkeypatch.setitem(
        denoiser.PREDICTIONS, "v", lambda s, d: denoiser.v(s, d)._replace(out=s.square())
    )
    assert wrong(processes.predictions()) == {"prediction v"}
    monkeypatch.setattr(
        processes.guidance,
        "cfg",
        lambda model, cond, null, scale, *rest: lambda x, s: model(x, s, null),
    )
    assert {"guidance cfg 1", "guidance cfg 2.5"} <= wrong(processes.guidances())
    monkeypatch.setattr(
        measured.metrics, "frechet", lambda a, b: ((a.mean(0) - b.mean(0)) ** 2).sum()
    )
    assert wrong(measured.scores()) == {"Frechet distance"}


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_a_likelihood_that_is_off_is_found(monkeypatch, scale):
    honest = measured.bits_per_dimension

    def off(*arguments):
        found = honest(*arguments)
        return found._replace(mean=scale * found.mean)

    monkeypatch.setattr(measured, "bits_per_dimension", off)
    assert wrong(measured.likelihood()) == {"likelihood of a Gaussian", "likelihood of a mixture"}


def test_averages_that_do_not_sum_to_one_are_found(monkeypatch):
    honest = measured.posthoc_mix

    def smaller(*arguments):
        found = honest(*arguments)
        return found._replace(weights=0.97 * found.weights)

    monkeypatch.setattr(measured, "posthoc_mix", smaller)
    assert len(wrong(measured.averages())) == 3


def test_a_bound_that_leaves_grey_values_out_is_found(monkeypatch):
    monkeypatch.setattr("inkling.core.likelihood._TAILS", 0.2)
    assert wrong(measured.likelihood_of_greys()) >= {"likelihood of greys, from 0.5"}


def test_classes_asked_for_equally_often_are_found(monkeypatch):
    monkeypatch.setattr(measured, "in_frequencies", lambda counts, total: [0, 1] * (total // 2))
    assert wrong(measured.unequal_classes()) == {"Frechet, classes at 90:10"}


def test_intervals_that_are_too_narrow_are_found(monkeypatch):
    honest = measured.of_features

    def narrow(samples, real):
        yield from (
            each._replace(step=0.0, parts=2, bounded=False) for each in honest(samples, real)
        )

    monkeypatch.setattr(measured, "of_features", narrow)
    assert "interval of recall, far" in wrong(measured.intervals())


def test_a_sampler_that_does_nothing_is_wrong_and_no_error_at_all_is_an_order():
    def idle(denoise, x, sigmas, *, randn_like=torch.randn_like):
        yield from ()

    found = {check.name: check.ok for check in processes.samplers(Mixture(), {"idle": idle})}
    assert not found["sampler idle"]
    assert processes.order([1e-3, 1e-5, 1e-7, 0.0, 0.0]) > 3
    assert processes.order([1.0, float("nan"), 1.0, 1.0, 1.0]) == 0


NOISY = """
from itertools import pairwise

import torch

from inkling.core import Solver, Step


def ancestral(denoise, x, sigmas, *, randn_like=torch.randn_like, keep=1.0):
    for index, (now, nxt) in enumerate(pairwise(sigmas)):
        up = keep * nxt * (now**2 - nxt**2).clamp(min=0).sqrt() / now
        down = (nxt**2 - up**2).clamp(min=0).sqrt()
        x0 = denoise(x, now)
        x = x0 + down / now * (x - x0) + up * randn_like(x)
        yield Step(index, nxt, x, x0)


def narrow(denoise, x, sigmas, *, randn_like=torch.randn_like):
    for index, (now, nxt) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, now)
        x = x0 + 0.5 * nxt * randn_like(x)  # less noise than the level says
        yield Step(index, nxt, x, x0)


declared = Solver(narrow, stochastic=True)
"""


def test_ones_own_samplers_with_fresh_noise_keep_the_spread(tmp_path, monkeypatch):
    (tmp_path / "noisy.py").write_text(NOISY)
    monkeypatch.chdir(tmp_path)
    said, _ = inkling("verify", "--sampler", "noisy:ancestral")
    assert "all checks passed" in said
    assert "standard deviation" in said
    for name in ("narrow", "declared"):
        said, _ = inkling("verify", "--sampler", f"noisy:{name}", code=1)
        assert said.startswith("WRONG")
