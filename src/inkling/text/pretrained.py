"""Pretrained text models of `transformers`, loaded to encode captions and freed afterwards.

They are never trained. CLIP, T5 and BERT families, by hub id or from a folder.
"""

import hashlib
from collections.abc import Iterator, Sequence
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
_NOT_TORCH = ["*.h5", "*.msgpack", "*.onnx", "*.ot", "onnx/*", "openvino/*", "flax*", "tf*"]
"""Files of a hub model for other frameworks, which are not downloaded."""


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
        return Path(snapshot_download(model, ignore_patterns=_NOT_TORCH))
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
        if file.suffix in (".safetensors", ".bin", ".json", ".txt", ".model"):
            digest.update(file.name.encode())
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:20]


class Pretrained:
    """A text model in memory."""

    def __init__(self, folder: Path, max_tokens: int):
        from_hub = library()
        try:
            config = from_hub.AutoConfig.from_pretrained(folder)
            kind = getattr(from_hub, _CLASSES.get(config.model_type, "AutoModel"))
            self.tokenizer = from_hub.AutoTokenizer.from_pretrained(folder)
            self.model = kind.from_pretrained(folder, dtype=torch.float32).eval()
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            raise UserError(
                f"{folder} holds no text model that transformers can read "
                f"({' '.join(str(error).split())[:200]})"
            ) from None
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
    """The text of each token of a caption; blank for special tokens."""
    tokenizer = library().AutoTokenizer.from_pretrained(folder)
    found = tokenizer(caption, truncation=True, max_length=most, return_offsets_mapping=True)
    pieces = []
    for begin, end in found["offset_mapping"]:
        word = caption[begin:end]
        starts = begin == 0 or word[:1].isspace() or caption[begin - 1].isspace()
        pieces.append((" " if starts else "") + word.strip())
    return pieces
