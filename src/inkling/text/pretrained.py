"""Pretrained models of `transformers`, loaded to encode and freed afterwards.

They are never trained. CLIP, T5, BERT, DINOv2 and the like, by hub id or from a folder. Nothing in
a folder is run: models of types that `transformers` knows are read, with weights in safetensors
only.
"""

import hashlib
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from inkling.errors import UserError
from inkling.extras import how_to_install

_BATCH = 64
_CLASSES = {
    "clip": "CLIPTextModelWithProjection",
    "clip_text_model": "CLIPTextModelWithProjection",
    "t5": "T5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "mt5": "MT5EncoderModel",
}
"""The text model's class in `transformers`, by model type; all other types use `AutoModel`."""
VISION = {
    "clip": "CLIPVisionModelWithProjection",
    "clip_vision_model": "CLIPVisionModelWithProjection",
    "siglip": "SiglipVisionModel",
}
"""The same for vision models."""
_NEVER_READ = ["*.h5", "*.msgpack", "*.onnx", "*.ot", "onnx/*", "openvino/*", "flax*", "tf*"]
_NEVER_READ += ["*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.py"]
"""Files of a hub model for other frameworks, pickles and code, which are not downloaded."""
READ = {"trust_remote_code": False, "local_files_only": True}
"""For everything that transformers reads from a folder."""


def library() -> Any:
    """The `transformers` library.

    Raises:
        UserError: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise UserError(
            "pretrained text models and CLIPs need the library transformers; install it with "
            f"{how_to_install('clip')}"
        ) from None
    untyped: Any = transformers
    untyped.logging.set_verbosity_error()
    untyped.logging.disable_progress_bar()
    return untyped


def model_folder(model: str) -> Path:
    """The folder of a model: the path itself, or the download of a hub id.

    Raises:
        UserError: there is neither a folder nor a hub model of that name.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(model, ignore_patterns=_NEVER_READ))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        reason = textwrap.shorten(str(error), 120, placeholder="...")
        raise UserError(
            f"there is no folder {model!r}, and the hub gave no model of that name ({reason}); "
            "name a folder in the format of transformers, or connect to the network"
        ) from None


def model_digest(folder: Path, *settings: object) -> str:
    """A digest of a model's files and of the settings on which its encoding of captions depends."""
    digest = hashlib.sha256(repr(settings).encode())
    for file in sorted(folder.iterdir()):
        if file.suffix in (".safetensors", ".json", ".txt", ".model"):
            digest.update(file.name.encode())
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:20]


@contextmanager
def reading(folder: Path, what: str, instead: str = "") -> Iterator[None]:
    """Reading a folder in the format of `transformers`: its errors become a `UserError`.

    Args:
        folder: the folder, which is checked first.
        what: what it should hold, for the message.
        instead: what to do if it holds none, as the end of the message.

    Raises:
        UserError: it holds none, it asks to run code of its own, or its weights are pickled.
    """
    try:
        _refuse_code(folder)
        yield
    except UserError:
        raise
    except Exception as error:  # those of safetensors and tokenizers have no other base
        raise UserError(
            f"{folder} holds no {what} that transformers can read "
            f"({' '.join(str(error).split())[:200]}){instead and '; '}{instead}"
        ) from None


def _refuse_code(folder: Path) -> None:
    try:
        config = json.loads((folder / "config.json").read_bytes())
        kind = config.get("model_type", "")
    except (OSError, ValueError, AttributeError, RecursionError):
        return  # transformers says what is wrong
    asked = next(_kernels(config), "")
    if (kind and kind not in library().CONFIG_MAPPING) or asked:
        raise UserError(
            f"{folder} asks to run code of its own ({asked or f'model type {kind!r}'}), which "
            "inkling never does; name a model of a type that transformers knows, such as CLIP, T5 "
            "or BERT"
        )
    pickled = [file.name for end in ("bin", "pt", "pth") for file in folder.glob(f"*.{end}")]
    if pickled and not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} has its weights as a pickle ({min(pickled)}), which could run code; "
            "convert them to safetensors, with save_pretrained of transformers"
        )


def _kernels(config: object) -> Iterator[str]:
    """Attention implementations that a config would fetch from the hub, as owner/name."""
    for name, value in config.items() if isinstance(config, dict) else ():
        if name.endswith("attn_implementation") and "/" in str(value):
            yield f"{name} {value!r}"
        yield from _kernels(value)


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder; errors are those of `transformers`."""
    return library().AutoTokenizer.from_pretrained(folder, **READ)


def read_model(kind: str, folder: Path, **settings: Any) -> Any:
    """The model in a folder, float32, by its class in `transformers`; errors are those of it."""
    return getattr(library(), kind).from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, **READ, **settings
    )


def read_config(folder: Path, classes: Mapping[str, str]) -> tuple[Any, str]:
    """The settings of a model, and its class in `transformers` among those by model type."""
    config = library().AutoConfig.from_pretrained(folder, **READ)
    return config, classes.get(config.model_type, "AutoModel")


def parameter_count(folder: Path, *, vision: bool = False) -> int:
    """The parameters of the text or vision model in a folder, from its settings: no weights are
    read.

    Raises:
        UserError: the folder holds none.
    """
    what, classes = ("vision model", VISION) if vision else ("text model", _CLASSES)
    with reading(folder, what), torch.device("meta"):
        config, name = read_config(folder, classes)
        kind = getattr(library(), name)
        if own := getattr(kind, "config_class", None):  # the text tower's, of a model with two
            model = kind(own.from_pretrained(folder, **READ))
        else:
            model = kind.from_config(config, trust_remote_code=False)
    return sum(parameter.numel() for parameter in model.parameters())


class Pretrained:
    """A text model in memory."""

    def __init__(self, folder: Path, max_tokens: int):
        with reading(folder, "text model"):
            config, name = read_config(folder, _CLASSES)
            self.tokenizer = read_tokenizer(folder)
            self.model = read_model(name, folder).eval()
        inner = getattr(config, "text_config", config)
        most = getattr(inner, "max_position_embeddings", None) or max_tokens
        self.max_tokens = min(max_tokens, most)

    @torch.no_grad()
    def read(self, captions: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """Each caption with its encoding [1 + L, D] float32: the pooled vector, then the tokens.

        Every row has unit root mean square, whatever the model's own scale. A batch has captions
        of one length only, so there is no padding.
        """
        lengths = [len(ids) for ids in self._ids(captions)]
        order = sorted(range(len(captions)), key=lambda row: lengths[row])
        while order:
            same = [row for row in order[:_BATCH] if lengths[row] == lengths[order[0]]]
            order = order[len(same) :]
            ids = torch.tensor(self._ids([captions[row] for row in same]))
            found = self.model(input_ids=ids, attention_mask=torch.ones_like(ids))
            tokens = found.last_hidden_state  # [B, L, D]
            pooled = getattr(found, "text_embeds", None)
            if pooled is None or pooled.shape[1] != tokens.shape[2]:
                pooled = tokens.mean(1)  # [B, D]
            both = torch.cat([pooled[:, None], tokens], dim=1)  # [B, 1 + L, D]
            for row, each in zip(same, F.rms_norm(both, both.shape[-1:]), strict=True):
                yield captions[row], each

    def too_long(self, captions: Sequence[str]) -> int:
        """The number of captions that are cut."""
        found = self.tokenizer(list(captions), truncation=False, verbose=False)["input_ids"]
        return sum(len(ids) > self.max_tokens for ids in found)

    def _ids(self, captions: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(
            list(captions),
            truncation=True,
            max_length=self.max_tokens,
            split_special_tokens=True,  # a caption that spells one is text like any other
        )["input_ids"]
        # Without special tokens the empty caption has no token at all.
        return [each or [self.tokenizer.pad_token_id or 0] for each in ids]


def token_pieces(folder: Path, caption: str, most: int) -> list[str]:
    """The text of each token of a caption; blank for special tokens.

    Raises:
        UserError: the folder holds no tokenizer.
    """
    with reading(folder, "text model"):
        tokenizer = read_tokenizer(folder)
    found = tokenizer(caption, truncation=True, max_length=most, return_offsets_mapping=True)
    pieces = []
    for begin, end in found["offset_mapping"]:
        word = caption[begin:end]
        starts = begin == 0 or word[:1].isspace() or caption[begin - 1].isspace()
        pieces.append((" " if starts else "") + word.strip())
    return pieces
