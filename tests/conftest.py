"""Shared by all tests: small recipes, small pictures, and where real data may lie."""

import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when the hub's library is imported
if "PYTEST_XDIST_WORKER" in os.environ:  # two workers of two threads each would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

from inkling.config.overrides import override
from inkling.config.recipe import Recipe
from inkling.config.recipes import DIGITS
from inkling.data import Pictures
from inkling.data.captions import NUMBERS, digit_groups, digit_sentences
from inkling.text.transformer import byte_level_bpe

fuzz = settings(
    max_examples=int(os.environ.get("INKLING_FUZZ", "200")),
    derandomize="INKLING_FUZZ" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
"""Random cases: 200, the same ones every time; or as many new ones as INKLING_FUZZ says."""

TINY = [
    "net.widths=16,16",
    "net.embedding=32",
    "net.head_width=8",
    "net.dropout=0",
    "text.width=16",
    "text.heads=2",
    "text.vocabulary_size=300",
    "data.validation=32",
    "train.batch=8",
    "train.steps=4",
    "train.budget=0",
    "train.previews=1",
    "train.precision=float32",
    "sample.steps=2",
]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Downloads and prepared pictures of the tests go to a folder of their own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INKLING_CACHE", str(folder))
        yield folder


@pytest.fixture
def tiny() -> Recipe:
    """The recipe `digits`, small enough for a second."""
    return override(DIGITS, TINY)


@pytest.fixture
def pictures() -> Pictures:
    """Forty random grey pictures of 8x8 with digit captions."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 10
    return Pictures(
        images=torch.randint(0, 256, (40, 1, 8, 8), generator=generator, dtype=torch.uint8),
        group=labels,
        labels=labels,
        classes=NUMBERS,
        **digit_groups(),
    )


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    """A folder with a text encoder in the format of transformers, its weights random."""
    transformers = pytest.importorskip("transformers", reason="the extra clip is not installed")
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=400,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    transformers.BertModel(config).save_pretrained(folder)
    corpus = ["Drawing of zero, noise", *(s for digit in range(10) for s in digit_sentences(digit))]
    tokenizer = byte_level_bpe(corpus, 400, ("[PAD]", "[UNK]"))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    return folder


def write_vision(folder: Path, kind: str = "clip", channels: int = 3) -> Path:
    """A vision model of 8x8 pictures in the format of transformers, its weights random."""
    transformers = pytest.importorskip("transformers", reason="the extra clip is not installed")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**small, "image_size": 8, "patch_size": 4, "num_channels": channels}
    if kind == "dinov2":
        model = transformers.Dinov2Model(transformers.Dinov2Config(**vision, mlp_ratio=2))
    else:
        text = {**small, "intermediate_size": 32, "vocab_size": 300, "projection_dim": 16}
        vision |= {"intermediate_size": 32, "projection_dim": 16}
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
        model = transformers.CLIPModel(config)
    model.save_pretrained(folder)
    form = {"image_mean": [0.5] * channels, "image_std": [0.25] * channels, "size": 8}
    (folder / "preprocessor_config.json").write_text(json.dumps(form))
    return folder


@pytest.fixture(scope="session")
def vision_model(tmp_path_factory) -> Path:
    """A folder with a small CLIP, its weights random."""
    return write_vision(tmp_path_factory.mktemp("vision"))


def real_data_folder() -> Path:
    """Where real data may lie: INKLING_TEST_DATA, else beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    return Path(os.environ.get("INKLING_TEST_DATA", beside))


def sources_folder() -> Path:
    """Where the texts may lie that the reproductions follow: INKLING_TEST_SOURCES, else beside
    the checkout.
    """
    beside = Path(__file__).parents[2] / "shared" / "sources"
    return Path(os.environ.get("INKLING_TEST_SOURCES", beside))


@pytest.fixture
def real_data() -> Path:
    """The folder with real data sets, or a skip."""
    if not real_data_folder().is_dir():
        pytest.skip(f"no real data at {real_data_folder()}; set INKLING_TEST_DATA")
    return real_data_folder()


def frozen(stored):
    """A checkpoint whose tensors no later step changes, as if it had been written to disk."""
    return stored._replace(tensors={name: t.clone() for name, t in stored.tensors.items()})
