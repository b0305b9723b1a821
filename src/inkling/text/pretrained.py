"""Pretrained text and vision models of `transformers`, loaded to encode and freed afterwards.

They are never trained. CLIP, T5, BERT, DINOv2 and the like, by hub id or from a folder. Nothing in
a folder is run: models of types that `transformers` knows are read, with weights in safetensors
only.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from inkling.errors import UserError

_BATCH = 64
_CLASSES = {
    "clip": "CLIPTextModelWithProjection",
    "clip_text_model": "CLIPTextModelWithProjection",
    "t5": "T5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "mt5": "MT5EncoderModel",
}
"""The text model's class in `transformers`, by model type; all other types use `AutoModel`."""
_VISION = {
    "clip": "CLIPVisionModelWithProjection",
    "clip_vision_model": "CLIPVisionModelWithProjection",
    "siglip": "SiglipVisionModel",
}
"""The same for vision models."""
_NEVER_READ = ["*.h5", "*.msgpack", "*.onnx", "*.ot", "onnx/*", "openvino/*", "flax*", "tf*"]
_NEVER_READ += ["*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.py"]
"""Files of a hub model for other frameworks, pickles and code, which are not downloaded."""
_READ = {"trust_remote_code": False, "local_files_only": True}
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
            "pip install 'inkling[clip]'"
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
        raise UserError(
            f"there is no folder {model!r}, and the hub gave no model of that name "
            f"({' '.join(str(error).split())[:120]}); name a folder in the format of "
            "transformers, or connect to the network"
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
    return library().AutoTokenizer.from_pretrained(folder, **_READ)


def read_model(kind: str, folder: Path, **settings: Any) -> Any:
    """The model in a folder, float32, by its class in `transformers`; errors are those of it."""
    return getattr(library(), kind).from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, **_READ, **settings
    )


class Pretrained:
    """A text model in memory."""

    def __init__(self, folder: Path, max_tokens: int):
        with reading(folder, "text model"):
            config = library().AutoConfig.from_pretrained(folder, **_READ)
            self.tokenizer = read_tokenizer(folder)
            self.model = read_model(_CLASSES.get(config.model_type, "AutoModel"), folder).eval()
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


class PretrainedVision:
    """A vision model in memory."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu"):
        with reading(folder, "vision model"):
            kind = library().AutoConfig.from_pretrained(folder, **_READ).model_type
            self.model = read_model(_VISION.get(kind, "AutoModel"), folder).to(device).eval()
            if self.model.main_input_name != "pixel_values":
                raise UserError(
                    f"the model in {folder} ({kind}) reads no pictures; name a vision model, such "
                    "as a CLIP or DINOv2"
                )
            form = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
            self.size = _size(form) or (self.model.config.image_size,) * 2
            self.channels = int(getattr(self.model.config, "num_channels", 3))
            normalised = form.get("do_normalize", True)
            mean, std = (form["image_mean"], form["image_std"]) if normalised else ([0.0], [1.0])
        self.device = device
        self.mean, self.std = (
            torch.tensor(each, device=device)[:, None, None] for each in (mean, std)
        )
        """[C, 1, 1] or [1, 1, 1] of pixels in [0, 1]."""
        vector, tokens = self._outputs(torch.zeros(1, self.channels, *self.size))
        self.tokens = tokens.shape[1]
        """L of its encodings with tokens."""
        self._widths = vector.shape[1], tokens.shape[2]

    def width(self, tokens: bool) -> int:
        """D of its encodings, with tokens or without."""
        return self._widths[tokens]

    def read(self, images: Tensor, tokens: bool) -> Tensor:
        """Encodings [B, 1 + L, D] float32 on the CPU: the pooled vector, then the tokens.

        Every row has unit root mean square. No border is cropped away.

        Args:
            images: uint8 [B, C, H, W]; grey ones are repeated, and colour is averaged for a model
                of one channel.
            tokens: whether the patch tokens are wanted; without them L is 0.
        """
        x = images.float() / 255
        if x.shape[1] != self.channels:
            x = x.mean(1, keepdim=True).expand(-1, self.channels, -1, -1)
        if x.shape[2:] != self.size:
            x = F.interpolate(x, self.size, mode="bicubic", align_corners=False, antialias=True)
        vector, patches = self._outputs(x.clamp(0, 1))
        if tokens:
            # In the space of the tokens, where the projected vector has another width.
            vector = vector if vector.shape[1] == patches.shape[2] else patches[:, 0]
            both = torch.cat([vector[:, None], patches], dim=1)
        else:
            both = vector[:, None]
        return F.rms_norm(both, both.shape[-1:]).cpu()

    @torch.no_grad()
    def _outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(pooled vectors [B, D], tokens [B, L, D']) of pictures [B, C, H, W] in [0, 1]."""
        found = self.model(pixel_values=(x.to(self.device) - self.mean) / self.std)
        tokens = found.last_hidden_state
        if tokens.ndim == 4:  # of a convolutional network
            tokens = tokens.flatten(2).mT
        vector = getattr(found, "image_embeds", None)
        if vector is None:
            vector = getattr(found, "pooler_output", None)
        return (tokens[:, 0] if vector is None else vector.flatten(1)), tokens


def _size(form: dict[str, Any]) -> tuple[int, int] | None:
    """(height, width) in which a model sees pictures, by its preprocessor's settings."""
    size = form.get("crop_size") if form.get("do_center_crop") else form.get("size")
    if isinstance(size, dict):
        side = size.get("shortest_edge")
        height, width = size.get("height", side), size.get("width", side)
        return (int(height), int(width)) if height and width else None
    return (int(size), int(size)) if size else None
