"""The card says how many parameters learn, and which stay as they are."""

import shutil

from inkling import TextToImage
from inkling.config.overrides import override
from inkling.models import checkpoint
from inkling.models.card import Card
from inkling.runs.session import run
from inkling.training.loop import fit
from tests.cli.test_cli import SMALL, inkling

SQUARE = {"channels": 1, "size": (8, 8)}


def test_trainable_parameters_are_told_apart_from_frozen_ones():
    plain = Card(**SQUARE, parameters=654_321)
    assert plain.parameters_in_words() == "0.65M parameters"
    assert plain.parameters_in_words(exact=True) == "654,321 parameters"
    encoder = Card(**SQUARE, parameters=1_200_000, frozen={"text encoder": 23_100_000})
    assert encoder.parameters_in_words() == (
        "1.20M trainable of 24.30M parameters (the text encoder stays frozen)"
    )
    both = Card(**SQUARE, parameters=7, frozen={"text encoder": 2, "codec": 1})
    assert both.parameters_in_words(exact=True) == (
        "7 trainable of 10 parameters (the text encoder and the codec stay frozen)"
    )


def test_a_frozen_text_encoder_is_counted_even_when_it_is_gone(tiny, tmp_path, encoder):
    import transformers

    model = tmp_path / "model"
    shutil.copytree(encoder, model)
    count = sum(p.numel() for p in transformers.AutoModel.from_pretrained(model).parameters())
    recipe = override(
        tiny, ["text.encoder=frozen", f"text.model={model}", "train.checkpoint_every=2"]
    )
    for update in run(recipe, tmp_path / "run", device_name="cpu"):
        card = update.progress.state.card
    assert card.frozen == {"text encoder": count}
    shutil.rmtree(model)
    assert TextToImage.load(tmp_path / "run", "cpu").card.frozen == card.frozen
    half = checkpoint.read(next(checkpoint.checkpoints(tmp_path / "run")))
    *_, last = fit(recipe, device_name="cpu", resume=half)
    assert last.state.card.frozen == card.frozen
    *_, last = fit(recipe, device_name="cpu", start_from=tmp_path / "run")
    assert last.state.card.frozen == card.frozen


def test_what_stays_frozen_is_said_when_training_begins_and_in_the_report(tmp_path, encoder):
    settings = ["--set", "text.encoder=frozen", "--set", f"text.model={encoder}"]
    out = tmp_path / "run"
    _, said = inkling("train", "digits", "--out", out, *SMALL, *settings, "--steps", 2)
    card = checkpoint.read(out / checkpoint.FILE).card
    assert f"; {card.parameters_in_words()}; into" in said
    assert "trainable of" in said
    from inkling.inspect.report import page
    from inkling.inspect.request import PlotRequest

    assert card.parameters_in_words(exact=True) in page(PlotRequest([out]), {})
