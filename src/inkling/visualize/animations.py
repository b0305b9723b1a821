"""Animations of sampling, from noise to images, as GIF, WebP or MP4."""

import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from inkling.errors import UserError
from inkling.extras import how_to_install
from inkling.sampling.clip_guidance import Guide
from inkling.sampling.pipeline import TextToImage
from inkling.system.disk import saved
from inkling.visualize import grids
from inkling.visualize.strips import shown

FORMATS = (".gif", ".webp", ".mp4")
_COLOURS = 48
"""Number of colours in a GIF."""
_FRAMES = 250
"""Frames at most: an ancestral sampler may take a thousand steps."""
_HOLD = 1.5
"""Seconds that the last frame stays."""


def denoising(
    pipeline: TextToImage,
    prompts: Sequence[str],
    *,
    count: int = 4,
    seed: int = 0,
    estimate: bool = False,
    cell: int = 64,
    guide: Guide | None = None,
    **changes: Any,
) -> list[Image.Image]:
    """One frame for every solver step, with a row of `count` samples for each prompt.

    Of many steps every second, third, ... is shown, the last one among them.

    Args:
        pipeline: the model.
        prompts: one for each row.
        count: samples in a row.
        seed: of the first sample; the others count up from it.
        estimate: show the estimate of the clean image instead of the noisy image.
        cell: smallest height of an image in pixels.
        guide: a CLIP, as in `TextToImage.steps`.
        changes: as in `TextToImage.settings`.
    """
    captions = [prompt for prompt in prompts for _ in range(count)]
    seeds = range(seed, seed + len(captions))
    settings = pipeline.settings(guided=guide is not None, **changes)
    every, last = -(-settings.steps // _FRAMES), settings.steps - 1
    frames = []
    for state in pipeline.steps(captions, seeds=seeds, settings=settings, guide=guide):
        if (last - state.index) % every:
            continue
        images = shown(pipeline, state, estimate).numpy()
        rows = [(p, images[i * count : (i + 1) * count]) for i, p in enumerate(prompts)]
        frames.append(grids.sheet(rows, cell=cell))
    return frames


def save(frames: Sequence[Image.Image], path: Path, rate: float = 15.0) -> Path:
    """Write the frames as an animation whose last frame stays for a while; GIF and WebP loop.

    Args:
        frames: all of one size.
        path: its extension is the format: .gif, .webp or .mp4.
        rate: frames a second.

    Raises:
        UserError: another extension, a missing library, or the file cannot be written.
    """
    check_format(path)
    if path.suffix == ".mp4":
        return saved(lambda temporary: _save_mp4(frames, temporary, rate), path)
    times = [round(1000 / rate)] * (len(frames) - 1) + [round(1000 * _HOLD)]
    pages = list(frames)
    if path.suffix == ".gif":  # noise compresses badly, so the colours are reduced
        pages = [frame.quantize(_COLOURS, dither=Image.Dither.NONE) for frame in frames]
    options: dict[str, Any] = {"append_images": pages[1:], "duration": times, "loop": 0}
    return saved(lambda temporary: pages[0].save(temporary, save_all=True, **options), path)


def check_format(path: Path) -> None:
    """Refuse a name that no animation can be written to.

    Raises:
        UserError: another extension than those of `FORMATS`, or a missing library.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"{path} is no animation; end it in {', '.join(FORMATS)}")
    if path.suffix == ".mp4" and find_spec("imageio_ffmpeg") is None:
        raise UserError(
            f"{path} needs the library imageio-ffmpeg; install it with "
            f"{how_to_install('video')}, or end the name in .gif or .webp"
        )


def _save_mp4(frames: Sequence[Image.Image], path: Path, rate: float) -> None:
    import imageio_ffmpeg

    # H.264 requires even sides.
    width, height = (side + side % 2 for side in frames[0].size)
    raw = bytearray()
    for frame in [*frames, *[frames[-1]] * round(_HOLD * rate)]:
        page = Image.new("RGB", (width, height), (255, 255, 255))
        page.paste(frame)
        raw += page.tobytes()
    done = subprocess.run(
        [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate)),
            *("-i", "-", "-pix_fmt", "yuv420p", str(path)),
        ],
        input=bytes(raw),
        capture_output=True,
    )
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace").strip())
