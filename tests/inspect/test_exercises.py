"""Exercises mark right answers right, wrong ones wrong, and name the usual mistakes."""

import pytest
import torch

from inkling.errors import UserError
from inkling.inspect.verify import EXERCISES, mark
from inkling.inspect.verify.exercises import marked
from tests.cli.test_cli import inkling, refuses

MISTAKES = [(name, hint) for name, each in EXERCISES.items() for hint in each.mistakes]


@pytest.mark.parametrize("name", EXERCISES)
def test_the_exact_answer_is_right(name):
    assert all(check.ok for check in marked(name, EXERCISES[name].exact))


@pytest.mark.parametrize(("name", "hint"), MISTAKES)
def test_a_usual_mistake_is_found_and_named(name, hint):
    checks = list(marked(name, EXERCISES[name].mistakes[hint]))
    assert not any(check.ok for check in checks)
    assert all(hint in check.measured for check in checks)


def test_answers_of_other_forms(capsys):
    assert mark("sigma", lambda a: ((1 - a.numpy()) / a.numpy()) ** 0.5)
    assert not mark("step", lambda x, x0, now: x)
    assert not mark("step", lambda x, x0, now, nxt: x[:1])
    assert not mark("forward", lambda x0, sigma, noise: torch.zeros_like(x0))
    said = capsys.readouterr().out
    assert "raised TypeError" in said
    assert "the task is euler_step(x, x0" in said
    assert "shape [1, 1, 4, 4], where [3, 1, 4, 4] was due" in said
    with pytest.raises(UserError, match=r"no exercise 'foward'; did you mean 'forward'"):
        mark("foward", min)


def test_the_command_line_marks(tmp_path, monkeypatch):
    (tmp_path / "answers.py").write_text(
        "def right(x0, sigma, noise):\n    return x0 + sigma.view(-1, 1, 1, 1) * noise\n"
        "def wrong(x0, sigma, noise):\n    return x0 + sigma.view(-1, 1, 1, 1) ** 0.5 * noise\n"
    )
    monkeypatch.chdir(tmp_path)
    assert "all checks passed" in inkling("verify", "--answer", "forward=answers:right")[0]
    said, _ = inkling("verify", "--answer", "forward=answers:wrong", code=1)
    assert "standard deviation, not a variance" in said
    assert not (tmp_path / "runs").exists()
    assert "euler_step(x, x0 [B, C, H, W]" in inkling("verify", "--exercises")[0]
    assert "--answer takes EXERCISE=MODULE:NAME" in refuses("verify", "--answer", "answers:right")
    assert "names nothing" in refuses("verify", "--answer", "forward=answers:none")
    assert "--sampler takes MODULE:NAME" in refuses("verify", "--sampler", "heun")
