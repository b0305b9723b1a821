"""The curves of a run: in the terminal and as a figure."""

import json
import re

import pytest
from PIL import Image

from inkling.inspect.watch import frame, frames
from inkling.visualize.curves import save_curves
from tests.cli.test_cli import inkling, refuses


def records(count, **more):
    made = []
    for row in range(1, count + 1):
        record = {
            "step": 10 * row,
            "total": 10 * count,
            "loss": 1 / row,
            "grad_norm": 0.5,
            "images_per_second": 100.0,
            "seconds": 6.0 * row,
            "skipped": 0,
        }
        if row % 5 == 0:
            record |= {"validation_loss": 1.1 / row, "low_noise_loss": 0.2}
            record |= {"bits_per_dim": 3.0, "conditioning_gain": 0.0}
            record |= {"loss_by_sigma": {"0.1": 1 / row, "2": 2 / row}}
        made.append(record | more)
    return made


@pytest.fixture
def out(tmp_path):
    (tmp_path / "recipe.json").write_text("{}")
    lines = [json.dumps(record) for record in records(20)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 2')  # cut off by a kill
    return tmp_path


def test_a_frame_shows_curves_and_the_latest_numbers(out):
    shown = frame(out, records(20, total=400), False, (100, 30))
    assert "step 200/400  100 pictures/s  2m00s  2m00s to go" in shown
    assert "by noise level" in shown
    assert "the prompt makes no difference yet" in shown
    assert max(map(len, shown.splitlines())) <= 130
    assert "3 steps skipped" in frame(out, records(20, skipped=3), False, (100, 30))


def test_frames_end_with_the_run(out):
    (out / "model.safetensors").write_bytes(b"")
    (last,) = frames(out, (80, 24))
    assert "finished" in last


def test_the_command_draws_once_without_a_terminal(out, tmp_path):
    assert "step 200/200" in inkling("watch", out)[0]
    assert "there is no run in" in refuses("watch", tmp_path / "nowhere")
    (out / "metrics.jsonl").unlink()
    assert "no step is logged yet" in inkling("watch", out)[0]


def test_curves_of_several_runs_are_one_figure(tmp_path):
    runs = {"one": records(20), "two": records(7), "unconditional": records(3)}
    path = save_curves(runs, tmp_path / "deep" / "curves.png")
    with Image.open(path) as figure:
        assert figure.width > 1000
        assert len(figure.getcolors(1 << 20)) > 20
    save_curves({"negative": [r | {"loss": -1.0} for r in records(2)]}, tmp_path / "b.png")


@pytest.mark.parametrize("number", ["Infinity", "NaN"])
def test_losses_that_are_not_finite_are_left_out_of_the_plots(out, number):
    good = json.dumps(records(5)[-1])
    bad = re.sub(r'"(loss|validation_loss|2)": [0-9.]+', rf'"\1": {number}', good)
    for lines in ([bad], [good, bad]):
        (out / "metrics.jsonl").write_text("\n".join([*lines, "[]", "7", '{"step": 1}']))
        shown, _ = inkling("watch", out, "--once")
        assert f"loss {float(number):.4f}" in shown
