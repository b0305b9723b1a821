"""Metrics and previews of a run reach the trackers."""

import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from inkling.config.overrides import override
from inkling.errors import UserError
from inkling.runs.metrics import read_metrics
from tests.runs.test_resume import LONG, drive


def test_metrics_are_sent_on_to_tensorboard(tiny, tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    drive(override(tiny, [*LONG, "train.trackers=tensorboard"]), tmp_path / "a")
    events = reading.EventAccumulator(str(next((tmp_path / "a" / "tensorboard").iterdir())))
    events.Reload()
    sent = {event.step: event.value for event in events.Scalars("loss")}
    logged = {r["step"]: r["loss"] for r in read_metrics(tmp_path / "a")}
    assert sent == pytest.approx(logged)
    assert any(tag.startswith("loss_by_sigma/") for tag in events.Tags()["scalars"])


def test_previews_are_sent_on_to_tensorboard_as_they_are(tiny, tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = ["train.trackers=tensorboard", "train.previews=2"]
    drive(override(tiny, settings), tmp_path / "a")
    events = reading.EventAccumulator(str(next((tmp_path / "a" / "tensorboard").iterdir())))
    events.Reload()
    sent = {event.step: event.encoded_image_string for event in events.Images("samples")}
    assert list(sent) == [2, 4]
    for step, encoded in sent.items():
        with Image.open(BytesIO(encoded)) as there:
            pixels = np.asarray(there.convert("RGB"))
        with Image.open(tmp_path / "a" / "samples" / f"step-{step:06d}.png") as here:
            assert np.array_equal(pixels, np.asarray(here))


class Sent:
    """Stands in for the libraries `wandb` and `trackio`, as far as Accelerate calls them."""

    def __init__(self):
        self.logged, self.finished = [], 0

    def init(self, project, **_options):
        self.project = project
        return self

    def log(self, values, step=None):
        self.logged.append((step, values))

    def finish(self):
        self.finished += 1

    def Image(self, page):
        return "image", page.size


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_metrics_and_previews_are_sent_on_in_the_order_of_their_steps(
    tiny, tmp_path, monkeypatch, name
):
    library = Sent()
    monkeypatch.setitem(sys.modules, name, library)
    drive(override(tiny, [f"train.trackers={name}", "train.previews=2"]), tmp_path / "a")
    assert library.project == "a"
    assert library.finished == 1
    with Image.open(tmp_path / "a" / "samples" / "step-000004.png") as sheet:
        page = ("image", sheet.size)
    sent = [values["samples"] for _, values in library.logged if "samples" in values]
    assert sent == ([[page]] * 2 if name == "wandb" else [page] * 2)
    steps = [step for step, _ in library.logged]
    assert steps == sorted(steps)  # W&B drops what comes for an earlier step
    assert "loss" in library.logged[0][1]


def test_a_tracker_that_is_not_installed_is_one_sentence(tiny, tmp_path):
    with pytest.raises(UserError, match=r"train.trackers has wandb.*pip install wandb"):
        drive(override(tiny, ["train.trackers=wandb"]), tmp_path / "a")
